"""`katana up` starts in order and stops in good order, whoever asks it to."""

import fcntl
import os
import pty
import signal
import socket
import subprocess
import termios

from harness import ALERT_TOKEN, BIN, LIMIT, USERS_TOKEN, Case, eventually, main
from watching import in_chat, in_mail, kill, processes_of, replaced, told, wait_up

EVERY_PROGRAM = ["katana", "katana-claude", "katana-gateway", "katana-openai", "katana-watchdog"]


class Start(Case):
    def test_the_order_of_start_is_by_readiness(self):
        katana = self.d.up()
        wait_up(self.d)
        log = katana.log()
        order = [log.index(words) for words in (
            "Initializing katana up", "Initializing katana-watchdog", "watchdog.service - INFO - Started",
            "Initializing katana-gateway", "gateway.service - INFO - Started", "Initializing katana-claude")]
        self.assertEqual(order, sorted(order), "each waits for what it needs")
        self.assertGreater(log.index("Initializing katana-openai"), log.index("gateway.service - INFO - Started"))

    def test_two_at_once_are_refused(self):
        self.d.up()
        wait_up(self.d)
        second = self.d.start("katana", "up", name="second")
        self.assertEqual(second.wait(), 1)
        self.assertIn("runs already", second.log())
        self.assertEqual(self.d.health()[0], 200, "the first doesn't mind")


class Reload(Case):
    def test_fresh_secrets_in_their_files_are_taken_without_a_restart(self):
        users, ops = self.d.directory / "users.token", self.d.directory / "ops.token"
        for file, token in ((users, USERS_TOKEN), (ops, ALERT_TOKEN)):
            file.touch(mode=0o600)
            file.write_text(token.split(":")[0] + ":" + "x" * 35)
        self.d.set(KATANA_TELEGRAM_TOKEN=None, KATANA_TELEGRAM_TOKEN_FILE=users,
                   TELEGRAM_ALERT_BOT_TOKEN=None, TELEGRAM_ALERT_BOT_TOKEN_FILE=ops)
        katana = self.d.start("katana", "up", name="katana")
        eventually("the users' token is refused", lambda: self.d.health()[0] == 503 and "401" in self.d.health()[1]["reason"])
        eventually("the ops bot's too", lambda: any("telegram" in subject for subject in in_mail(self.d)))
        eventually("all of them run", lambda: EVERY_PROGRAM == sorted(processes_of(self.d).values()))
        before = processes_of(self.d)
        users.write_text(USERS_TOKEN)
        ops.write_text(ALERT_TOKEN)
        katana.signal(signal.SIGHUP)
        self.sandbox.script(answer="With the new one.")
        self.d.ask("Which token is it?", "With the new one.")
        eventually("the ops chat can be told", lambda: "telegram: sent" in self.d.command("alert-test")[1])
        self.assertEqual(processes_of(self.d), before, "nothing was restarted")


    def test_a_process_that_has_just_started_does_not_die_of_it(self):
        katana = self.d.up()
        wait_up(self.d)
        for _ in range(3):
            former = self.d.pid_of("claude-1")
            os.kill(former, signal.SIGKILL)

            def back():
                katana.signal(signal.SIGHUP)  # again and again while it starts
                return self.d.pid_of("claude-1") not in (None, former)

            eventually("it is back", back)
        self.assertNotIn("signal 1 (HUP)", katana.log())


