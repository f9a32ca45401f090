"""The Debian package on a real systemd: installed, started, broken on purpose, scaled, upgraded under load, removed, purged.

A machine of its own (machine.py) for each class; what is said and measured there is printed as a table at the end.
"""

import json
import os
import pathlib
import re
import shutil
import signal
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "functional"))

from asking import TABLE, print_table  # noqa: E402
from harness import ALERT_TOKEN, BIN, OPS_CHAT, USER, Process, eventually, http_get  # noqa: E402
from installed import SECRETS, Installed  # noqa: E402
from machine import run_tests  # noqa: E402
from pack import TOP, package  # noqa: E402

OWN = {"katana-gateway.service": {"KATANA_TELEGRAM_TOKEN"}, "katana-claude@1.service": {"ANTHROPIC_API_KEY"},
       "katana-openai@1.service": {"OPENAI_API_KEY"}, "katana-watchdog.service": {"TELEGRAM_ALERT_BOT_TOKEN", "KATANA_WATCHDOG_TOKEN"}}
UNITS = tuple(OWN)


class Package(Installed):
    def test_it_is_what_a_debian_machine_expects(self):
        for path, mode, owner in (("/etc/katana/katana.env", "644", "root:root"), ("/etc/credstore", "700", "root:root"),
                                  ("/run/katana", "2771", "root:katana"), ("/run/katana/bus", "2770", "root:katana-bus")):
            self.assertEqual(self.m.run("stat", "-c", "%a %U:%G", path).stdout.split(), [mode, owner], path)
        self.assertEqual(self.m.run("dpkg", "--verify", "katana").stdout, "")
        for name in ("katana", "katana-gateway", "katana-claude", "katana-openai", "katana-watchdog"):
            self.assertIn("0.1.0", self.m.run(name, "--version").stdout)
        said = self.m.shell(". /usr/share/bash-completion/completions/katana; COMP_WORDS=(katana stat); COMP_CWORD=1; _katana;"
                            " echo ${COMPREPLY[@]}").stdout
        self.assertEqual(said.strip(), "status")
        self.m.run("zsh", "-n", "/usr/share/zsh/vendor-completions/_katana")
        self.assertIn("check-heartbeat", self.m.shell("man katana | cat").stdout)

    def test_every_unit_is_sound_and_little_exposed(self):
        files = ["/lib/systemd/system/" + unit.replace("@1", "@") for unit in UNITS]
        verified = self.m.run("systemd-analyze", "verify", "/lib/systemd/system/katana.target", *files)
        self.assertEqual(verified.stdout + verified.stderr, "")
        for unit in files:
            said = self.m.run("systemd-analyze", "security", "--offline=yes", unit).stdout.splitlines()[-1]
            score = float(re.search(r": ([0-9.]+) ", said)[1])
            TABLE.append((f"exposure of {unit}", f"{score}"))
            self.assertLessEqual(score, 1.5, said)


