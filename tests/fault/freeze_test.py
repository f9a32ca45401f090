"""A worker that is frozen at a step for longer than it is waited for, and thaws beside the one that took over: what it still
has to say about its old attempt changes nothing.

KATANA_BIN names the programs; they must be built with KATANA_FAIL_POINTS.
"""

import pathlib
import signal
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "functional"))

from checker import Question, history, judge  # noqa: E402
from harness import USER, Case, eventually, main  # noqa: E402


class Freeze(Case):
    settings = {"OPENAI_BASE_URL": None, "OPENAI_API_KEY": None, "OPENAI_API": None}

    def freeze_at(self, step, how):
        """Asks, and freezes the worker there; another one answers meanwhile. The worker that is thawed again."""
        self.d.make_directories()
        self.d.start("katana-gateway")
        frozen = self.d.start("katana-claude", name="frozen", FAIL_AT=f"{step}:1:stop")
        self.d.wait_ready(("claude",))
        self.asked = []
        self.ask(how)
        stat = pathlib.Path(f"/proc/{frozen.pid}/stat")
        eventually("it is frozen", lambda: stat.read_text().rsplit(")", 1)[1].split()[0] == "T")
        self.d.start("katana-claude", name="other")
        self.sandbox.wait_text(self.asked[0].marker)
        eventually("it is delivered", lambda: self.d.metric("katana_answers_total") == 1)
        self.assertEqual(self.d.metric("katana_results_stale_total"), 0)
        frozen.signal(signal.SIGCONT)
        return frozen

    def ask(self, how="tokens=2 token_ms=0"):
        question = Question(USER, f"END-{len(self.asked)}!")
        self.asked.append(question)
        self.sandbox.say(f"[[{how} first_ms=0 end={question.marker}]]")

    def assert_one_answer_each(self, frozen):
        eventually("it is back", lambda: self.d.health()[1]["workers"]["claude"] == 2)
        self.ask()
        self.sandbox.wait_text(self.asked[1].marker)
        verdict = judge(self.asked, history(self.sandbox, [USER]))
        self.assertEqual((verdict.sins, verdict.strays), ({}, []))
        self.assertEqual(frozen.stop(), 0)

    def test_a_late_result_is_fenced(self):
        frozen = self.freeze_at("answered", "tokens=2 token_ms=0")
        eventually("its result comes, late", lambda: self.d.metric("katana_results_stale_total") == 1)
        self.assert_one_answer_each(frozen)
        self.assertEqual(len(self.sandbox.record(call="messages")), 3, "both were asked the first one")

    def test_late_text_is_not_shown(self):
        frozen = self.freeze_at("first_chunk", "tokens=30 token_ms=30")
        self.assert_one_answer_each(frozen)


if __name__ == "__main__":
    main()
