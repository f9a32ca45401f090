"""Settings: where they come from, what is refused before anything is touched, and who gets to see a secret."""

import json
import os
import pathlib
import re
import signal
import subprocess

from harness import ALERT_TOKEN, BIN, LIMIT, USER, USERS_TOKEN, Case, eventually, main

PROGRAMS = ("katana", "katana-gateway", "katana-claude", "katana-openai", "katana-watchdog", "katana-sandbox")
SECRETS = {"KATANA_TELEGRAM_TOKEN": USERS_TOKEN, "ANTHROPIC_API_KEY": "tests-anthropic-key",
           "OPENAI_API_KEY": "tests-openai-key", "TELEGRAM_ALERT_BOT_TOKEN": ALERT_TOKEN}
OWN = {"katana-gateway": {"KATANA_TELEGRAM_TOKEN"}, "katana-claude": {"ANTHROPIC_API_KEY"},
       "katana-openai": {"OPENAI_API_KEY"}, "katana-watchdog": {"TELEGRAM_ALERT_BOT_TOKEN"}}


class Settings(Case):
    def run_program(self, program, *arguments, **settings):
        """Runs it to its end; (status, standard output, standard error). None takes a setting away."""
        env = {k: str(v) for k, v in {**self.d.env, **settings}.items() if v is not None}
        done = subprocess.run([BIN / program, *arguments], env=env, cwd=self.d.directory, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=LIMIT)
        return done.returncode, done.stdout, done.stderr

    def secret_file(self, name, value, mode=0o600):
        path = self.d.directory / name
        path.write_text(value + "\n")
        path.chmod(mode)
        return path

    def assert_refused(self, outcome, *words, secret=None):
        status, out, err = outcome
        self.assertEqual(status, 2, outcome)
        self.assertEqual(err.count("\n"), 1, f"one line: {err!r}")
        for word in words:
            self.assertIn(word, err)
        if secret:
            self.assertNotIn(secret, out + err, "a secret is shown")


class CommandLine(Settings):
    def test_help_and_version(self):
        for program in PROGRAMS:
            with self.subTest(program):
                status, out, err = self.run_program(program, "--help")
                self.assertEqual((status, err), (0, ""))
                self.assertIn("--version", out)
                status, out, err = self.run_program(program, "--version")
                self.assertEqual((status, err), (0, ""))
                self.assertRegex(out, r"^\S+ \d+\.\d+\.\d+\n$")

    def test_what_is_unknown_is_refused(self):
        for program in PROGRAMS:
            for arguments in (["--no-such-option"], ["no-such-word"]):
                with self.subTest(program, arguments=arguments):
                    self.assert_refused(self.run_program(program, *arguments), arguments[0].lstrip("-"))
        self.assert_refused(self.run_program("katana"), "--help")
        self.assert_refused(self.run_program("katana", "up", "--no-such-option"), "no-such-option")

    def test_up_is_a_verb_only_in_its_place(self):
        for arguments in (["check-process", "up"], ["--env-file", "up", "check-process", "up"]):
            (self.d.directory / "up").touch()
            with self.subTest(arguments):
                status, _, err = self.run_program("katana", *arguments)
                self.assertEqual(status, 1)
                self.assertIn("CRITICAL: no process katana-up runs here", err)

    def test_a_settings_file_that_is_not_there_is_refused(self):
        for arguments in (["up"], ["status"], ["check-heartbeat"]):
            with self.subTest(arguments):
                self.assert_refused(self.run_program("katana", "--env-file", "not-there", *arguments), "--env-file")


