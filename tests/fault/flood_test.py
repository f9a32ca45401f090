"""Telegram's limits, with the real programs and the real pace: a 429 in mid-answer and a death in its pause, a burst of
chats and groups, sends that Telegram took without saying so. The sandbox keeps the limits too, and remembers each call.

KATANA_FLOOD=full asks for a pause of 37 s and a burst of 10,000 chats, as tests/fault/run.sh --full does.
"""

import json
import os
import pathlib
import shutil
import sqlite3
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "functional"))

from checker import Question, Reader, calls_of, history, judge, judge_pace, windows  # noqa: E402
from harness import LIMIT, USER, USERS_TOKEN, Case, eventually, main  # noqa: E402

FULL = os.environ.get("KATANA_FLOOD") == "full"
RETRY_AFTER = 37 if FULL else 10
CHATS = 10_000 if FULL else 240
GROUPS = 200 if FULL else 2
GROUP_QUESTIONS = 12  # each two calls at least: more than a group's minute holds
PATIENCE = 60 + LIMIT  # seconds without an answer: a group's minute, and what anything may take
MOST_MEMORY = 64 + CHATS // 100  # MB: of the gateway, with 10 KB a chat that waits
BOT = int(USERS_TOKEN.split(":")[0])
AT_ONCE = "tokens=2 token_ms=0 first_ms=0"


class Flood(Case):
    settings = {"OPENAI_BASE_URL": None, "OPENAI_API_KEY": None, "OPENAI_API": None, "KATANA_ACCESS": "open",
                "KATANA_TELEGRAM_LIMITS": None}

    def setUp(self):
        super().setUp()
        self.sandbox.post("switch", limits=True)
        self.sandbox.post("bot", can_read_all_group_messages=True)
        self.gateway = self.d.serve("claude")
        self.asked, self.starts = [], []

    def ask(self, chat, how=AT_ONCE, words="", parts=1, **more):
        question = Question(chat, f"END-{len(self.asked)}!", parts)
        self.asked.append(question)
        self.sandbox.say(f"{words}[[{how} end={question.marker}]]", chat=chat, **more)
        return question

    def await_answer(self, question, limit=LIMIT):
        self.sandbox.wait_text(question.marker, chat=question.chat, limit=limit)

    def kill_gateway(self):
        """It dies, and another takes its place."""
        self.gateway.popen.kill()
        self.gateway.popen.wait()
        self.starts.append(time.monotonic())
        self.gateway = self.d.start("katana-gateway")

    def calls(self, **query):
        return calls_of(self.sandbox.record(brief=1, **query), BOT)

    def refused(self):
        return [call for call in self.calls() if call.retry_after]

    def stored_pauses(self):
        """Chats with a pause in the store: in a copy of it, since the gateway lets nobody else in."""
        copy = self.d.directory / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self.d.directory / "state", copy)
        database = sqlite3.connect(next(copy.glob("*.db")))
        try:
            return {chat for chat, in database.execute("SELECT chat_id FROM pauses")}
        except sqlite3.Error:
            return set()  # copied while it was written
        finally:
            database.close()

    def judged(self, calls, most_strays=0):
        self.assertEqual(judge_pace(calls, self.starts), [])
        verdict = judge(self.asked, history(self.sandbox, sorted({q.chat for q in self.asked})))
        self.assertEqual(verdict.sins, {})
        self.assertLessEqual(len(verdict.strays), most_strays)


class Pauses(Flood):
    def test_a_429_in_mid_answer_and_a_death_in_its_pause(self):
        self.sandbox.fault(method="editMessageText", chat=USER, kind="429", retry_after=RETRY_AFTER, skip=1)
        long = self.ask(USER, "tokens=40 token_ms=150 first_ms=0")
        refused = eventually("a 429", self.refused)[0]
        eventually("its pause is stored", lambda: USER in self.stored_pauses())
        self.kill_gateway()
        others = [self.ask(USER + 1 + i) for i in range(5)]
        for question in others:
            self.await_answer(question)
        over = refused.ended + refused.retry_after
        self.await_answer(long, LIMIT + RETRY_AFTER)
        calls = self.calls()
        self.assertEqual([call.retry_after for call in calls if call.chat == USER and call.retry_after], [RETRY_AFTER])
        self.assertGreater(min(c.at for c in calls if c.chat == USER and c.at > refused.ended), over - 0.05)
        self.assertLess(max(c.at for c in calls if c.chat != USER), over, "the others were answered meanwhile")
        self.judged(calls)
        self.assertEqual(len(self.sandbox.record(call="messages", brief=1)), len(self.asked), "no provider was asked twice")

    def test_the_whole_bots_pause_outlives_a_death(self):
        self.sandbox.fault(method="sendMessage", kind="429", retry_after=6, count=3)
        for chat in range(USER, USER + 3):
            self.ask(chat)
        eventually("the whole bot's pause is stored", lambda: 0 in self.stored_pauses())
        over = max(call.ended for call in self.refused()) + 6
        self.kill_gateway()
        self.ask(USER + 9)
        for question in self.asked:
            self.await_answer(question)
        calls = self.calls()
        self.assertGreater(min(c.at for c in calls if not c.retry_after), over - 0.05, "nothing to anybody")
        self.judged(calls)


