"""Every command in README.md is run, so that the README can't rot.

Those that would start this test again or run for an hour are run with --help: whoever runs this test runs tests/run.sh,
which runs tests/bench/run.sh and most parts of tests/fault/run.sh by itself. What deploy/run.sh does after the build is run
in full by `Demo`.
"""

import json
import os
import pathlib
import pty
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import unittest

from harness import BIN, LIMIT, Case, Process, eventually, free_port, http_get, main

TOP = pathlib.Path(__file__).resolve().parents[2]
README = (TOP / "README.md").read_text()
COMMAND = re.compile(r"(build/bin/|deploy/|tests/|curl |cmake |systemd-run |katana |http://127\.0\.0\.1:)")


def commands():
    """The commands of the README: lines of its code blocks, and what stands in `…`."""
    found = set()
    parts = README.split("```")
    for block in parts[1::2]:
        prompted = [line[2:] for line in block.splitlines() if line.startswith("$ ")]
        found |= {c for c in prompted or block.strip().splitlines() if COMMAND.match(c)}
    for text in parts[0::2]:
        found |= {" ".join(c.split()) for c in re.findall(r"`([^`]+)`", text) if COMMAND.match(c)}
    return found


class Readme(Case):
    def run_it(self, *argv, status=0):
        done = subprocess.run([str(a) for a in argv], cwd=TOP, env={**os.environ, **self.d.env}, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=LIMIT)
        self.assertEqual(done.returncode, status, f"{argv}: {done.stdout}{done.stderr}")
        return done.stdout

    def katana(self, *words):
        """In the deployment's own directory, which is what a newcomer's folder is."""
        status, out, err = self.d.command(*words)
        self.assertEqual((status, err), (0, ""), f"katana {words}: {out}")
        return out

    def page(self, command):
        """The README names the ports that are used if nothing else is set."""
        url = command.split()[-1].replace("127.0.0.1:9710", self.d.gateway_http).replace("127.0.0.1:9780", self.d.watchdog_http)
        if command.startswith("curl "):
            return self.run_it("curl", "--silent", "--show-error", "--fail", url)
        status, text = http_get(url)
        self.assertEqual(status, 200)
        return text

    def test_every_command(self):
        self.d.up()
        eventually("all are up", lambda: all(p["state"] == "up" for p in self.d.status()["processes"]))
        eventually("the heartbeat file", lambda: self.d.command("check-heartbeat")[0] == 0)

        def allow():
            self.sandbox.say("Hello", chat=4711)
            code = re.search(r"katana allow (\S+)", self.sandbox.wait_text("katana allow", chat=4711))[1]
            self.assertIn("is let in", self.katana("allow", code))

        runs = {
            "deploy/run.sh": lambda: self.run_it("deploy/run.sh", "--help"),
            "deploy/run.sh --build-only": self.build_only,
            "deploy/katana.env.example": lambda: self.assertTrue((TOP / "deploy/katana.env.example").exists()),
            "tests/run.sh": lambda: self.run_it("tests/run.sh", "--help"),
            "tests/run.sh --quick": lambda: self.assertIn("--quick", self.run_it("tests/run.sh", "--help")),
            "tests/bench/run.sh": lambda: self.run_it("tests/bench/run.sh", "--help"),
            "deploy/package.sh": lambda: self.run_it("deploy/package.sh", "--help"),  # tests/deploy runs it
            "deploy/README.md": lambda: self.assertTrue((TOP / "deploy/README.md").exists()),
            "tests/deploy/run.sh": lambda: self.run_it("tests/deploy/run.sh", "--help"),
            "tests/fault/run.sh": lambda: self.run_it("tests/fault/run.sh", "--help"),
            "tests/lint/format.sh": lambda: self.lint("clang-format", "tests/lint/format.sh", "--check"),
            "tests/lint/tidy.sh": lambda: self.lint("clang-tidy", "tests/lint/tidy.sh", "common/core/host.cpp"),
            "cmake --preset asan": lambda: self.run_it("cmake", "--preset", "asan", "-B", self.d.directory / "asan"),
            "build/bin/katana init": lambda: self.katana("init", "--help"),  # cli_test runs it
            "build/bin/katana up": lambda: self.assertIsNone(self.d.katana.popen.poll()),
            "build/bin/katana allow CODE": allow,
            "katana allow CODE": lambda: None,
            "katana users": lambda: self.assertIn("4711", self.katana("users")),
            "build/bin/katana status": lambda: self.assertIn("no open incident", self.katana("status")),
            "build/bin/katana doctor": lambda: self.assertNotIn("BROKEN", self.katana("doctor")),
            "build/bin/katana check-config": lambda: self.katana("check-config"),
            "build/bin/katana check-heartbeat": lambda: self.assertIn("OK: ", self.katana("check-heartbeat")),
            "katana trace ID": lambda: self.katana("trace", "--help"),  # ledger_test runs it, and the next ones
            "katana dead-letters --retry ID": lambda: self.assertIn("--retry", self.katana("dead-letters", "--help")),
            "katana backup FILE": lambda: self.katana("backup", str(self.d.directory / "copy.db")),
            "katana restore FILE": lambda: self.assertIn("--replace", self.katana("restore", "--help")),  # restore_test
            "katana doctor": lambda: None,
            "build/bin/katana alert-test": lambda: self.assertIn("sent", self.katana("alert-test")),
            "curl http://127.0.0.1:9710/health": lambda: json.loads(self.page("curl http://127.0.0.1:9710/health")),
            "curl http://127.0.0.1:9710/metrics": lambda: self.assertIn(
                "katana_questions_total", self.page("curl http://127.0.0.1:9710/metrics")),
            "http://127.0.0.1:9780/metrics": lambda: self.assertIn(
                "katana_", self.page("http://127.0.0.1:9780/metrics")),
            "http://127.0.0.1:9780/": lambda: self.assertIn("<html", self.page("http://127.0.0.1:9780/").lower()),
        }
        systemd = next((c for c in commands() if c.startswith("systemd-run ")), None)
        self.assertTrue(systemd and systemd.endswith('"$PWD/build/bin/katana" up'))
        runs[systemd] = lambda: self.systemd_run(systemd)
        self.assertEqual(commands(), set(runs), "a command of the README without a test, or a test without its command")
        for command, run in runs.items():
            with self.subTest(command):
                run()

    def build_only(self):
        """In full where it has nothing to build: no program may change under the other tests."""
        built = BIN == TOP / "build" / "bin" and "no work to do" in self.run_it("cmake", "--build", "build", "--", "-n")
        if built:
            self.assertIn("Built: ", self.run_it("deploy/run.sh", "--build-only"))
        else:
            self.assertIn("--build-only", self.run_it("deploy/run.sh", "--help"))

    def lint(self, tool, *argv):
        if shutil.which(tool):
            self.run_it(*argv)

    def systemd_run(self, command):
        """No test may make a unit on this machine: its options are looked up instead."""
        if shutil.which("systemd-run"):
            known = self.run_it("systemd-run", "--help")
            for option in re.findall(r"--[a-z-]+", command):
                self.assertIn(option, known)

    def test_the_unit_that_it_shows(self):
        """As it stands, but for the place: what systemd would warn of is an error here."""
        unit = re.search(r"```\n(\[Unit\].*?)```", README, re.S)[1]
        for line in ("WorkingDirectory=/opt/katana\n", "ExecStart=/opt/katana/build/bin/katana up\n", "User=katana\n"):
            self.assertIn(line, unit)
        if not shutil.which("systemd-analyze"):
            self.skipTest("no systemd here")
        path = self.d.directory / "katana.service"
        path.write_text(unit.replace("/opt/katana/build/bin", str(BIN)).replace("/opt/katana", str(self.d.directory))
                        .replace("User=katana", "User=root"))
        done = subprocess.run(["systemd-analyze", "verify", path], capture_output=True, text=True, timeout=LIMIT)
        self.assertEqual((done.returncode, done.stdout + done.stderr), (0, ""))

    def test_files_and_settings_that_it_names(self):
        example = (TOP / "deploy/katana.env.example").read_text()
        known = set(re.findall(r"^#?([A-Z][A-Z0-9_]+)=", example, re.M))
        settings = README[README.index("## Settings"):README.index("## Keep it running")]
        for name in set(re.findall(r"`([A-Z][A-Z0-9_]{3,})`", settings)) - {"X_FILE"}:
            with self.subTest(name):
                self.assertIn(name, known, "not in deploy/katana.env.example")
        self.assertTrue((TOP / "LICENSE").read_text().lstrip().startswith("Apache License"))

    def test_the_example_names_settings_alone_and_defaults_are_good(self):
        example = (TOP / "deploy/katana.env.example").read_text()
        lines = re.findall(r"^#([A-Z][A-Z0-9_]+=[^<\n]*)$", example, re.M)
        self.assertGreater(len(lines), 20)
        path = self.d.directory / "all.env"
        path.write_text("\n".join(lines) + "\n")
        path.chmod(0o600)
        status, out, err = self.d.command("--env-file", str(path), "check-config")
        self.assertEqual((status, err), (0, ""))
        self.assertNotIn("not a setting of Katana", out)