class Refused(Settings):
    def test_each_bad_setting_is_one_line_that_names_it_and_the_mend(self):
        d = self.d.directory
        readable = self.secret_file("readable", USERS_TOKEN, 0o644)
        empty = self.secret_file("empty", "")
        spoilt = "123456:spoilt token that nobody may see"
        for settings, words in (
                ({"KATANA_TELEGRAM_TOKEN": None}, ("KATANA_TELEGRAM_TOKEN", "@BotFather")),
                ({"KATANA_TELEGRAM_TOKEN": spoilt}, ("KATANA_TELEGRAM_TOKEN", "digits:")),
                ({"KATANA_TELEGRAM_TOKEN": "no-colon-in-this-token"}, ("KATANA_TELEGRAM_TOKEN",)),
                ({"ANTHROPIC_BASE_URL": None, "OPENAI_BASE_URL": None, "ANTHROPIC_API_KEY": None, "OPENAI_API_KEY": None},
                 ("ANTHROPIC_API_KEY", "OPENAI_API_KEY")),
                ({"ANTHROPIC_API_KEY": "a key with blanks"}, ("ANTHROPIC_API_KEY",)),
                ({"ANTHROPIC_BASE_URL": "claude.example"}, ("ANTHROPIC_BASE_URL", "https://")),
                ({"KATANA_TELEGRAM_API_URL": "ftp://127.0.0.1"}, ("KATANA_TELEGRAM_API_URL", "https://")),
                ({"OPENAI_API": "completions"}, ("OPENAI_API", "responses, chat")),
                ({"KATANA_TELEGRAM_TOKEN": None, "KATANA_TELEGRAM_TOKEN_FILE": readable},
                 ("KATANA_TELEGRAM_TOKEN", "chmod 600", str(readable))),
                ({"KATANA_TELEGRAM_TOKEN": None, "KATANA_TELEGRAM_TOKEN_FILE": d / "nowhere"},
                 ("KATANA_TELEGRAM_TOKEN", "nowhere")),
                ({"KATANA_TELEGRAM_TOKEN": None, "KATANA_TELEGRAM_TOKEN_FILE": empty}, ("KATANA_TELEGRAM_TOKEN", "empty")),
                ({"KATANA_TELEGRAM_TOKEN_FILE": empty}, ("KATANA_TELEGRAM_TOKEN", "keep one")),
                ({"KATANA_ALLOWED_USERS": "ada"}, ("KATANA_ALLOWED_USERS", "/id")),
                ({"KATANA_ACCESS": "everybody"}, ("KATANA_ACCESS", "pairing, allowlist, open")),
                ({"KATANA_TELEGRAM_LIMITS": "fast"}, ("KATANA_TELEGRAM_LIMITS", "30,1,20")),
                ({"KATANA_STREAMING": "maybe"}, ("KATANA_STREAMING", "edit")),
                ({"KATANA_GATEWAY_HTTP": "9710"}, ("KATANA_GATEWAY_HTTP", "host:port")),
                ({"KATANA_GATEWAY_HTTP": "nohost.invalid:9710"}, ("KATANA_GATEWAY_HTTP", "0.0.0.0:9710")),
                ({"KATANA_TELEGRAM_TOKEN": "9" * 20 + ":" + "x" * 35}, ("KATANA_TELEGRAM_TOKEN", "digits:")),
                ({"KATANA_MODELS": d / "nowhere.toml"}, ("KATANA_MODELS", "nowhere.toml")),
                ({"KATANA_MODELS": self.secret_file("bad.toml", "models = [\n")}, ("KATANA_MODELS", "bad.toml")),
                ({"KATANA_BUS": "tcp://127.0.0.1:9000"}, ("KATANA_BUS", "katana keygen")),
                ({"KATANA_KEYS": d / "no-keys"}, ("KATANA_KEYS", "katana keygen")),
                ({"KATANA_KEYS": self.d.directory / "tls"}, ("KATANA_KEYS", "holds no key")),
                ({"KATANA_CLAUDE_WORKERS": "none"}, ("KATANA_CLAUDE_WORKERS", "1 to 64")),
                ({"KATANA_BUDGET_DAY": "5 EUR"}, ("KATANA_BUDGET_DAY", "5 USD")),
                ({"KATANA_DEFAULT_PROVIDER": "somebody"}, ("KATANA_DEFAULT_PROVIDER", "claude")),
                ({"KATANA_LOG_LEVEL": "loud"}, ("KATANA_LOG_LEVEL", "info")),
                ({"KATANA_LOG_FORMAT": "xml"}, ("KATANA_LOG_FORMAT", "text, json")),
                ({"KATANA_LOG_MESSAGES": "all"}, ("KATANA_LOG_MESSAGES", "full")),
                ({"KATANA_RETENTION": "long"}, ("KATANA_RETENTION", "30d")),
                ({"TELEGRAM_ALERT_BOT_TOKEN": USERS_TOKEN}, ("TELEGRAM_ALERT_BOT_TOKEN", "second bot")),
                ({"TELEGRAM_ALERT_CHAT_ID": None}, ("TELEGRAM_ALERT_CHAT_ID", "katana init")),
                ({"SMTP_URL": "mail.example"}, ("SMTP_URL", "smtp://")),
                ({"SMTP_USER": "ada"}, ("SMTP_PASSWORD", "SMTP_USER")),
                ({"ALERT_EMAIL_TO": "ada at example"}, ("ALERT_EMAIL_TO", "@")),
                ({"ALERT_COMMAND": "/no/such/program"}, ("ALERT_COMMAND", "executed")),
                ({"KATANA_WEBHOOK_URL": "https://bot.example.org"}, ("KATANA_WEBHOOK_SECRET",)),
                ({"KATANA_RUN_DIR": "/tmp/" + "long" * 25}, ("KATANA_RUN_DIR", "shorter")),
                ({"KATANA_STORE": "mysql://127.0.0.1/x"}, ("KATANA_STORE", "sqlite:PATH")),
        ):
            with self.subTest(**{k: str(v) for k, v in settings.items()}):
                outcome = self.run_program("katana", "up", **settings)
                self.assert_refused(outcome, *words)
                for secret in (USERS_TOKEN, ALERT_TOKEN, "spoilt token", "no-colon-in-this-token", "key with blanks",
                               "tests-anthropic-key"):
                    self.assertNotIn(secret, outcome[1] + outcome[2], "a secret is shown")
        self.assertEqual(self.sandbox.record(), [], "nothing touched the network")
        self.assertFalse((d / "state").exists(), "nothing was left behind")

    def test_every_program_refuses_its_own(self):
        for program, settings, word in (
                ("katana-gateway", {"KATANA_TELEGRAM_TOKEN": None}, "KATANA_TELEGRAM_TOKEN"),
                ("katana-claude", {"ANTHROPIC_BASE_URL": "nonsense"}, "ANTHROPIC_BASE_URL"),
                ("katana-openai", {"OPENAI_API": "nonsense"}, "OPENAI_API"),
                ("katana-watchdog", {"SMTP_URL": "nonsense"}, "SMTP_URL")):
            with self.subTest(program):
                self.assert_refused(self.run_program(program, **settings), word)
                self.assert_refused(self.run_program(program, "--env-file", "nowhere.env"), "--env-file", "nowhere.env")
        self.assertEqual(self.sandbox.record(), [])

    def test_a_worker_whose_provider_is_off_says_so_and_ends_well(self):
        for program, prefix in (("katana-claude", "ANTHROPIC"), ("katana-openai", "OPENAI")):
            with self.subTest(program):
                status, out, _ = self.run_program(program, **{prefix + "_API_KEY": None, prefix + "_BASE_URL": None})
                self.assertEqual(status, 0)
                self.assertIn(prefix + "_API_KEY", out)

    def test_env_files_with_mistakes_are_named_with_their_line(self):
        self.secret_file("bad.env", "KATANA_ACCESS=open\nthis is no setting")
        self.assert_refused(self.run_program("katana", "--env-file", "bad.env", "up"), "bad.env", "2")

    def test_stray_names_are_reported(self):
        status, out, err = self.run_program("katana", "check-config", KATANA_TELEGRAM_TOKN="1", TELEGRAM_TOKEN="1",
                                            KATANA_COLOUR="blue")
        self.assertEqual((status, err), (0, ""))
        for words in ("KATANA_TELEGRAM_TOKN: not a setting of Katana and ignored; did you mean KATANA_TELEGRAM_TOKEN?",
                      "TELEGRAM_TOKEN: ", "KATANA_COLOUR: not a setting"):
            self.assertIn(words, out)


