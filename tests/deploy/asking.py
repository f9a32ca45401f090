"""What the deployment tests ask of a bot, and the table in which they say what they measured."""

import pathlib
import re
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "functional"))

from harness import USER, eventually  # noqa: E402

PACE = 0.5  # seconds between two rounds of questions
TABLE = []


def print_table():
    width = max((len(what) for what, _ in TABLE), default=0)
    for what, value in TABLE:
        print(f"{what:<{width}}  {value}")


class Asking:
    """For a test case with a `sandbox`, and its admitted `users`."""

    limit = 120

    def ask(self, words, user=USER):
        self.sandbox.script(answer=f"You said: {words}")
        self.sandbox.say(words, chat=user)
        self.sandbox.wait_text(f"You said: {words}", chat=user, limit=self.limit)

    def begin_a_long_answer(self):
        self.sandbox.say("A long one [[tokens=100 token_ms=40 end=END-of-it.]]")
        eventually("it is being written", lambda: any(len(t) > 60 and "END" not in t for t in self.sandbox.texts()[-1:]))

    def assert_the_long_answer_is_whole(self):
        self.assertTrue(any(t.rstrip().endswith("END-of-it.") for t in self.sandbox.texts()), self.sandbox.texts()[-1])

    def answered(self, user):
        """The numbers of this chat's answered questions, as they stand in it."""
        return [int(n) for n in re.findall(rf"END-{user}-(\d+)\.", " ".join(self.sandbox.texts(user)))]

    def under_load(self, happening, rounds=2):
        """Asks in every chat, round after round, while something happens and for so many answered rounds more. Every question is
        answered once, and in order; how many there were."""
        asked, stop = {user: 0 for user in self.users}, threading.Event()

        def ask_on():
            while not stop.is_set():
                for user, number in asked.items():
                    self.sandbox.say(f"Go on [[tokens=12 token_ms=20 end=END-{user}-{number}.]]", chat=user)
                    asked[user] = number + 1
                stop.wait(PACE)

        load = threading.Thread(target=ask_on)
        load.start()
        try:
            happening()
            self.wait_for_rounds(rounds)
        finally:
            stop.set()
            load.join()
        for user, number in asked.items():
            eventually(f"chat {user} has all its answers", lambda: number - 1 in self.answered(user), self.limit)
            self.assertEqual(self.answered(user), list(range(number)))
        return sum(asked.values())

    def wait_for_rounds(self, count):
        """Until every chat has so many answers more than now."""
        before = {user: len(self.answered(user)) for user in self.users}
        eventually(f"{count} more answers in every chat",
                   lambda: all(len(self.answered(user)) >= before[user] + count for user in self.users), self.limit)
