"""Katana under supervisord, with cron's second pair of eyes, on a machine of its own."""

import os
import pathlib
import shutil
import signal
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "functional"))

from asking import print_table  # noqa: E402
from harness import OPS_CHAT, ALERT_TOKEN, eventually, http_get  # noqa: E402
from installed import SECRETS, Installed  # noqa: E402
from machine import run_tests  # noqa: E402

PROGRAMS = ("katana:katana-watchdog", "katana:katana-gateway", "katana:katana-claude-1", "katana:katana-openai-1")
OWN = {"gateway": ("KATANA_TELEGRAM_TOKEN",), "claude": ("ANTHROPIC_API_KEY",), "openai": ("OPENAI_API_KEY",),
       "watchdog": ("TELEGRAM_ALERT_BOT_TOKEN", "KATANA_WATCHDOG_TOKEN")}


class Supervised(Installed):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.m.shell("rm /etc/credstore/katana.*")  # supervisord knows nothing of those
        cls.settings.update({"KATANA_BUS": "ipc:///run/katana/bus/jobs.ipc", "KATANA_WATCH": "ipc:///run/katana/bus/watch.ipc",
                             "KATANA_PROVIDERS": "claude,openai"})
        cls.write_settings()
        for program, names in OWN.items():
            for name in names:
                cls.m.run("install", "-D", "-o", f"katana-{program}", "-m", "400", "/dev/stdin", f"/etc/katana/secrets/{program}/{name}",
                          stdin=SECRETS[name] + "\n")
        cls.m.shell("cp /usr/share/doc/katana/examples/supervisor/katana.conf /etc/supervisor/conf.d/ && supervisorctl reread && supervisorctl update")

    def setUp(self):
        self.m.run("supervisorctl", "start", "katana:*", check=False)
        self.wait_up()

    def pid(self, program):
        return self.m.host_pid(int(self.m.run("supervisorctl", "pid", program).stdout))

    def state(self, program):
        return self.m.run("supervisorctl", "status", program, check=False).stdout.split()[1]

    def test_a_conversation_and_what_dies_comes_back(self):
        self.ask("Hello, supervisor")
        for program in PROGRAMS:
            before = self.pid(program)
            os.kill(before, signal.SIGKILL)
            eventually("another process", lambda: self.state(program) == "RUNNING" and self.pid(program) not in (None, before))
            self.wait_up()
            self.ask(f"After the death of {program}")

    def test_numprocs_is_the_number_of_workers(self):
        conf = self.m.file("/etc/supervisor/conf.d/katana.conf")
        text = conf.read_text()
        try:
            conf.write_text(text.replace("numprocs=1", "numprocs=2"))
            self.m.shell("supervisorctl reread && supervisorctl update")
            self.wait_up()
            eventually("two of them", lambda: '"claude":2' in http_get("http://127.0.0.1:9710/health")[1].replace(" ", ""))
            self.assertIn("claude-2", self.m.run("katana", "status").stdout)
        finally:
            conf.write_text(text)
            self.m.shell("supervisorctl reread && supervisorctl update")

    def test_a_bad_setting_is_not_tried_again(self):
        with self.other_settings(KATANA_ACCESS="nonsense"):
            self.m.run("supervisorctl", "restart", "katana:katana-gateway", check=False)
            eventually("it has ended", lambda: self.state("katana:katana-gateway") == "EXITED")
            self.assertIn("KATANA_ACCESS", self.m.file("/var/log/supervisor/katana-gateway.log").read_text())

    def test_a_stop_brings_the_answer_to_its_end(self):
        self.begin_a_long_answer()
        self.m.run("supervisorctl", "stop", "katana:*")
        self.assert_the_long_answer_is_whole()

    def test_cron_looks_at_the_heartbeat_and_tells(self):
        shutil.copy(self.m.file("/usr/share/doc/katana/examples/cron/katana"), self.m.file("/etc/cron.d/katana"))
        self.m.run("katana", "check-heartbeat", "--threshold", "300")
        self.m.run("supervisorctl", "stop", "katana:*")
        self.m.shell("echo 1000000000 > /var/lib/katana/katana_heartbeat.txt")
        cron = self.m.file("/etc/cron.d/katana")
        cron.write_text(cron.read_text().replace("*/5 * * * *", "* * * * *"))
        try:
            eventually("told", lambda: any("heartbeat is stale" in t for t in self.sandbox.texts(OPS_CHAT, bot=ALERT_TOKEN)), 150)
        finally:
            cron.unlink()

    def test_no_secret_is_anywhere(self):
        self.ask("A question with an answer")
        for name in {n for names in OWN.values() for n in names}:
            found = self.m.run("grep", "-rlsF", "--binary-files=text", SECRETS[name], "/etc", "/var", "/run/katana", "/tmp", check=False).stdout.split()
            self.assertEqual([f for f in found if not f.startswith(("/etc/katana/secrets/", "/etc/credstore/"))], [], name)
        for pid in self.m.pids():
            for file in ("cmdline", "environ"):
                text = pathlib.Path(f"/proc/{pid}/{file}").read_bytes().decode(errors="replace")
                self.assertFalse(any(secret in text for secret in SECRETS.values()), f"{file} of {pid}")


def tearDownModule():
    print_table()


if __name__ == "__main__":
    run_tests()