class Service(Installed):
    def setUp(self):
        self.start()

    def assert_everywhere_clean(self):
        """No secret in the journal, in a command line, an environment, a file that isn't the secret's own, or an alert."""
        journal = self.m.run("journalctl", "--no-pager", "--output=json").stdout
        units = "".join(self.m.run("systemctl", "show", unit).stdout for unit in UNITS)
        alerts = "\n".join(self.sandbox.texts(OPS_CHAT, bot=ALERT_TOKEN) + self.sandbox.texts())
        lines = ""
        for pid in self.m.pids():
            for file in ("cmdline", "environ"):
                try:
                    lines += pathlib.Path(f"/proc/{pid}/{file}").read_bytes().decode(errors="replace")
                except OSError:
                    continue
        for name, secret in SECRETS.items():
            for what, text in (("journal", journal), ("systemctl show", units), ("chat", alerts), ("processes", lines)):
                self.assertFalse(secret in text, f"{name} stands in: {what}")
            found = self.m.run("grep", "-rlsF", "--binary-files=text", secret, "/etc", "/var", "/run/katana", "/tmp", "/usr/share",
                               check=False).stdout.split()
            self.assertEqual(found, [f"/etc/credstore/katana.{name}"])

    def test_each_process_has_its_own_secrets_and_no_others(self):
        for unit, own in OWN.items():
            pid = self.m.unit_pid(unit)
            environment = dict(line.split("=", 1) for line in pathlib.Path(f"/proc/{pid}/environ").read_text().split("\0") if line)
            directory = self.m.file(environment["CREDENTIALS_DIRECTORY"])
            inside = self.m.run("ls", environment["CREDENTIALS_DIRECTORY"]).stdout.split()
            self.assertEqual(set(inside), own, f"{unit}: {directory}")
            user = self.show(unit, "User")
            self.assertEqual(user, "katana-" + re.match(r"katana-(\w+)", unit)[1])
            for other in OWN:
                if other != unit:
                    taken = self.m.run("setpriv", "--reuid", user, "--regid", user, "--clear-groups", "ls", f"/run/credentials/{other}",
                                       check=False)
                    self.assertNotEqual(taken.returncode, 0, f"{user} reads {other}'s")
        self.assert_everywhere_clean()

    def test_people_of_the_group_use_the_command_and_others_do_not(self):
        self.ask("Before the look")
        for user, groups, status in (("root", "root", 0), ("nobody", "katana", 0), ("nobody", "nogroup", 1), ("katana-claude", "katana-bus", 1)):
            done = self.m.run("setpriv", "--reuid", user, "--regid", "nogroup", "--groups", groups, "katana", "status", check=False)
            self.assertEqual(done.returncode, status, (user, groups, done.stdout, done.stderr))
        self.assertIn("claude-1", self.m.run("katana", "status").stdout)
        restarted = self.m.run("katana", "restart", "claude-1", check=False)
        self.assertIn("systemctl restart katana-claude@1", restarted.stdout + restarted.stderr)

    def test_what_hangs_is_restarted_by_systemds_limit_and_what_dies_at_once(self):
        for how, number in (("kill -STOP", signal.SIGSTOP), ("kill -9", signal.SIGKILL)):
            for unit in UNITS:
                with self.subTest(f"{how} {unit}"):
                    before = self.m.unit_pid(unit)
                    restarts = int(self.show(unit, "NRestarts"))
                    began = time.monotonic()
                    os.kill(before, number)
                    eventually("it is another process", lambda: int(self.show(unit, "NRestarts")) > restarts
                               and self.m.unit_pid(unit) not in (None, before) and self.show(unit, "ActiveState") == "active")
                    TABLE.append((f"{how} {unit}: active again after", f"{time.monotonic() - began:.1f} s"))
                    self.wait_up()
                    self.ask(f"After {how} of {unit}")

    def test_a_bad_setting_is_said_and_not_tried_again(self):
        with self.other_settings(KATANA_ACCESS="nonsense"):
            self.m.run("systemctl", "restart", "katana-gateway.service", check=False)
            self.assertEqual(self.show("katana-gateway.service", "ExecMainStatus"), "2")
            self.assertEqual(self.show("katana-gateway.service", "ActiveState"), "failed")
            self.assertIn("KATANA_ACCESS", self.journal("-u", "katana-gateway.service", "-n", "20"))
        self.m.run("systemctl", "start", "katana-gateway.service")
        self.wait_up()

    def test_workers_scale_by_number(self):
        self.m.run("systemctl", "enable", "--now", "katana-claude@2.service", "katana-claude@3.service")
        eventually("three of them", lambda: json.loads(http_get("http://127.0.0.1:9710/health")[1])["workers"]["claude"] == 3)
        self.assertIn("claude-3", self.m.run("katana", "status").stdout)
        self.m.run("systemctl", "disable", "--now", "katana-claude@2.service", "katana-claude@3.service")
        eventually("one of them", lambda: json.loads(http_get("http://127.0.0.1:9710/health")[1])["workers"]["claude"] == 1)

    def test_a_stop_brings_the_answer_to_its_end_and_the_watchdog_goes_last(self):
        self.begin_a_long_answer()
        self.stop()
        self.assert_the_long_answer_is_whole()
        ends = re.findall(r"systemd\[1\]: Stopped (katana-\w+)", self.journal("-n", "400"))
        self.assertEqual(ends[-1], "katana-watchdog", ends)
        self.assertEqual([pid for pid in self.m.pids() if "katana" in pathlib.Path(f"/proc/{pid}/comm").read_text()], [])

    def test_logs_in_files_go_on_after_logrotate(self):
        self.addCleanup(self.restart)
        with self.other_settings(KATANA_LOG_FILE="/var/log/katana"):
            self.restart()
            self.ask("Into a file")
            self.m.run("logrotate", "--force", "/etc/logrotate.d/katana")
            log = self.m.file("/var/log/katana/gateway.log")
            eventually("it goes on", lambda: "the log goes on here" in log.read_text())
            self.ask("Into the next file")
            self.assertIn("Into the next file", log.read_text())
            self.assertIn("Into a file", log.with_name("gateway.log.1").read_text())
            self.assertEqual(sorted(f.name for f in log.parent.glob("*.log")),
                             ["claude-1.log", "gateway.log", "openai-1.log", "watchdog.log"])

    def test_over_tcp_with_keys_of_which_systemd_hands_out_the_secret_ones(self):
        self.m.run("katana", "keygen", "--system")
        self.addCleanup(self.restart)
        self.addCleanup(self.m.run, "systemctl", "stop", "katana-claude@9.service", check=False)
        with self.other_settings(KATANA_KEYS="/etc/katana/keys", KATANA_BUS="tcp://127.0.0.1:9700", KATANA_WATCH="tcp://127.0.0.1:9701"):
            self.restart()
            self.ask("By key")
            for unit, name in (("katana-gateway.service", "server"), ("katana-claude@1.service", "worker"), ("katana-watchdog.service", "watchdog")):
                held = self.m.shell(f"ls /run/credentials/{unit} | grep secret").stdout.split()
                self.assertEqual(held, [f"{name}.secret"])
            self.assertEqual(self.m.run("find", "/etc/katana", "-name", "*.secret").stdout, "")
            self.assertEqual(self.m.run("katana", "check-config").stdout, "The settings are good.\n")
            self.assertIn("never overwritten", self.m.run("katana", "keygen", "--system", check=False).stderr)
            # One more worker, by one address and one key: here on the same machine, but as a unit of its own.
            self.m.run("katana", "keygen", "--system", "--worker", "rack-2")
            self.m.run("systemctl", "reload", "katana-gateway.service", "katana-watchdog.service")
            self.m.shell("mv /etc/katana/keys/rack-2 /etc/katana/rack-2 && mv /etc/katana/rack-2/worker.secret /etc/credstore/katana.rack-2.secret"
                         " && mkdir -p /etc/systemd/system/katana-claude@9.service.d")
            self.m.file("/etc/systemd/system/katana-claude@9.service.d/keys.conf").write_text(
                "[Service]\nEnvironment=\nEnvironmentFile=/etc/katana/rack-2.env\nLoadCredential=worker.secret:/etc/credstore/katana.rack-2.secret\n")
            self.m.file("/etc/katana/rack-2.env").write_text("KATANA_KEYS=/etc/katana/rack-2\nKATANA_INSTANCE=claude-9\n")
            self.m.shell("systemctl daemon-reload && systemctl start katana-claude@9.service")
            eventually("two workers", lambda: json.loads(http_get("http://127.0.0.1:9710/health")[1])["workers"]["claude"] == 2)
            eventually("its beats, too", lambda: "claude-9" in self.m.run("katana", "status").stdout)

    def test_a_backup_is_put_back_by_root(self):
        self.ask("Remember the tulips")
        self.m.run("install", "-d", "-o", "katana-gateway", "-m", "700", "/var/lib/katana/backups")
        self.m.run("katana", "backup", "/var/lib/katana/backups/one.db")
        self.m.run("systemctl", "stop", "katana-gateway.service")
        self.m.run("katana", "restore", "--replace", "/var/lib/katana/backups/one.db")
        self.m.run("systemctl", "start", "katana-gateway.service")
        self.wait_up()
        self.ask("And the roses")
        self.assertEqual(self.m.run("stat", "-c", "%U", "/var/lib/katana/katana.db").stdout.strip(), "katana-gateway")


