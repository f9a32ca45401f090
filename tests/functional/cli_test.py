"""The operator's command, from `katana init` on."""

import contextlib
import json
import os
import pathlib
import pty
import re
import stat
import subprocess
import threading

from harness import ALERT_TOKEN, BIN, LIMIT, OPS_CHAT, USERS_TOKEN, Case, eventually, free_port, main

STRANGER = 4711
KEYS = ("tests-anthropic-key", "tests-openai-key")


class Running(Case):
    def test_what_the_operator_sees(self):
        self.d.up()
        eventually("all are up", lambda: all(p["state"] == "up" for p in self.d.status()["processes"]))
        status, out, err = self.d.command("status")
        self.assertEqual((status, err), (0, ""))
        for words in ("gateway", "claude-1", "openai-1", "no open incident", "alerts by telegram: ready", "alerts by email: ready"):
            self.assertIn(words, out)
        status, out, _ = self.d.command("status", "--json")
        self.assertEqual(status, 0)
        self.assertEqual({p["instance"]: p["state"] for p in json.loads(out)["processes"]},
                         {"gateway": "up", "claude-1": "up", "openai-1": "up"})

        for name in ("gateway", "claude", "claude-1", "openai", "watchdog"):
            with self.subTest(process=name):
                status, out, err = self.d.command("check-process", name)
                self.assertEqual((status, err), (0, ""))
                self.assertTrue(out.startswith("OK: "), out)
        status, out, err = self.d.command("check-process", "claude-2")
        self.assertEqual((status, out), (1, ""))
        self.assertTrue(err.startswith("CRITICAL: "), err)

        eventually("the heartbeat file", lambda: self.d.command("check-heartbeat")[0] == 0)
        status, out, _ = self.d.command("doctor")
        self.assertEqual(status, 0, out)
        self.assertNotIn("BROKEN", out)
        for words in ("ok      settings", "ok      gateway: runs and answers", "ok      watchdog: runs and answers",
                      "ok      users' bot: @", "ok      alert bot: @", "ok      claude: key tes...key works",
                      "ok      openai: key tes...key works", "ok      claude: model claude-", "ok      openai: model gpt-",
                      "ok      clock: as claude's", "ok      OK: the heartbeat is fresh"):
            self.assertIn(words, out)
        for secret in (USERS_TOKEN, ALERT_TOKEN, *KEYS):
            self.assertNotIn(secret, out)

        status, out, _ = self.d.command("alert-test")
        self.assertEqual(status, 0)
        self.assertIn("telegram: sent", out)
        self.assertIn("email: sent", out)
        self.sandbox.wait_text("katana alert-test", chat=OPS_CHAT, bot=ALERT_TOKEN)
        eventually("the mail", self.sandbox.mails)

        self.sandbox.script(answer="Fine.")
        self.d.ask("How are you?", "Fine.")
        eventually("the call is in the books", lambda: "Last 24 h: 1 calls" in self.d.command("usage")[1])
        self.assertEqual(self.d.command("incidents")[1], "no incident since the start\n")
        self.assertEqual(self.d.command("reload")[0], 0)

        backup = self.d.directory / "copies" / "store.db"
        backup.parent.mkdir()
        done = subprocess.run([BIN / "katana", "backup", backup.name], env=self.d.env, cwd=backup.parent,
                              capture_output=True, text=True, timeout=LIMIT)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertTrue(backup.read_bytes().startswith(b"SQLite format 3"), "beside the one who asked, not beside the gateway")
        self.assertEqual(stat.S_IMODE(backup.stat().st_mode) & 0o077, 0, "conversations are nobody else's")

    def test_doctor_finds_what_is_wrong(self):
        self.sandbox.post("bot", token=ALERT_TOKEN, revoked=True)
        self.sandbox.post("switch", keys=["tests-openai-key"])
        status, out, _ = self.d.command("doctor")
        self.assertEqual(status, 1)
        self.assertIn("BROKEN  alert bot (100...:000)", out)
        self.assertIn("BROKEN  claude: key tes...key: the key is refused", out)
        self.assertIn("openai: key tes...key works", out)
        self.assertIn("katana-gateway is not running", out)
        for name in ("TELEGRAM_ALERT_BOT_TOKEN", "TELEGRAM_ALERT_CHAT_ID", "ALERT_EMAIL_TO"):
            self.d.set(**{name: None})
        self.assertIn("nobody will be told", self.d.command("doctor")[1])

    def test_doctor_knows_a_model_that_is_not_served_and_a_wrong_clock(self):
        table = self.d.directory / "models.toml"
        table.write_text('[[model]]\nid = "claude-of-yesteryear"\nprovider = "claude"\n'
                         '[[model]]\nid = "gpt-of-yesteryear"\nprovider = "openai"\n')
        self.d.set(KATANA_MODELS=table, KATANA_CLAUDE_MODEL="claude-of-yesteryear")
        self.sandbox.post("switch", clock_ahead=3600)
        status, out, _ = self.d.command("doctor")
        self.assertEqual(status, 1)
        self.assertRegex(out, r"warn    claude: model claude-of-yesteryear isn't among the \d+ that .* set KATANA_CLAUDE_MODEL\n")
        self.assertIn("warn    openai: model gpt-of-yesteryear is offered by /model, and isn't", out)
        self.assertRegex(out, r"BROKEN  clock: (3599|3600) s behind claude's; ")

    def test_settings_are_checked_all_at_once(self):
        self.assertEqual(self.d.command("check-config"), (0, "The settings are good.\n", ""))
        self.d.set(KATANA_ACCESS="everybody", KATANA_LOG_LEVEL="loud", KATANA_TELEGRAM_TOKEN=None)
        status, out, err = self.d.command("check-config")
        self.assertEqual(status, 2)
        for name in ("KATANA_ACCESS", "KATANA_LOG_LEVEL", "KATANA_TELEGRAM_TOKEN"):
            self.assertEqual(len(re.findall(f"^{name}: ", err, re.M)), 1, err)


