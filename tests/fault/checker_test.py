"""The checker finds each sin in a history that has it, and nothing in one that has none."""

import pathlib
import sqlite3
import tempfile
import unittest

from checker import Breach, Call, Message, Question, calls_of, judge, judge_pace, judge_store

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
        part = Message(1, 10, "so", ("…",))
        self.assertEqual(self.judge([part, *GOOD[1:]]).sins, {"lost": [A], "fragments": [part]})

    def test_an_answer_of_several_messages(self):
        long = Question(5, "L!", 3)
        parts = [Message(5, 4, "first"), Message(5, 7, "second"), Message(5, 8, "third L!")]
        self.assertEqual(judge([long], [Message(5, 3, "…"), *parts]).sins, {})
        self.assertEqual(judge([long], parts[1:]).sins, {"lost": [long]})
        twice = Message(5, 6, "second")
        self.assertEqual(judge([long], [*parts, twice]).sins, {"fragments": [parts[0]]})

    def test_a_part_of_an_answer_beside_the_whole(self):
        part = Message(2, 8, "90 % of it ▉", ("…",))
        verdict = self.judge([*GOOD, part])
        self.assertEqual((verdict.sins, verdict.strays), ({"fragments": [part]}, []))

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

    def test_an_answer_that_is_not_what_the_model_said(self):
        short = Question(6, "S!", text="one two S!")
        self.assertEqual(judge([short], [Message(6, 1, "one\ntwo S!")]).sins, {}, "line breaks apart")
        self.assertEqual(judge([short], [Message(6, 1, "one one two S!")]).sins, {"altered": [short]})
        self.assertEqual(judge([short], [Message(6, 1, "two S!")]).sins, {"altered": [short]})
        long = Question(5, "L!", 3, "first second third L!")
        parts = [Message(5, 4, "first"), Message(5, 7, "second"), Message(5, 8, "third L!")]
        self.assertEqual(judge([long], parts).sins, {})
        swapped = [Message(5, 4, "second"), Message(5, 7, "first"), parts[2]]
        self.assertEqual(judge([long], swapped).sins, {"altered": [long]})

    def test_a_stray_placeholder(self):
        verdict = self.judge([*GOOD, Message(2, 8, "…")])
        self.assertEqual(verdict.sins, {})
        self.assertEqual([m.message_id for m in verdict.strays], [8])


class Store(unittest.TestCase):
    """Three questions; B was given to a second worker. Only the columns that are judged."""

    GOOD = """
        CREATE TABLE open_turns (turn_id); CREATE TABLE replies (reply_id); CREATE TABLE dead_letters (turn_id);
        CREATE TABLE turns (turn_id INTEGER PRIMARY KEY, answered, attempt, abandoned, answer);
        CREATE TABLE attempts (turn_id, attempt); CREATE TABLE usage (hour, calls);
        INSERT INTO turns VALUES (1, 1, 1, '', 'so A!'), (2, 1, 2, '', 'so B!'), (3, 1, 1, '', 'so C!');
        INSERT INTO attempts VALUES (2, 1);
        INSERT INTO usage VALUES (100, 3), (101, 1)"""

    def wrong(self, *changes):
        path = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory(prefix="katana-"))) / "k.db"
        database = sqlite3.connect(path)
        database.executescript(";".join((self.GOOD, *changes)))
        database.close()
        return judge_store(path, [A, B, C])

    def test_a_good_store(self):
        self.assertEqual(self.wrong(), [])

    def test_each_sin(self):
        for change, told in (
                ("INSERT INTO open_turns VALUES (3)", "rows are left in open_turns"),
                ("INSERT INTO replies VALUES (1)", "rows are left in replies"),
                ("DELETE FROM turns WHERE turn_id = 3; UPDATE usage SET calls = 2 WHERE hour = 100", "C! has 0 answers"),
                ("INSERT INTO turns VALUES (4, 1, 1, '', 'so C!'); UPDATE usage SET calls = 4 WHERE hour = 100", "C! has 2 answers"),
                ("INSERT INTO turns VALUES (4, 1, 1, '', '?'); UPDATE usage SET calls = 4 WHERE hour = 100", "4 turns are answered"),
                ("UPDATE turns SET answered = 0 WHERE turn_id = 3", "C! has 0 answers"),
                ("INSERT INTO dead_letters VALUES (3)", "1 dead letters"),
                ("UPDATE turns SET abandoned = 'blocked' WHERE turn_id = 3", "1 answers were given up"),
                ("DELETE FROM attempts", "3 attempts are kept, of 4"),
                ("INSERT INTO attempts VALUES (2, 1)", "5 attempts are kept, of 4"),
                ("UPDATE usage SET calls = 4 WHERE hour = 100", "5 calls are booked, of 4"),
                ("UPDATE usage SET calls = 2 WHERE hour = 100", "3 calls are booked, of 4")):
            with self.subTest(change):
                self.assertIn(told, " ".join(self.wrong(change)))

    def test_a_damaged_one(self):
        path = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory(prefix="katana-"))) / "k.db"
        path.write_bytes(b"SQLite format 3\0" + b"x" * 8192)
        self.assertIn("damaged", judge_store(path, [])[0])


