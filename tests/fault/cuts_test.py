"""A worker whose connection to the gateway is held up or swallowed, one way or both, reset, slow, or torn to single bytes.

KATANA_TIMES=judge (tests/fault/run.sh, where nothing else runs) also judges how soon a cut is noticed and healed.
"""

import os
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "functional"))

from checker import Question, calls_of, history, judge, judge_pace  # noqa: E402
from harness import USERS_TOKEN, Case, eventually, main  # noqa: E402
from proxy import DOWN, UP, Proxy  # noqa: E402

CHATS = range(7000, 7004)
NOTICED, CONVERGED = 3.0, 10.0  # seconds, from the cut and from its end
JUDGED = os.environ.get("KATANA_TIMES") == "judge"


class Cuts(Case):
    settings = {"OPENAI_BASE_URL": None, "OPENAI_API_KEY": None, "OPENAI_API": None, "KATANA_ACCESS": "open",
                "KATANA_TELEGRAM_LIMITS": None}

    def setUp(self):
        super().setUp()
        self.d.make_directories()
        self.gateway = self.d.start("katana-gateway")
        run = self.d.directory / "run"
        eventually("the gateway listens", (run / "jobs.ipc").exists)
        self.proxy = Proxy(run / "proxy.ipc", run / "jobs.ipc")
        self.addCleanup(self.proxy.close)
        self.worker = self.d.start("katana-claude", KATANA_BUS=f"ipc://{run}/proxy.ipc")
        self.d.wait_ready(("claude",))
        self.asked = []

    def ask(self, how="tokens=30 token_ms=60"):
        for chat in CHATS:
            question = Question(chat, f"END-{len(self.asked)}!")
            self.asked.append(question)
            self.sandbox.say(f"[[{how} first_ms=0 end={question.marker}]]", chat=chat)

    def wait_begun(self):
        eventually("all answers have begun", lambda: all(self.sandbox.texts(c) and self.sandbox.texts(c)[-1] != "…" for c in CHATS))

    def within(self, limit, since, what):
        took = time.monotonic() - since
        print(f"{self._testMethodName}: {what} after {took:.2f} s", flush=True)
        if JUDGED:
            self.assertLessEqual(took, limit, what)

    def cut(self, *ways):
        self.proxy.hold(*ways)
        return time.monotonic()

    def heal(self):
        self.proxy.heal()
        healed = time.monotonic()
        self.await_answers()
        self.within(CONVERGED, healed, "all is answered")

    def await_answers(self):
        for question in self.asked:
            self.sandbox.wait_text(question.marker, chat=question.chat)

    def assert_converges(self):
        self.await_answers()
        self.ask("tokens=2 token_ms=0")
        for question in self.asked:
            self.sandbox.wait_text(question.marker, chat=question.chat)
        verdict = judge(self.asked, history(self.sandbox, CHATS))
        self.assertEqual((verdict.sins, verdict.strays), ({}, []))
        # Whatever the worker sends anew, what is shown keeps Telegram's pace.
        record = self.sandbox.record(brief=1)
        self.assertEqual(judge_pace(calls_of(record, int(USERS_TOKEN.split(":")[0]))), [])

    def jobs_begun(self):
        return len(self.sandbox.record(call="messages", brief=1))

    def workers(self):
        return self.d.health()[1]["workers"]["claude"]

    def test_held_both_ways(self):
        self.ask()
        self.wait_begun()
        since = self.cut(UP, DOWN)
        eventually("the gateway misses it", lambda: self.workers() == 0)
        self.within(NOTICED, since, "the gateway misses the worker")
        eventually("it misses the gateway", lambda: "connecting anew" in self.worker.log())
        self.within(NOTICED, since, "both miss each other")
        self.heal()
        self.assert_converges()

    def test_held_towards_the_gateway(self):
        self.ask()
        self.wait_begun()
        since = self.cut(UP)
        eventually("the gateway misses it", lambda: self.workers() == 0)
        self.within(NOTICED, since, "the gateway misses the worker")
        self.heal()
        self.assert_converges()

    def test_held_towards_the_worker(self):
        self.ask()
        self.wait_begun()
        since = self.cut(DOWN)
        eventually("it misses the gateway", lambda: "connecting anew" in self.worker.log())
        self.within(NOTICED, since, "the worker misses the gateway")
        self.heal()
        self.assert_converges()

    def test_swallowed_towards_the_gateway(self):
        self.ask()
        self.wait_begun()
        self.proxy.black_hole(UP)
        eventually("the gateway misses it", lambda: self.workers() == 0)
        self.heal()
        self.assert_converges()

    def test_swallowed_towards_the_worker(self):
        self.ask()
        self.wait_begun()
        self.proxy.black_hole(DOWN)
        eventually("it misses the gateway", lambda: "connecting anew" in self.worker.log())
        self.heal()
        self.assert_converges()

    def test_reset_again_and_again(self):
        self.ask()
        self.wait_begun()
        for again in range(5):
            before = self.proxy.accepted
            self.proxy.reset()
            eventually("it is back", lambda: self.proxy.accepted > before and self.workers() == 1)
        self.assert_converges()
        self.assertEqual(len(self.sandbox.record(call="messages")), len(self.asked), "no provider was asked twice")

    def test_cut_off_for_long_under_one_job_is_no_death(self):
        self.ask("tokens=60 token_ms=150")
        for again in range(2):
            self.wait_begun()
            self.proxy.hold(UP, DOWN)
            self.proxy.reset()
            eventually("it is given up", lambda: self.workers() == 0 and self.gateway.log().count("is gone with") == again + 1)
            self.proxy.heal()
            eventually("it is given the jobs again", lambda: self.jobs_begun() == (again + 2) * len(CHATS))
        self.assert_converges()

    def test_late_by_a_second_each_way(self):
        self.proxy.slow(up=1, down=1)
        self.ask("tokens=6 token_ms=5")
        self.assert_converges()
        self.assertEqual(len(self.sandbox.record(call="messages")), len(self.asked), "slow isn't gone")

    def test_at_1_kb_a_second(self):
        self.proxy.limit(1024)
        self.ask("tokens=30 token_ms=5")
        self.assert_converges()
        self.assertEqual(len(self.sandbox.record(call="messages")), len(self.asked), "slow isn't gone")

    def test_single_bytes(self):
        self.proxy.cut_to(1)
        self.ask("tokens=6 token_ms=5")
        self.assert_converges()


if __name__ == "__main__":
    main()