class NotRunning(Case):
    def test_what_needs_a_process_says_which_command_starts_it(self):
        for verb in (["status"], ["users"], ["allow", "code"], ["deny", "1"], ["usage"], ["incidents"], ["reload"],
                     ["backup", "file"]):
            with self.subTest(verb[0]):
                status, out, err = self.d.command(*verb)
                self.assertEqual((status, out), (1, ""))
                self.assertIn("is not running", err)
                self.assertIn("katana up", err)

    def test_another_deployments_processes_are_not_ours(self):
        self.d.serve("claude")
        self.assertEqual(self.d.command("check-process", "gateway")[0], 0, "the kernel tells, without a watchdog")
        (self.d.directory / "elsewhere").mkdir()
        self.d.set(KATANA_RUN_DIR=self.d.directory / "elsewhere")
        status, out, err = self.d.command("check-process", "gateway")
        self.assertEqual((status, out), (1, ""))
        self.assertIn("CRITICAL", err)

    def test_keys_are_made_once_and_for_their_owner(self):
        status, out, _ = self.d.command("keygen", "keys")
        self.assertEqual(status, 0)
        self.assertIn("KATANA_KEYS=keys", out)
        keys = self.d.directory / "keys"
        for path in [keys, *keys.rglob("*")]:
            self.assertEqual(stat.S_IMODE(path.stat().st_mode) & 0o077, 0, path)
        before = {p: p.read_text() for p in keys.rglob("*.secret")}
        self.assertGreaterEqual(len(before), 3)
        status, _, err = self.d.command("keygen", "keys")
        self.assertEqual(status, 1)
        self.assertIn("never overwritten", err)
        self.assertEqual({p: p.read_text() for p in keys.rglob("*.secret")}, before)

    def test_version(self):
        self.assertRegex(self.d.command("version")[1], r"^katana \d+\.\d+\.\d+\n$")

    def test_one_refused_address_costs_the_others_nothing(self):
        self.d.set(ALERT_EMAIL_TO="gone@localhost,operator@localhost")
        self.sandbox.post("smtp", stage="rcpt", code=550, text="no such user", count=1)
        status, out, err = self.d.command("alert-test")
        self.assertEqual(status, 0, out + err)
        mail, = self.sandbox.mails()
        self.assertEqual(mail["to"], ["operator@localhost"])

    def test_an_alert_can_be_tried_without_a_watchdog(self):
        status, out, _ = self.d.command("alert-test")
        self.assertEqual(status, 0, out)
        self.sandbox.wait_text("katana alert-test", chat=OPS_CHAT, bot=ALERT_TOKEN)
        eventually("the mail", self.sandbox.mails)
        self.d.set(SMTP_URL="smtp://127.0.0.1:1")
        status, out, _ = self.d.command("alert-test")
        self.assertEqual(status, 1)
        self.assertIn("email: failed", out)
        self.assertIn("telegram: sent", out)