def steady(count, every, chat=lambda i: i + 1, begin=100.0):
    return [Call(begin + i * every, chat(i)) for i in range(count)]


class Pace(unittest.TestCase):
    def kinds(self, calls, starts=()):
        return [(b.what, b.chat) for b in judge_pace(calls, starts)]

    def test_a_good_pace(self):
        burst = [Call(100, 7), Call(100.1, 7), Call(100.2, 7), Call(101, 7), Call(102, 7), Call(103, 7)]
        group = [Call(100 + i, -7) for i in range(3)] + [Call(103 + 4 * i, -7) for i in range(40)]
        self.assertEqual(judge_pace(steady(1000, 1 / 27)), [])
        self.assertEqual(judge_pace(burst + group), [])
        self.assertEqual(judge_pace([]), [])

    def test_calls_that_came_in_late_are_no_breach(self):
        held_up = [Call(max(c.at, 110.2), c.chat) if 110 < c.at < 110.2 else c for c in steady(1000, 1 / 27)]
        self.assertEqual(judge_pace(held_up), [])

    def test_too_many_in_a_second(self):
        self.assertEqual(self.kinds(steady(100, 1 / 27) + steady(15, 0.01, lambda i: 500 + i, 101)), [("bot", 0)])

    def test_a_little_too_many_all_the_time(self):
        self.assertEqual(self.kinds(steady(1000, 1 / 32)), [("bot", 0)])

    def test_calls_to_no_chat_count_for_the_bot(self):
        self.assertEqual(self.kinds(steady(40, 0.01, lambda i: 0)), [("bot", 0)])

    def test_too_fast_in_a_chat(self):
        self.assertEqual(self.kinds(steady(4, 0.05, lambda i: 7)), [("chat", 7)])
        self.assertEqual(self.kinds(steady(30, 0.9, lambda i: 7)), [("chat", 7)])

    def test_too_many_in_a_groups_minute(self):
        self.assertEqual(self.kinds(steady(21, 2.8, lambda i: -7)), [("group", -7)])
        self.assertEqual(self.kinds(steady(21, 2.8, lambda i: -7), starts=[101, 110]), [("group", -7)], "a start is no excuse")

    def test_a_start_may_make_one_call_more(self):
        calls = [Call(100, 7), Call(100.1, 7), Call(100.2, 7), Call(100.3, 7), Call(101.3, 7)]
        self.assertEqual(self.kinds(calls, starts=[100.25]), [])
        self.assertEqual(self.kinds(calls), [("chat", 7)])
        self.assertEqual(self.kinds([*calls, Call(100.35, 7)], starts=[100.25]), [("chat", 7)])
        second = steady(31, 0.02)
        self.assertEqual(self.kinds(second, starts=[100.3]), [])
        self.assertEqual(self.kinds(second + steady(31, 0.02, begin=200), starts=[100.3]), [("bot", 0)])
        self.assertEqual(self.kinds(second + steady(1, 1, lambda i: 99, 100.31), starts=[100.3]), [("bot", 0)])

    def test_a_call_in_a_pause(self):
        refused = Call(100, 7, 100.1, 37)
        self.assertEqual(judge_pace([refused, Call(137.1, 7), Call(120, 8)]), [])
        self.assertEqual(judge_pace([refused, Call(136, 7)]), [Breach("pause", 7, 136)])
        self.assertEqual(judge_pace([refused, Call(136, 7)], starts=[110]), [Breach("pause", 7, 136)], "a start ends no pause")
        self.assertEqual(judge_pace([Call(100, 0, 100.1, 37), Call(120, 8)]), [Breach("pause", 8, 120)], "the whole bot's")

    def test_what_counts_in_a_record(self):
        row = {"bot": 1, "chat": 7, "at_ns": 2_000_000_000, "answered_ns": 3_000_000_000, "retry_after": 5, "call": "sendMessage"}
        record = [row, {**row, "call": "getUpdates"}, {**row, "bot": 2}, {**row, "bot": 0, "call": "messages"},
                  {**row, "call": "answerCallbackQuery", "chat": 0}]
        self.assertEqual(calls_of(record, 1), [Call(2, 7, 3, 5), Call(2, 0, 3, 5)])


if __name__ == "__main__":
    unittest.main()