class Stop(Case):
    def test_every_signal_stops_all_of_it(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(number.name):
                katana = self.d.up()
                wait_up(self.d)
                self.assertEqual(len(processes_of(self.d)), 5)
                katana.signal(number)
                self.assertEqual(katana.wait(), 0)
                self.assertEqual(processes_of(self.d), {}, "nothing is left running")
        log = katana.log()
        for words in ("Stopping: polling ends", "Stopping: storing what is unfinished", "everything has stopped"):
            self.assertIn(words, log)
        self.assertEqual(in_chat(self.d) + in_mail(self.d), [], "a stop in good order alarms nobody")

    def test_a_long_answer_is_waited_for_once_and_kept(self):
        """20 s for all of it, not 20 for each process: within the 30 that supervisors give."""
        katana = self.d.up()
        self.sandbox.say("[[tokens=400 token_ms=150 first_ms=0 end=LONG-1!]]")
        eventually("it is being written", lambda: len(self.sandbox.texts()) == 1 and len(self.sandbox.texts()[0]) > 5)
        katana.signal(signal.SIGTERM)
        self.assertEqual(katana.wait(30), 0)
        self.assertIn("still in hand after 20 s", katana.log())
        self.assertEqual(processes_of(self.d), {}, "nothing is left running")
        self.sandbox.script(answer="LONG-2!", first_ms=0)
        self.d.up()
        self.sandbox.wait_text("LONG-", limit=2 * LIMIT)
        self.assertEqual(len(self.sandbox.texts()), 1, "answered in the message that stood there")

    def test_the_page_is_not_worth_the_service(self):
        port = int(self.d.watchdog_http.split(":")[1])
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", port))
            taken.listen()
            katana = self.d.up()
            self.sandbox.script(answer="All the same.")
            self.d.ask("Are you there?", "All the same.")
            self.assertIn("set KATANA_WATCHDOG_HTTP to another address", katana.log())
        eventually("the page is there as soon as its address is free", lambda: self.d.status()["processes"])

    def test_a_closed_terminal_stops_all_of_it(self):
        master, slave = pty.openpty()
        self.addCleanup(self.close, master)
        katana = subprocess.Popen(
            [BIN / "katana", "up"], env=self.d.env, cwd=self.d.directory, stdin=slave, stdout=slave, stderr=slave,
            start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        self.addCleanup(lambda: katana.poll() is None and (katana.kill(), katana.wait()))
        os.close(slave)
        self.d.wait_ready()
        wait_up(self.d)
        self.close(master)
        self.assertEqual(katana.wait(60), 0)
        self.assertEqual(processes_of(self.d), {}, "nothing is left running")

    @staticmethod
    def close(descriptor):
        try:
            os.close(descriptor)
        except OSError:
            pass  # closed already

    def test_a_running_answer_is_finished_and_a_waiting_question_kept(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(number.name):
                self.sandbox.post("reset")
                katana = self.d.up()
                self.sandbox.script(match="story", tokens=10, token_ms=200, answer="Once upon a time there was an end. " + number.name)
                self.sandbox.say("Tell me a story")
                self.sandbox.wait_text("Once upon")
                before = len(self.sandbox.record(call="messages"))
                heard = katana.log().count("Text=And who are you?")  # the log goes on from one start to the next
                self.sandbox.say("And who are you?")
                eventually("the second question is in the store",
                           lambda: katana.log().count("Text=And who are you?") > heard)
                katana.signal(number)
                self.assertEqual(katana.wait(), 0)
                self.assertIn("Once upon a time there was an end. " + number.name, self.sandbox.texts(), "it was finished")
                self.assertEqual(len(self.sandbox.record(call="messages")), before, "nothing new was begun")
                self.assertEqual(processes_of(self.d), {})
                self.sandbox.script(match="who are you", answer="I am the one after. " + number.name)
                katana = self.d.up()
                self.sandbox.wait_text("I am the one after. " + number.name)
                self.sandbox.script(match="is that all", answer="That is all. " + number.name)
                self.d.ask("is that all", "That is all. " + number.name)
                self.assertEqual(sum("I am the one after. " + number.name in t for t in self.sandbox.texts()), 1, "answered once")
                self.assertEqual(katana.stop(), 0)

    def test_a_second_signal_ends_it_at_once(self):
        katana = self.d.up()
        wait_up(self.d)
        self.sandbox.script(match="story", tokens=300, token_ms=200, answer="word " * 300 + "END")
        self.sandbox.say("Tell me a long story")
        self.sandbox.wait_text("word")
        katana.signal(signal.SIGTERM)
        eventually("it waits for the answer", lambda: "1 answer is being written" in katana.log()
                   or "1 job in hand" in katana.log())
        self.assertIsNone(katana.popen.poll())
        katana.signal(signal.SIGTERM)
        self.assertEqual(katana.wait(), 130)
        eventually("nothing is left", lambda: not processes_of(self.d))
        self.assertNotIn("END", "".join(self.sandbox.texts()), "it didn't wait for the answer")
        self.assertNotIn("going on without them", katana.log(), "nor for the end of the drain")


class BadSetting(Case):
    def test_a_bad_setting_ends_it_with_status_2_before_anything_starts(self):
        for program in ("katana", "katana-gateway", "katana-claude", "katana-openai", "katana-watchdog"):
            with self.subTest(program):
                process = self.d.start(program, *(["up"] if program == "katana" else []), name=program,
                                       KATANA_LOG_LEVEL="loud")
                self.assertEqual(process.wait(), 2)
                lines = process.log().strip().splitlines()
                self.assertEqual(len(lines), 1, lines)
                self.assertIn("KATANA_LOG_LEVEL", lines[0])
                self.assertIn("info", lines[0], "it names the mend")
        self.assertEqual(self.sandbox.record(), [], "nobody was called")

    def test_a_child_that_refuses_a_setting_is_not_restarted(self):
        key = self.d.directory / "openai.key"
        key.write_text(self.d.env["OPENAI_API_KEY"] + "\n")
        key.chmod(0o600)
        self.d.set(OPENAI_API_KEY=None, OPENAI_API_KEY_FILE=key)
        katana = self.d.up()
        pids = wait_up(self.d)
        key.chmod(0o644)
        kill(pids["openai-1"])
        notice = told(self.d, "CRITICAL", "openai-1 does not start, a setting is wrong")
        self.assertIn("OPENAI_API_KEY: other users can read", notice)
        # Another process's whole round shows that this one isn't tried again.
        kill(pids["claude-1"])
        replaced(self.d, "claude-1", pids["claude-1"])
        self.assertEqual(katana.log().count("openai-1 has ended"), 2, "killed once, refused once")
        self.assertEqual([i["title"] for i in self.d.status()["incidents"] if "setting" in i["title"]],
                         [notice.splitlines()[0].split("CRITICAL ")[1]])
        self.assertEqual(katana.stop(), 0)
        key.chmod(0o600)
        self.d.up()
        wait_up(self.d)
        told(self.d, "RESOLVED", "openai-1 does not start", "lasted")


class Off(Case):
    settings = {"ANTHROPIC_API_KEY": None, "ANTHROPIC_BASE_URL": None}

    def test_a_provider_without_a_key_is_not_offered_and_not_missed(self):
        katana = self.d.start("katana", "up")
        self.d.katana = katana
        self.d.wait_ready(workers=("openai",))
        wait_up(self.d, ("gateway", "openai-1"))
        self.assertIn("claude is not configured and stays off", katana.log())
        self.sandbox.script(provider="openai", answer="I am the only one.")
        self.d.ask("Who is there?", "I am the only one.")
        self.d.ask("/claude", "Claude isn't set up on this bot")
        self.assertNotIn("/claude", self.d.ask("/help", "/model"))
        offered = [c["command"] for c in self.sandbox.record(call="setMyCommands")[-1]["body"]["commands"]]
        self.assertNotIn("claude", offered)
        status = self.d.status()
        self.assertNotIn("claude", status["expect"])
        self.assertEqual([p["instance"] for p in status["processes"]], ["gateway", "openai-1"])
        self.assertTrue(status["healthy"])
        self.assertEqual(status["incidents"] + status["history"], [])

    def test_its_worker_says_so_and_ends(self):
        worker = self.d.start("katana-claude")
        self.assertEqual(worker.wait(), 0)
        self.assertIn("ANTHROPIC_API_KEY", worker.log())


if __name__ == "__main__":
    main()