class Sources(Settings):
    def ask_and_stop(self, process):
        self.sandbox.script(answer="I am here.")
        self.d.sandbox.say("Hello")
        eventually("an answer", lambda: self.sandbox.texts().count("I am here.") == self.answers + 1)
        self.answers += 1
        self.assertEqual(process.stop(), 0)

    def test_secrets_by_file_by_env_file_and_by_credentials(self):
        self.answers = 0
        plain = {k: v for k, v in self.d.env.items()}
        nothing = {name: None for name in SECRETS}

        self.d.set(**nothing)
        self.d.set(**{name + "_FILE": self.secret_file(name, value) for name, value in SECRETS.items()})
        self.ask_and_stop(self.d.up())

        self.d.set(**{name + "_FILE": None for name in SECRETS})
        (self.d.directory / ".env").write_text("# settings\n" + "".join(f'export {k}="{v}"\n' for k, v in SECRETS.items()))
        (self.d.directory / ".env").chmod(0o600)
        self.ask_and_stop(self.d.up())
        (self.d.directory / ".env").rename(self.d.directory / "other.env")
        self.ask_and_stop(self.d.up("--env-file", "other.env"))

        credentials = self.d.directory / "credentials"
        credentials.mkdir(mode=0o700)
        for name, value in SECRETS.items():
            (credentials / name).write_text(value + "\n")
        self.d.set(CREDENTIALS_DIRECTORY=credentials)
        self.ask_and_stop(self.d.up())
        self.assertEqual(self.d.env["SMTP_URL"], plain["SMTP_URL"])

    def test_the_environment_wins_over_the_file(self):
        (self.d.directory / ".env").write_text("KATANA_ACCESS=nonsense\nKATANA_LOG_LEVEL=nonsense\n")
        self.assert_refused(self.run_program("katana", "up"), "nonsense")
        status, out, err = self.run_program("katana", "check-config", KATANA_ACCESS="open", KATANA_LOG_LEVEL="info")
        self.assertEqual((status, err), (0, ""), out)

    def test_each_process_sees_only_its_own_secrets(self):
        self.secret_file(".env", "\n".join(f"{k}={v}" for k, v in SECRETS.items()))
        self.d.set(**{name: None for name in SECRETS})
        self.d.up()
        eventually("all are up", lambda: len([p for p in self.d.status()["processes"] if p["state"] == "up"]) >= 3)
        seen = set()
        mark = f"KATANA_RUN_DIR={self.d.env['KATANA_RUN_DIR']}".encode()
        for entry in pathlib.Path("/proc").iterdir():
            try:
                environment = (entry / "environ").read_bytes()
                command = (entry / "cmdline").read_bytes().decode()
                program = pathlib.Path(os.readlink(entry / "exe")).name
            except OSError:
                continue
            if mark not in environment.split(b"\0"):
                continue
            seen.add(program)
            for name, value in SECRETS.items():
                self.assertNotIn(value, command, "a secret in a process list")
                # The parent was given none in its environment: it read the file.
                if name in OWN.get(program, ()):
                    self.assertIn(f"{name}={value}".encode(), environment)
                else:
                    self.assertNotIn(value.encode(), environment, f"{program} sees {name}")
        self.assertLessEqual(set(OWN), seen)
        for name, value in SECRETS.items():
            self.assertNotIn(value, self.d.katana.log())