class Lost(Flood):
    def test_a_send_that_telegram_took_without_saying_so(self):
        """Each in a chat of its own: the answer stands once, whatever became of the send; at most a placeholder stays."""
        chats = range(7000, 7006)
        for chat, fault in zip(chats, (
                {"method": "sendMessage", "kind": "hang", "took": True},
                {"method": "sendMessage", "kind": "close_after"},
                {"method": "sendMessage", "kind": "malformed_json"},
                {"method": "sendMessage", "kind": "hang", "took": True, "skip": 1},  # of the second part
                {"method": "editMessageText", "kind": "hang", "took": True},
                {"method": "editMessageText", "kind": "close_after"})):
            self.sandbox.post("chat", chat=chat, type="private")
            self.sandbox.fault(chat=chat, **fault)
        for chat in chats:
            if chat == chats[3]:
                self.ask(chat, "tokens=1500 token_ms=0 first_ms=0", parts=3)
            else:
                self.ask(chat)
        for question in self.asked:
            self.await_answer(question, 2 * LIMIT)
        eventually("all is delivered", lambda: self.d.metric('katana_answers_total{outcome="delivered"}') == len(chats))
        self.assertEqual(json.loads(self.sandbox.get("stats"))["faults_waiting"], 0, "each was met")
        self.assertEqual(judge_pace(self.calls()), [])
        for chat in chats:
            shown = self.sandbox.texts(chat)
            strays = [text for text in shown if text == "…"]
            self.assertLessEqual(len(strays), 1 if chat <= chats[3] else 0, shown)
            self.assertEqual(len(shown) - len(strays), 3 if chat == chats[3] else 1)
        verdict = judge(self.asked, history(self.sandbox, chats))
        self.assertEqual(verdict.sins, {})


class Burst(Flood):
    def setUp(self):
        super().setUp()
        self.record = []
        self.reader = Reader(self.sandbox, self.under_way)
        self.answered = set()

    def under_way(self, row):
        ours = calls_of([row], BOT)
        return ours and row["outcome"] == "waiting" and ours[0].at > (self.starts or [0])[-1]

    def read_record(self):
        for row in self.reader.rows():
            ours = calls_of([row], BOT)
            self.record += ours
            text = str(row.get("body", {}).get("text", "")) if ours else ""
            if row["status"] == 200 and "END-" in text:
                self.answered.add(text[text.rindex("END-"):])

    def await_answers(self, count):
        progress, patience = 0, time.monotonic() + PATIENCE
        while len(self.answered) < count:
            self.read_record()
            if len(self.answered) > progress:
                progress, patience = len(self.answered), time.monotonic() + PATIENCE
            self.assertLess(time.monotonic(), patience, f"stuck at {progress} of {count}")
            time.sleep(0.2)

    def test_a_burst_over_chats_and_groups(self):
        name = json.loads(self.sandbox.get("bots"))["bots"][0]["username"]
        begin = time.monotonic()
        for i in range(GROUPS):
            self.sandbox.post("chat", chat=-9000 - i, type="supergroup", title="Busy")
        for i in range(CHATS):
            self.ask(100_000 + i)
            if i < GROUPS * GROUP_QUESTIONS:
                self.ask(-9000 - i % GROUPS, words=f"@{name} ", user=USER, type="supergroup")
            if i % 200 == 0:
                self.read_record()
        self.await_answers(len(self.asked) // 2)
        peaks = [self.gateway.peak()]
        self.kill_gateway()
        self.await_answers(len(self.asked))
        peaks.append(self.gateway.peak())
        took = time.monotonic() - begin
        self.assertEqual([call for call in self.record if call.retry_after], [])
        self.assertLess(max(peaks), MOST_MEMORY)
        self.judged(self.record, most_strays=64)  # calls under way at its death
        times = sorted(call.at for call in self.record)
        print(f"{CHATS} chats, {GROUPS} groups, {len(self.asked)} questions, {len(times)} calls in {took:.0f} s; at most "
              f"{max(count for count, _ in windows(times, 1))} within a second, "
              f"{max(count for g in {c.chat for c in self.record if c.chat < 0} for count, _ in windows([t.at for t in self.record if t.chat == g], 60))} "
              f"to a group within a minute; the gateway's peak {peaks[0]} MB, {peaks[1]} MB after the death in its middle", flush=True)


if __name__ == "__main__":
    main()
