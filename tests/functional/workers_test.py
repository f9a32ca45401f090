"""Workers: many streams at once, load that is shared, and jobs that move."""

import json
import re
import signal

from harness import Case, eventually, main

QUESTIONS = 12


class Load(Case):
    settings = {"OPENAI_BASE_URL": None, "OPENAI_API_KEY": None, "OPENAI_API": None, "KATANA_ACCESS": "open"}

    def test_500_streams_at_once_through_one_worker(self):
        self.d.serve("claude")
        report = self.sandbox.post("load", chats=520, messages=1040, tokens=40, token_ms=100, patience_s=120, wait=True)
        report = report.get("report", report)
        self.assertEqual((report["messages"], report["lost"], report["doubled"], report["asked_again"]), (1040, 0, 0, 0), report)
        self.assertEqual(report["errors"], 0, report)
        self.assertGreaterEqual(json.loads(self.sandbox.get("stats"))["answers_most_at_once"], 500)

    def test_a_question_that_no_worker_is_there_for_alarms(self):
        gateway = self.d.serve("claude")
        worker = self.d.processes[-1]
        self.assertEqual(worker.stop(), 0)
        self.sandbox.script(answer="At last.")
        self.sandbox.say("Anybody?")
        _, health = eventually("it is unhealthy", lambda: (h := self.d.health())[0] == 503 and h)
        self.assertIn("no claude worker is here", health["reason"])
        self.d.start("katana-claude", name="claude-again")
        self.sandbox.wait_text("At last.")
        eventually("it is well again", lambda: self.d.health()[0] == 200)
        self.assertIsNone(gateway.popen.poll())

    def start_two(self):
        """The gateway and two workers of a kind; (gateway, [worker, worker])."""
        gateway = self.d.serve("claude")
        second = self.d.start("katana-claude", "--instance", "claude-2", name="claude-2")
        eventually("both are there", lambda: self.d.health()[1]["workers"]["claude"] == 2)
        return gateway, [self.d.processes[-2], second]

    def ask_all(self, **how):
        self.chats = [6000 + i for i in range(QUESTIONS)]
        for chat in self.chats:
            self.sandbox.script(match=f"[{chat}]", count=-1, answer=f"So {chat} it is. " * 10 + f"END-{chat}", tokens=30, **how)
            self.sandbox.say(f"Question [{chat}]", chat=chat)
        eventually("all are being answered", lambda: all(
            any("it is" in t for t in self.sandbox.texts(chat)) for chat in self.chats))

    def assert_all_answered_once(self):
        for chat in self.chats:
            self.sandbox.wait_text(f"END-{chat}", chat=chat)
        for chat in self.chats:
            self.assertEqual(sum(f"END-{chat}" in t for t in self.sandbox.texts(chat)), 1)
            self.assertEqual(len(self.sandbox.texts(chat)), 1)

    def jobs_of(self, worker):
        return set(re.findall(r"answered job (\S+)", worker.log()))

    def test_two_workers_share_and_a_stopped_one_finishes_its_own(self):
        gateway, workers = self.start_two()
        self.ask_all(token_ms=60, first_ms=0)
        workers[0].signal(signal.SIGTERM)
        self.assertEqual(workers[0].wait(), 0)
        self.assert_all_answered_once()
        done = [self.jobs_of(w) for w in workers]
        self.assertEqual(sorted(len(d) for d in done), [QUESTIONS // 2, QUESTIONS // 2], "an even share")
        self.assertEqual(len(self.sandbox.record(call="messages")), QUESTIONS, "none was asked twice")
        self.assertIn("gone with 0 jobs", gateway.log())
        self.sandbox.script(answer="From the other one.")
        self.d.ask("Still there?", "From the other one.")

    def test_what_a_stopped_worker_cannot_finish_moves(self):
        gateway = self.d.serve("claude")
        first = self.d.processes[-1]
        self.sandbox.script(answer="slow " * 400, tokens=400, token_ms=150, first_ms=0)
        self.sandbox.script(answer="Moved, and whole.")
        self.sandbox.say("A long story, please")
        self.sandbox.wait_text("slow")
        self.d.start("katana-claude", "--instance", "claude-2", name="claude-2")
        eventually("both are there", lambda: self.d.health()[1]["workers"]["claude"] == 2)
        first.signal(signal.SIGTERM)
        self.sandbox.wait_text("Moved, and whole.")
        self.assertEqual(first.wait(), 0)
        self.assertEqual(len(self.sandbox.texts()), 1, "in the message that stood there")
        self.assertIn("attempt 2", gateway.log())

    def test_a_killed_workers_jobs_move(self):
        gateway, workers = self.start_two()
        self.ask_all(token_ms=100, first_ms=0)
        workers[0].signal(signal.SIGKILL)
        workers[0].wait()
        self.assert_all_answered_once()
        self.assertIn(f"gone with {QUESTIONS // 2} jobs", gateway.log())
        self.assertEqual(len(self.jobs_of(workers[1])), QUESTIONS)
        self.assertEqual(len(self.sandbox.record(call="messages")), QUESTIONS + QUESTIONS // 2)

    def test_the_only_worker_killed_and_a_new_one_started(self):
        self.d.serve("claude")
        self.ask_all(token_ms=60, first_ms=0)
        worker = self.d.processes[-1]
        worker.signal(signal.SIGKILL)
        worker.wait()
        eventually("it is missed", lambda: self.d.health()[1]["workers"]["claude"] == 0)
        self.d.start("katana-claude", name="claude-again")
        self.assert_all_answered_once()

    def test_katana_up_starts_as_many_as_told(self):
        self.d.set(KATANA_CLAUDE_WORKERS=2)
        self.d.up_without_openai()
        eventually("both are there", lambda: self.d.health()[1]["workers"]["claude"] == 2)
        self.ask_all(token_ms=60, first_ms=0)

        def shares():
            return sorted(p["in_flight"] for p in self.d.status()["processes"] if p["component"] == "claude")

        eventually("both work", lambda: min(shares()) > 0)
        self.assert_all_answered_once()


if __name__ == "__main__":
    main()
