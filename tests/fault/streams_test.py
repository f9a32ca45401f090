"""What can go wrong with a provider's stream, in every dialect, before the first text and after it: silence, nothing but
pings, an error after status 200, an event cut in its middle, a cut connection.

Before the first text the provider is asked again and the answer is whole; after it, what was said stays, and the asker is
told. All at once, each in a chat of its own: the limits (60 s of silence, 120 s of pings) pass side by side.
"""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "functional"))

from harness import LIMIT, Deployment, eventually, main  # noqa: E402

SILENCE, PINGS = 60, 120  # seconds: workers/README.md
FAULTS = {
    # name: (how, the code that the log has for it, after how many seconds it must be seen)
    "silence": (lambda after: {"stall_after": after}, "timeout", SILENCE),
    "pings": (lambda after: {"stall_after": after, "stall_pings": True}, "timeout", PINGS),
    "error": (lambda after: {"mid_stream_error": {"after": after, "type": "overloaded_error", "message": "Overloaded"}},
              "overloaded", 0),
    "cut_event": (lambda after: {"broken_json_after": after}, "malformed", 0),
    "cut": (lambda after: {"cut_after": after}, "network", 0),
}
SLACK = 15  # seconds: a machine that is busy, and the retry's own wait
DIALECTS = {"claude": ("anthropic", "messages", {"OPENAI_BASE_URL": None, "OPENAI_API_KEY": None, "OPENAI_API": None}),
            "responses": ("openai", "responses", {"ANTHROPIC_BASE_URL": None, "ANTHROPIC_API_KEY": None}),
            "chat": ("openai", "chat", {"ANTHROPIC_BASE_URL": None, "ANTHROPIC_API_KEY": None, "OPENAI_API": "chat"})}


class Trial:
    """One dialect's deployment, with all its faults under way."""

    def __init__(self, dialect):
        provider, self.call, settings = DIALECTS[dialect]
        self.d = Deployment(KATANA_ACCESS="open", **settings)
        self.d.serve("claude" if provider == "anthropic" else "openai")
        self.chats = {}
        for name, (how, _, _) in FAULTS.items():
            for after in (0, 3):
                chat = 8000 + len(self.chats)
                self.chats[name, after] = chat
                words = f"{name}-{after}"
                self.d.sandbox.script(provider=provider, match=words, count=1, answer=f"one two three four five {words}",
                                      tokens=6, token_ms=10, first_ms=0, **how(after))
                self.d.sandbox.script(provider=provider, match=words, count=-1, answer=f"whole at last: {words}", first_ms=0)
                self.d.sandbox.say(f"Please, {words}", chat=chat)

    def calls(self, words):
        return [r for r in self.d.sandbox.record(call=self.call) if words in str(r["body"])]


class Streams(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.trials = {}
        for dialect in DIALECTS:
            cls.trials[dialect] = Trial(dialect)
            cls.addClassCleanup(cls.trials[dialect].d.close)

    def test_before_the_first_text_it_is_asked_again(self):
        for dialect, trial in self.trials.items():
            for name, (_, _, limit) in FAULTS.items():
                with self.subTest(dialect=dialect, fault=name):
                    words = f"{name}-0"
                    trial.d.sandbox.wait_text(f"whole at last: {words}", chat=trial.chats[name, 0], limit=LIMIT + PINGS)
                    first, second = trial.calls(words)
                    waited = (second["at_ns"] - first["at_ns"]) / 1e9
                    self.assertGreaterEqual(waited, limit)
                    self.assertLess(waited, limit + SLACK)

    def test_after_it_what_was_said_stays_and_its_asker_is_told(self):
        for dialect, trial in self.trials.items():
            for name, (_, code, limit) in FAULTS.items():
                with self.subTest(dialect=dialect, fault=name):
                    words, chat = f"{name}-3", trial.chats[name, 3]
                    shown = trial.d.sandbox.wait_text("broke off", chat=chat, limit=LIMIT + PINGS)
                    self.assertTrue(shown.startswith("one two three"), shown)
                    self.assertEqual(trial.d.sandbox.texts(chat), [shown], "one message, and the whole answer isn't there")
                    call, = trial.calls(words)
                    if limit:
                        held = eventually("the call has ended", lambda: trial.calls(words)[0]["answered_ns"])
                        self.assertLess((held - call["at_ns"]) / 1e9, limit + SLACK)
                    log = "".join(p.log() for p in trial.d.processes if p.name != "sandbox")
                    self.assertRegex(log, rf"(?i)gave no answer to job \S+ after [^\n]*: {code}: [^\n]*{words}")


if __name__ == "__main__":
    main()