class Readme(Installed):
    """The commands of deploy/README.md that are headed `sh package`, as they stand, in their order."""

    @classmethod
    def install(cls, deb):
        shutil.copy(deb, cls.m.file("/srv"))

    @classmethod
    def configure(cls, **more):
        """That is what the commands do; only where Telegram and the providers are, they can't know."""

    def test_every_command_works(self):
        blocks = re.findall(r"^```sh package\n(.*?)^```", (TOP / "deploy/README.md").read_text(), re.M | re.S)
        commands = [line for block in blocks for line in block.splitlines()]
        self.assertGreater(len(commands), 20)
        shutil.copy(package("0.1.1"), self.m.file("/srv"))
        self.m.file("/srv/openai-key.txt").write_text(SECRETS["OPENAI_API_KEY"] + "\n")
        places = {"KATANA_TELEGRAM_API_URL": self.sandbox.url, "ANTHROPIC_BASE_URL": self.sandbox.url + "/anthropic",
                  "OPENAI_BASE_URL": self.sandbox.url + "/openai/v1"}
        answers = "\n".join((SECRETS["KATANA_TELEGRAM_TOKEN"], SECRETS["ANTHROPIC_API_KEY"], SECRETS["OPENAI_API_KEY"], "")) + "\n"
        for command in commands:
            script = f"cd /srv && {command}"
            if command == "katana init --system":
                script = " ".join(f"{k}={v}" for k, v in places.items()) + " " + command
            done = self.m.shell(script, stdin=answers, check=False)
            # Nobody is told here: doctor and status may warn of that, and do.
            self.assertEqual(done.returncode, 0, f"{command}\n{done.stdout}{done.stderr}")
            if command.startswith(("systemctl enable --now katana.target", "systemctl start")):
                self.wait_up()
            if command == "katana init --system":
                self.assertIn("systemctl enable --now katana.target", done.stdout)
                settings = self.m.file("/etc/katana/local.env").read_text()
                self.assertIn("\nKATANA_EXPECT=gateway,claude:1,openai:1\n", settings)
                self.assertFalse(any(secret in settings + done.stdout for secret in SECRETS.values()))
        self.assertFalse(self.m.file("/etc/katana").exists())