class Served(unittest.TestCase):
    """Whether deploy/run.sh serves a bot or shows the sandbox: nobody who has a token may meet the sandbox by mistake."""

    def serves(self, env_file=None, *argv, **environment):
        with tempfile.TemporaryDirectory(prefix="a folder ") as folder:
            if env_file is not None:
                pathlib.Path(folder, ".env").write_text(env_file)
            done = subprocess.run(["bash", "-c", f'set -euo pipefail; . "{TOP}/deploy/lib.sh"; has_settings "$@"', "-", *argv],
                                  cwd=folder, env={"PATH": os.environ["PATH"], **environment}, capture_output=True, text=True)
        self.assertEqual(done.stderr, "")
        return done.returncode == 0

    def test_a_token_or_a_key_wherever_it_stands(self):
        for line in ("KATANA_TELEGRAM_TOKEN=1:a", "export OPENAI_API_KEY='x'", "  ANTHROPIC_API_KEY = x",
                     "KATANA_TELEGRAM_TOKEN_FILE=/x"):
            with self.subTest(line):
                self.assertTrue(self.serves("# mine\n" + line + "\n"))
        self.assertTrue(self.serves(KATANA_TELEGRAM_TOKEN="1:a"))
        self.assertTrue(self.serves(OPENAI_API_KEY_FILE="/x"))

    def test_a_named_file_is_meant(self):
        self.assertTrue(self.serves(None, "--env-file", "/etc/katana.env"))
        self.assertTrue(self.serves(None, "--env-file=/etc/katana.env"))

    def test_nothing_set_is_the_sandbox(self):
        self.assertFalse(self.serves())
        self.assertFalse(self.serves("#KATANA_TELEGRAM_TOKEN=1:a\nANTHROPIC_API_KEY=\nOPENAI_API_KEY= # none\n"))
        self.assertFalse(self.serves("SMTP_URL=smtp://x\n", KATANA_TELEGRAM_TOKEN=""))


