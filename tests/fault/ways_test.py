"""The ways to Telegram and to the provider are delayed, slowed, torn, held up, swallowed or reset, while people ask."""

import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "functional"))

from checker import Message, Question, judge  # noqa: E402
from harness import Case, eventually, main  # noqa: E402
from proxy import DOWN, UP, Proxy  # noqa: E402

CHATS = 3
RESETS = 4  # a connection that polls is among those reset, and polling backs off
MARKS = "tokens=12 token_ms=40"  # an answer of half a second


class Ways(Case):
    settings = {"OPENAI_BASE_URL": None, "OPENAI_API_KEY": None, "OPENAI_API": None, "KATANA_ACCESS": "open"}

    def setUp(self):
        super().setUp()
        self.telegram = self.put_between("KATANA_TELEGRAM_API_URL", "")
        self.provider = self.put_between("ANTHROPIC_BASE_URL", "/anthropic")
        self.d.serve("claude")
        self.chat, self.asked = 7000, 0
        self.begin()

    def put_between(self, setting, path):
        proxy = Proxy("127.0.0.1:0", self.sandbox.url.removeprefix("http://"))
        self.addCleanup(proxy.close)
        self.d.set(**{setting: f"http://{proxy.address}{path}"})
        return proxy

    def begin(self):
        """Other chats, where nothing was said yet."""
        self.chat += CHATS
        self.questions = []
        self.before = max((r["n"] for r in self.sandbox.record(brief=1)), default=0)

    def ask(self, how=MARKS):
        for chat in range(self.chat, self.chat + CHATS):
            self.questions.append(Question(chat, f"END-{self.asked}!"))
            self.asked += 1
            self.sandbox.say(f"[[{how} first_ms=0 end={self.questions[-1].marker}]]", chat=chat)

    def wait_begun(self):
        eventually("answers have begun", lambda: all(
            self.sandbox.texts(q.chat) and self.sandbox.texts(q.chat)[-1] != "…" for q in self.questions[-CHATS:]))

    def calls(self):
        """The provider's requests of these chats."""
        return self.sandbox.record(call="messages", since=self.before, brief=1)

    def assert_converges(self, strays=0, asked_again=0):
        for question in self.questions:
            self.sandbox.wait_text(question.marker, chat=question.chat)
        self.ask("tokens=2 token_ms=0")
        for question in self.questions:
            self.sandbox.wait_text(question.marker, chat=question.chat)
        history = [Message(chat, m["message_id"], None if m["deleted"] else m.get("text", ""),
                           tuple(h.get("text", "") for h in m.get("history", [])))
                   for chat in range(self.chat, self.chat + CHATS)
                   for m in json.loads(self.sandbox.get("chat", id=chat))["messages"] if m["by_bot"]]
        verdict = judge(self.questions, history)
        self.assertEqual(verdict.sins, {})
        self.assertLessEqual(len(verdict.strays), strays, verdict.strays)
        self.assertLessEqual(len(self.calls()), len(self.questions) + asked_again)
        self.begin()

    def slow_ways(self, proxy):
        for name, trouble in (("delay", lambda: proxy.slow(up=0.3, down=0.3)), ("1 KB/s", lambda: proxy.limit(1024)),
                              ("single bytes", lambda: proxy.cut_to(1))):
            with self.subTest(name):
                trouble()
                self.ask("tokens=6 token_ms=20")
                self.assert_converges()
                proxy.heal()

    def test_telegram_slow_and_torn(self):
        self.slow_ways(self.telegram)

    def test_provider_slow_and_torn(self):
        self.slow_ways(self.provider)

    def test_telegram_held_up(self):
        for ways in ((UP,), (DOWN,), (UP, DOWN)):
            with self.subTest(ways=ways):
                self.ask()
                self.wait_begun()
                self.telegram.hold(*ways)
                eventually("all is said, and nobody hears it",
                           lambda: [c["outcome"] for c in self.calls()] == ["streamed"] * CHATS)
                self.telegram.heal()
                self.assert_converges()

    def test_provider_held_up(self):
        for ways in ((UP,), (DOWN,), (UP, DOWN)):
            with self.subTest(ways=ways):
                self.provider.hold(*ways)
                self.ask()
                eventually("they wait", lambda: all(self.sandbox.texts(q.chat)[-1:] == ["…"] for q in self.questions))
                self.provider.heal()
                self.assert_converges()

    def test_telegram_in_a_black_hole(self):
        self.ask()
        self.wait_begun()
        self.telegram.black_hole()
        eventually("something falls in", lambda: self.telegram.swallowed > 0)
        eventually("the provider has said all", lambda: [c["outcome"] for c in self.calls()] == ["streamed"] * CHATS)
        self.ask()
        self.telegram.heal()
        self.assert_converges()

    def test_provider_in_a_black_hole(self):
        self.provider.black_hole()
        self.ask()
        eventually("the requests fall in", lambda: self.provider.swallowed > 0 and all(
            self.sandbox.texts(q.chat)[-1:] == ["…"] for q in self.questions))
        self.provider.heal()
        self.assert_converges()

    def test_telegram_reset_while_answers_are_sent(self):
        """On the way down, what was asked has been done; on the way up, it never came."""
        for way in (DOWN, UP):
            with self.subTest(way):
                before = self.telegram.resets
                self.ask("tokens=60 token_ms=50")
                self.wait_begun()
                self.telegram.reset_next(RESETS, way)
                while self.telegram.resets - before < RESETS:
                    for question in self.questions:
                        self.sandbox.wait_text(question.marker, chat=question.chat)
                    self.ask()
                self.assert_converges(strays=RESETS if way == DOWN else 0)

    def test_provider_reset_before_the_first_text(self):
        for way in (DOWN, UP):
            with self.subTest(way):
                self.provider.reset_next(2, way)  # a job is tried three times
                self.ask()
                self.assert_converges(asked_again=2)
                self.assertEqual(self.provider.to_reset, 0)

    def test_provider_reset_in_mid_answer(self):
        self.ask("tokens=100 token_ms=50")
        self.wait_begun()
        self.provider.reset()
        for question in self.questions:
            eventually("it is told", lambda: "broke off" in self.sandbox.texts(question.chat)[-1])
        self.assertEqual(len(self.calls()), CHATS, "never asked again once there is text")
        self.assertEqual([len(self.sandbox.texts(q.chat)) for q in self.questions], [1] * CHATS)


if __name__ == "__main__":
    main()