class Moving(Installed):
    """From `katana up` in a folder to the package, and back: the same conversations, the same people."""

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="katana-folder-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.stop()
        self.m.shell("rm -rf /var/lib/katana /var/lib/katana-watchdog && systemd-tmpfiles --create katana.conf")

    def in_folder(self, *words):
        env = {"PATH": os.environ["PATH"], **SECRETS, **{k: str(v) for k, v in self.settings.items() if k != "KATANA_EXPECT"}}
        return Process("katana-" + words[0], [BIN / "katana", *words], env, self.folder)

    def command_in_folder(self, *words):
        command = self.in_folder(*words)
        status = command.wait()
        command.log_file.close()
        self.assertEqual(status, 0, command.log())

    def remember(self, number):
        """The sandbox's model counts what it is told of the conversation."""
        self.sandbox.say("Do you remember?")
        self.sandbox.wait_text(f"message {number} of yours")

    def test_there_and_back(self):
        up = self.in_folder("up")
        self.addCleanup(up.stop)
        self.wait_up()
        self.remember(1)
        copy = self.folder / "moved.db"
        self.command_in_folder("backup", copy)
        self.assertEqual(up.stop(), 0)

        shutil.move(copy, self.m.file("/srv/moved.db"))
        self.m.run("katana", "restore", "/srv/moved.db")
        self.start()
        self.remember(2)
        self.assertIn(str(USER), self.m.run("katana", "users").stdout)
        self.m.run("katana", "backup", "/var/lib/katana/moved.db")
        self.stop()

        shutil.move(self.m.file("/var/lib/katana/moved.db"), copy)
        self.command_in_folder("restore", "--replace", copy)
        again = self.in_folder("up")
        self.addCleanup(again.stop)
        self.wait_up()
        self.remember(3)
        self.assertEqual(again.stop(), 0)

    def test_the_whole_of_its_state_as_it_lies(self):
        """No backup: a copy of the state directory of something that is stopped, made by root."""
        up = self.in_folder("up")
        self.addCleanup(up.stop)
        self.wait_up()
        self.remember(1)
        self.assertEqual(up.stop(), 0)
        self.m.run("rmdir", "/var/lib/katana", "/var/lib/katana-watchdog")
        shutil.copytree(self.folder / "state", self.m.file("/var/lib/katana"), ignore=shutil.ignore_patterns("run", "watchdog", "*.json"))
        (self.m.file("/var/lib/katana-watchdog")).mkdir()
        shutil.copytree(self.folder / "state/watchdog", self.m.file("/var/lib/katana-watchdog/watchdog"))
        self.start()
        self.remember(2)
        self.assertEqual(self.m.run("stat", "-c", "%U", "/var/lib/katana/katana.db").stdout.strip(), "katana-gateway")