class Demo(Case):
    """What deploy/run.sh does without a token, after the build: the sandbox, Katana, and a chat."""

    def setUp(self):
        super().setUp()
        self.env = {"PATH": os.environ["PATH"], "KATANA_GATEWAY_HTTP": f"127.0.0.1:{free_port()}",
                    "KATANA_WATCHDOG_HTTP": f"127.0.0.1:{free_port()}", "TERM": "dumb",
                    **{n: v for n, v in self.d.env.items() if n.endswith("SAN_OPTIONS")}}
        self.folder = self.d.directory / "demo"
        self.folder.mkdir()

    def script(self, chat):
        return ["bash", "-c", f'set -euo pipefail; . "{TOP}/deploy/lib.sh"; bin="{BIN}"; chat={chat}; '
                f'. "{TOP}/deploy/sandbox.sh"; run_in_sandbox']

    def katana(self, *words):
        return subprocess.run([BIN / "katana", *words], cwd=self.folder, env=self.env, capture_output=True, text=True,
                              timeout=LIMIT)

    def ready(self):
        status, text = http_get(f"http://{self.env['KATANA_GATEWAY_HTTP']}/health")
        return status == 200 and all(json.loads(text)["workers"].values())

    def test_without_a_terminal_it_logs_and_shows_its_pages(self):
        demo = Process("demo", self.script("no"), self.env, self.folder)
        self.d.processes.append(demo)
        eventually("it serves", self.ready)
        for line in ("Chat page:", "Status page:", "Health:"):
            url = re.search(line + r"\s+(\S+)", demo.log())[1]
            self.assertEqual(http_get(url)[0], 200, url)
        eventually("katana status finds it", lambda: self.katana("status").stdout.count(" up ") == 3)
        demo.signal(signal.SIGINT)
        self.assertEqual(demo.wait(), 0)
        self.assertEqual(self.katana("status").returncode, 1)

    def test_at_a_terminal_one_chats_at_once(self):
        master, slave = pty.openpty()
        demo = subprocess.Popen(self.script("yes"), env=self.env, cwd=self.folder, stdin=slave, stdout=slave, stderr=slave,
                                start_new_session=True)
        self.addCleanup(lambda: demo.poll() is None and (demo.send_signal(signal.SIGTERM), demo.wait(LIMIT)))
        os.close(slave)
        shown = []

        def read():
            try:
                while piece := os.read(master, 4096):
                    shown.append(piece.decode(errors="replace"))
            except OSError:
                pass  # the other end is closed

        def words():
            return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", "".join(shown))

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        eventually("it serves", self.ready)
        eventually("it asks", lambda: "›" in words())
        for question, answer in (("Why is the sky blue?", "You wrote: Why is the sky blue?"),
                                 ("/openai", "OpenAI answers from now on"), ("/claude", "Claude answers from now on")):
            os.write(master, (question + "\n").encode())
            eventually(f"{answer!r} in the terminal", lambda: answer in words())
        demo.send_signal(signal.SIGINT)
        self.assertEqual(demo.wait(LIMIT), 0, words()[-2000:])
        reader.join(LIMIT)
        os.close(master)


if __name__ == "__main__":
    main()