class Log(Settings):
    settings = {"OPENAI_BASE_URL": None, "OPENAI_API_KEY": None, "OPENAI_API": None}
    QUESTION = "My secret plan is to plant tulips along the whole of the northern wall this autumn"

    def log_with(self, **settings):
        """The logs of gateway and worker after one question."""
        self.d.set(**settings)
        gateway = self.d.serve("claude")
        worker = self.d.processes[-1]
        self.sandbox.script(answer="Tulips it is.")
        self.d.ask(self.QUESTION, "Tulips it is.")
        gateway.stop()
        worker.stop()
        return gateway.log(), worker.log()

    def test_none(self):
        for log in self.log_with(KATANA_LOG_MESSAGES="none"):
            self.assertNotIn("plan", log)
            self.assertNotIn("Tulips", log)

    def test_summary(self):
        for log in self.log_with():
            self.assertIn("My secret plan is to plant tulips along", log)
            self.assertNotIn("autumn", log)

    def test_full(self):
        for log in self.log_with(KATANA_LOG_MESSAGES="full"):
            self.assertIn(self.QUESTION, log)

    def test_text_has_the_guides_format(self):
        log, _ = self.log_with(KATANA_LOG_LEVEL="debug")
        pattern = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} - [a-z.]+ - (DEBUG|INFO|WARNING|ERROR|CRITICAL) - .+")
        for line in log.splitlines():
            self.assertTrue(pattern.fullmatch(line), line)

    def test_json_is_an_object_a_line(self):
        for log in self.log_with(KATANA_LOG_FORMAT="json"):
            for line in log.splitlines():
                entry = json.loads(line)
                self.assertEqual(sorted(entry), ["component", "level", "message", "time"])
                self.assertRegex(entry["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")

    def ask(self, question):
        self.sandbox.script(answer=f"You said: {question}")
        self.d.ask(question, f"You said: {question}")

    def test_a_file_is_opened_again_on_sigusr1(self):
        """As logrotate does it: moved away, then the signal. Nothing is lost, and nothing goes to standard output."""
        directory = self.d.directory / "log"
        directory.mkdir()
        self.d.set(KATANA_LOG_FILE=directory)
        gateway = self.d.serve("claude")
        self.assertEqual(sorted(f.name for f in directory.iterdir()), ["claude.log", "gateway.log"])
        log, old = directory / "gateway.log", directory / "gateway.log.1"
        self.assertEqual(log.stat().st_mode & 0o777, 0o640)
        log.rename(old)
        gateway.signal(signal.SIGUSR1)
        eventually("a new file", lambda: log.exists() and "the log goes on here" in log.read_text())
        self.ask("My secret plan")
        self.assertIn("My secret plan", log.read_text())
        self.assertIn("Initializing", old.read_text())
        self.assertNotIn("My secret plan", old.read_text())
        self.assertEqual(gateway.log(), "")
        moved = directory.rename(self.d.directory / "elsewhere")
        gateway.signal(signal.SIGUSR1)
        eventually("its error", lambda: "it goes on in the old file" in (moved / "gateway.log").read_text())
        self.ask("Roses")
        self.assertIn("Roses", (moved / "gateway.log").read_text())

    def test_katana_up_logs_all_of_its_processes_into_one_file(self):
        file = self.d.directory / "all.log"
        self.d.set(KATANA_LOG_FILE=file)
        up = self.d.up_without_openai()
        text = file.read_text()
        for name in ("gateway", "claude-1", "watchdog"):
            self.assertIn(name, text)
        file.rename(self.d.directory / "all.log.1")
        up.signal(signal.SIGUSR1)
        eventually("a new file", lambda: file.exists() and "the log goes on here" in file.read_text())
        self.ask("Roses")
        self.assertIn("Roses", file.read_text())
        self.assertEqual(up.log(), "")

    def test_a_place_that_is_not_there_is_a_bad_setting(self):
        self.assert_refused(self.run_program("katana-claude", KATANA_LOG_FILE=self.d.directory / "nowhere" / "k.log"),
                            "KATANA_LOG_FILE", "nowhere", "directory")

    def test_a_stranger_words_are_not_logged(self):
        gateway = self.d.serve("claude")
        self.sandbox.say("Strange words", chat=USER + 1)
        self.sandbox.wait_text("code", chat=USER + 1)
        self.assertIn("not admitted", gateway.log())
        self.assertNotIn("Strange words", gateway.log())


if __name__ == "__main__":
    main()