class Life(Installed):
    """From one version to the next, and to the end."""

    def test_upgrade_under_load_removal_and_purge(self):
        newer = package("0.1.1")
        self.start()
        self.ask("Before the upgrade")
        before = {unit: self.m.unit_pid(unit) for unit in UNITS}

        def upgrade():
            began = time.monotonic()
            self.install(newer)
            TABLE.append(("upgrade under load took", f"{time.monotonic() - began:.1f} s"))
        count = self.under_load(upgrade)
        TABLE.append(("questions asked meanwhile, each answered once, in order", str(count)))
        for unit in UNITS:
            self.assertNotIn(self.m.unit_pid(unit), (None, before[unit]), unit)
        self.assertIn("KATANA_ALLOWED_USERS", self.m.file("/etc/katana/local.env").read_text())
        self.assertEqual(self.sandbox.texts(OPS_CHAT, bot=ALERT_TOKEN), [], "an upgrade pages nobody")

        self.m.run("apt-get", "remove", "-y", "katana")
        self.assertEqual([p for p in self.m.pids() if "katana" in pathlib.Path(f"/proc/{p}/comm").read_text()], [])
        self.assertTrue(self.m.file("/var/lib/katana/katana.db").exists(), "state stays")
        self.assertTrue(self.m.file("/etc/katana/local.env").exists(), "settings stay")
        self.install(self.deb)
        self.start()
        self.ask("After the return")
        self.m.run("apt-get", "purge", "-y", "katana")
        left = self.m.run("find", "/", "-xdev", "-name", "*katana*", "-not", "-path", "/srv/*", "-not", "-path", "/var/log/*",
                          "-not", "-path", "/proc/*", "-not", "-path", "/tmp/systemd-private*", check=False).stdout.split()
        self.assertEqual(left, [])
        self.assertEqual(self.m.run("systemctl", "--all", "--plain", "--no-legend", "list-units", "katana*").stdout.strip(), "")


def tearDownModule():
    print_table()


if __name__ == "__main__":
    run_tests()