class Init(Case):
    """A newcomer, with nothing but the tokens and keys."""

    def setUp(self):
        super().setUp()
        all_of_it = self.d.env
        self.d.env = {name: all_of_it[name] for name in (
            "PATH", "KATANA_TELEGRAM_API_URL", "ANTHROPIC_BASE_URL", "OPENAI_BASE_URL", "KATANA_GATEWAY_HTTP",
            "KATANA_WATCHDOG_HTTP")} | {n: v for n, v in all_of_it.items() if n.endswith("SAN_OPTIONS")}
        self.env_file = self.d.directory / ".env"

    def init(self, *answers, options=()):
        """Gives these answers to `katana init`, and its code to the alert bot; (status, output, errors)."""
        self.sandbox.say("Somebody else was here first", chat=STRANGER, bot=ALERT_TOKEN)
        out, err = (self.d.directory / f"init.{name}" for name in ("out", "err"))
        with open(out, "w") as to, open(err, "w") as errors:
            init = subprocess.Popen([BIN / "katana", "init", *options], env=self.d.env, cwd=self.d.directory,
                                    stdin=subprocess.PIPE, stdout=to, stderr=errors, text=True)
        self.addCleanup(lambda: init.poll() is None and (init.kill(), init.wait()))
        with contextlib.suppress(BrokenPipeError):  # it may have refused an earlier answer
            with init.stdin:
                init.stdin.write("".join(a + "\n" for a in answers))
        self.give_code(init, out.read_text)
        return init.wait(LIMIT), out.read_text(), err.read_text()

    def give_code(self, init, shown):
        """The code that init shows goes to the alert bot, unless it ends before."""
        found = eventually("it asks for a code or ends", lambda: re.search(r"write (\d{6}) to it", shown()) or init.poll() is not None)
        if found is not True:
            self.sandbox.say(found[1], chat=OPS_CHAT, bot=ALERT_TOKEN)

    def test_from_nothing_to_a_chat(self):
        status, out, err = self.init(USERS_TOKEN, *KEYS, ALERT_TOKEN)
        self.assertEqual((status, err), (0, ""), out)
        bots = {b["id"]: b["username"] for b in json.loads(self.sandbox.get("bots"))["bots"]}
        names = {token: bots[int(token.split(":")[0])] for token in (USERS_TOKEN, ALERT_TOKEN)}
        for words in (f"works: @{names[USERS_TOKEN]}", "works: Anthropic", "works: OpenAI", f"works: @{names[ALERT_TOKEN]}",
                      "found: ", f"({OPS_CHAT})", "a test alert was sent", f"https://t.me/{names[USERS_TOKEN]}", "katana allow CODE"):
            self.assertIn(words, out)
        for secret in (USERS_TOKEN, ALERT_TOKEN, *KEYS):
            self.assertNotIn(secret, out)
        self.assertEqual(stat.S_IMODE(self.env_file.stat().st_mode), 0o600)
        self.assertIn("katana init", self.sandbox.wait_text("TEST", chat=OPS_CHAT, bot=ALERT_TOKEN))
        self.assertEqual(self.d.command("check-config")[0], 0)

        katana = self.d.up()
        self.assertTrue((self.d.directory / "state" / "katana.db").exists(), "its state is beside the settings")
        self.sandbox.say("Hello", chat=STRANGER)
        code = re.search(r"katana allow (\S+)", self.sandbox.wait_text("katana allow", chat=STRANGER))[1]
        self.assertIn("as an admin", self.d.command("allow", code)[1])
        self.sandbox.script(answer="You made it.")
        self.d.ask("Did I?", "You made it.", chat=STRANGER)
        self.assertEqual(katana.stop(), 0)

        before = self.env_file.read_text()
        status, out, err = self.init(USERS_TOKEN, *KEYS, ALERT_TOKEN)
        self.assertEqual(status, 1)
        self.assertIn("--force", err)
        self.assertEqual(self.env_file.read_text(), before, "nothing is written over")

    def test_the_way_out_may_be_a_proxy(self):
        nobody = f"http://user:proxy-password@127.0.0.1:{free_port()}"
        self.d.set(KATANA_PROVIDER_PROXY=nobody)
        status, out, err = self.init(USERS_TOKEN, KEYS[0])
        self.assertEqual(status, 1)
        self.assertIn("works: @", out)
        self.assertIn("Anthropic", err)
        self.d.set(KATANA_PROVIDER_PROXY=None, KATANA_TELEGRAM_PROXY=nobody)
        status, out, err = self.init(USERS_TOKEN)
        self.assertEqual(status, 1)
        self.assertIn("Telegram doesn't take it", err)
        self.assertNotIn("proxy-password", out + err)

    def test_one_key_and_no_alerts_will_do(self):
        status, out, err = self.init(USERS_TOKEN, "", KEYS[1], "")
        self.assertEqual((status, err), (0, ""))
        self.assertIn("nobody will be told", out)
        self.assertNotIn("ANTHROPIC_API_KEY", self.env_file.read_text())
        self.assertEqual(self.d.command("check-config")[0], 0)

    def test_wrong_answers_are_found_before_anything_is_written(self):
        self.sandbox.post("switch", keys=["tests-anthropic-key"])
        for answers, words in ((["no token"], "@BotFather"),
                               (["100000009:TESTS-nobodys-bot-token-000000000000"], "Telegram doesn't take it"),
                               ([USERS_TOKEN, KEYS[0], "tests-wrong-key"], "the key is refused"),
                               ([USERS_TOKEN, "", ""], "without a key nobody can answer"),
                               ([USERS_TOKEN, KEYS[0], "", USERS_TOKEN], "make a second one"),
                               ([USERS_TOKEN], "the input ended here")):
            with self.subTest(words):
                status, out, err = self.init(*answers)
                self.assertEqual(status, 1)
                self.assertIn(words, err)
                for secret in answers:
                    if len(secret) > 10:
                        self.assertNotIn(secret, out + err)
                self.assertFalse(self.env_file.exists())

    def test_at_a_terminal_secrets_are_not_shown(self):
        master, slave = pty.openpty()
        init = subprocess.Popen([BIN / "katana", "init"], env=self.d.env, cwd=self.d.directory, stdin=slave, stdout=slave,
                                stderr=slave, start_new_session=True)
        self.addCleanup(lambda: init.poll() is None and (init.kill(), init.wait()))
        os.close(slave)
        shown = []

        def read():
            try:
                while piece := os.read(master, 4096):
                    shown.append(piece.decode(errors="replace"))
            except OSError:
                pass  # the other end is closed

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        for question, answer in (("Token (not shown):", "not a token"), ("that is no bot token", USERS_TOKEN),
                                 ("Anthropic key", KEYS[0]), ("OpenAI key", KEYS[1]), ("Alert bot's token", ALERT_TOKEN)):
            eventually(question, lambda: question in "".join(shown))
            # Echo is off before a question is asked.
            eventually("it waits for the answer", lambda: "".join(shown).endswith(": "))
            os.write(master, (answer + "\n").encode())
        self.give_code(init, lambda: "".join(shown))
        self.assertEqual(init.wait(LIMIT), 0, "".join(shown))
        reader.join(LIMIT)
        os.close(master)
        for secret in (USERS_TOKEN, ALERT_TOKEN, *KEYS):
            self.assertNotIn(secret, "".join(shown))
        self.assertTrue(pathlib.Path(self.env_file).exists())


if __name__ == "__main__":
    main()
