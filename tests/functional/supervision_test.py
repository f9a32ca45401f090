"""`katana up` looks after its processes: killed or hung ones are replaced, told of in both channels, and cost no answer."""

import signal

from harness import Case, eventually, main
from watching import ALL, in_chat, in_mail, kill, pid_of_program, processes_of, replaced, told, wait_up


class Killed(Case):
    def test_each_killed_process_is_back_alerted_and_resolved(self):
        self.d.up()
        pids = wait_up(self.d)
        # The watchdog first: what dies shortly before it is told again by its successor, which can't know.
        watchdog = pid_of_program(self.d, "katana-watchdog")
        kill(watchdog)
        self.assert_told("watchdog")
        self.assertNotEqual(pid_of_program(self.d, "katana-watchdog"), watchdog)
        self.assertEqual(wait_up(self.d), pids, "the others outlive their watchdog")
        for name in ALL:
            with self.subTest(name):
                kill(pids[name])
                pids[name] = replaced(self.d, name, pids[name])
                self.assert_told(name)
        self.sandbox.script(answer="As if nothing had been.")
        self.d.ask("Still there?", "As if nothing had been.")
        for texts in (in_chat(self.d), in_mail(self.d)):
            self.assertEqual(len(texts), 8, f"one notice when it fails, one when it is back, and no others: {texts}")

    def assert_told(self, name):
        told(self.d, "RESOLVED", name, "killed by signal 9")
        alarm = next(t for t in in_chat(self.d) if name in t)
        self.assertRegex(alarm, "CRITICAL|WARNING")
        over = next(t for t in in_chat(self.d) if "RESOLVED" in t and name in t)
        self.assertRegex(over, r"Lasted: \d+(\.\d)? (ms|s|min)", "it says how long it lasted")
        subject = next(s for s in in_mail(self.d) if "RESOLVED" in s and name in s)
        self.assertRegex(subject, r", lasted \d+(\.\d)? (ms|s)", "so does the mail")
        chat = in_chat(self.d)
        self.assertLess(chat.index(alarm), chat.index(over))

    def test_a_worker_killed_in_mid_answer_costs_nothing(self):
        self.d.up()
        pids = wait_up(self.d)
        self.sandbox.script(provider="anthropic", match="count", count=2, tokens=20, token_ms=100,
                            answer="one two three four five six seven eight nine ten and that is all")
        self.sandbox.say("Please count")
        self.sandbox.wait_text("one two")
        kill(pids["claude-1"])
        self.sandbox.wait_text("that is all")
        self.assertEqual(len(self.sandbox.record(call="messages")), 2, "asked once more, by the worker's successor")
        self.sandbox.script(provider="anthropic", answer="Next.")
        self.d.ask("And now?", "Next.")
        self.assertEqual(self.sandbox.texts(), ["one two three four five six seven eight nine ten and that is all", "Next."])

    def test_the_gateway_killed_in_mid_answer_costs_nothing(self):
        self.d.up()
        pids = wait_up(self.d)
        self.sandbox.script(provider="anthropic", match="count", count=2, tokens=20, token_ms=100,
                            answer="one two three four five six seven eight nine ten and that is all")
        self.sandbox.say("Please count")
        self.sandbox.wait_text("one two")
        kill(pids["gateway"])
        self.sandbox.wait_text("that is all")
        self.assertEqual(len(self.sandbox.record(call="messages")), 1, "its worker kept on, and was adopted again")
        self.sandbox.script(provider="anthropic", answer="Next.")
        self.d.ask("And now?", "Next.")
        self.assertEqual(self.sandbox.texts(), ["one two three four five six seven eight nine ten and that is all", "Next."])


class Hung(Case):
    def test_a_stopped_worker_is_recognised_as_hung_and_replaced(self):
        self.d.up()
        pids = wait_up(self.d)
        kill(pids["claude-1"], signal.SIGSTOP)
        told(self.d, "CRITICAL", "claude-1 hangs")
        replaced(self.d, "claude-1", pids["claude-1"])
        told(self.d, "RESOLVED", "claude-1 hangs", "lasted")
        self.assertNotIn(pids["claude-1"], processes_of(self.d), "the hung one is gone")
        self.sandbox.script(provider="anthropic", answer="Awake.")
        self.d.ask("Hello?", "Awake.")

    def test_a_stopped_gateway_is_recognised_as_hung_and_replaced(self):
        self.d.up()
        pids = wait_up(self.d)
        kill(pids["gateway"], signal.SIGSTOP)
        self.sandbox.script(answer="Sorry for the wait.")
        self.sandbox.say("Anybody there?")
        told(self.d, "CRITICAL", "gateway hangs")
        replaced(self.d, "gateway", pids["gateway"])
        told(self.d, "RESOLVED", "gateway hangs", "lasted")
        self.sandbox.wait_text("Sorry for the wait.")
        self.sandbox.script(answer="Next.")
        self.d.ask("And now?", "Next.")
        self.assertEqual(self.sandbox.texts(), ["Sorry for the wait.", "Next."])

    def test_a_stopped_watchdog_is_replaced_by_its_parent(self):
        self.d.up()
        pids = wait_up(self.d)
        watchdog = pid_of_program(self.d, "katana-watchdog")
        kill(watchdog, signal.SIGSTOP)
        told(self.d, "RESOLVED", "watchdog", "lasted")
        self.assertNotEqual(pid_of_program(self.d, "katana-watchdog"), watchdog)
        self.assertEqual(wait_up(self.d), pids, "the others outlive their watchdog")


class Parent(Case):
    def test_what_a_killed_parent_leaves_behind_ends_by_itself(self):
        katana = self.d.up()
        wait_up(self.d)
        self.assertEqual(len(processes_of(self.d)), 5)
        katana.signal(signal.SIGKILL)
        katana.wait()
        told(self.d, "CRITICAL", "katana up was killed")
        eventually("nothing is left", lambda: not processes_of(self.d))
        self.sandbox.script(answer="Here again.")
        self.d.up()
        told(self.d, "RESOLVED", "katana up was killed")
        self.d.ask("Anybody there?", "Here again.")


if __name__ == "__main__":
    main()
