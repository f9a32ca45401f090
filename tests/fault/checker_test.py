"""The checker finds each sin in a history that has it, and nothing in one that has none."""

import unittest

from checker import Message, Question, judge

A, B, C = Question(1, "A!"), Question(1, "B!"), Question(2, "C!")
GOOD = [Message(1, 10, "so A!", ("…",)), Message(1, 12, "so B!", ("…", "so")), Message(2, 10, "so C!")]


class Checker(unittest.TestCase):
    def judge(self, messages):
        return judge([A, B, C], messages)

    def test_a_good_history(self):
        verdict = self.judge(GOOD)
        self.assertEqual(verdict.sins, {})
        self.assertEqual(verdict.strays, [])

    def test_an_answer_that_never_came(self):
        self.assertEqual(self.judge(GOOD[1:]).sins, {"lost": [A]})

    def test_an_answer_that_was_taken_away(self):
        self.assertEqual(self.judge([Message(1, 10, None, ("so A!",)), *GOOD[1:]]).sins, {"lost": [A]})
        self.assertEqual(self.judge([Message(1, 10, "something else", ("so A!",)), *GOOD[1:]]).sins, {"lost": [A]})

    def test_an_answer_that_never_became_whole(self):
        verdict = self.judge([Message(1, 10, "so", ("…",)), *GOOD[1:]])
        self.assertEqual(verdict.sins, {"lost": [A]})
        self.assertEqual(len(verdict.strays), 1)

    def test_an_answer_in_two_messages(self):
        self.assertEqual(self.judge([*GOOD, Message(1, 14, "so A!")]).sins, {"doubled": [A]})

    def test_an_answer_that_stood_twice_for_a_moment(self):
        self.assertEqual(self.judge([*GOOD, Message(1, 14, None, ("so A!",))]).sins, {"doubled": [A]})

    def test_answers_in_the_wrong_order(self):
        swapped = [Message(1, 12, "so A!"), Message(1, 10, "so B!"), GOOD[2]]
        self.assertEqual(self.judge(swapped).sins, {"disordered": [(A, B)]})

    def test_an_answer_in_another_chat(self):
        self.assertEqual(self.judge([GOOD[0], GOOD[1], Message(1, 14, "so C!")]).sins, {"lost": [C], "misplaced": [C]})
        self.assertEqual(self.judge([*GOOD, Message(3, 1, "so C!")]).sins, {"misplaced": [C]})

    def test_a_stray_placeholder(self):
        verdict = self.judge([*GOOD, Message(2, 8, "…")])
        self.assertEqual(verdict.sins, {})
        self.assertEqual([m.message_id for m in verdict.strays], [8])


if __name__ == "__main__":
    unittest.main()
