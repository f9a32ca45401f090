"""Judges what people saw (every question answered once, in order, in its own chat), the store that is left, and the pace
of the bot's calls.

A question carries a marker that its whole answer ends with, and nothing else does. A history is what each chat shows in
the end, with every version that a message ever had; so an answer that stood twice, if only for a moment, is seen.

The pace is judged from the sandbox's record, by what Telegram allows: 30 calls in any second and 20 to a group in any
minute; to a chat one a second after a burst of three; and no call at all where a 429 asked to wait.
"""

import collections
import dataclasses
import json
import re
import sqlite3


PLACEHOLDER = "…"
MARKER = re.compile(r"[A-Z]+(?:-\d+)?!")


@dataclasses.dataclass(frozen=True)
class Question:
    chat: int
    marker: str
    parts: int = 1  # messages that its answer takes; the last one has the marker
    text: str = ""  # of the whole answer, spaces and line breaks apart; empty: whatever has the marker


@dataclasses.dataclass(frozen=True)
class Message:
    """A bot's message: its text now (None: deleted), and all that it ever said."""
    chat: int
    message_id: int
    text: str | None
    versions: tuple = ()

    def markers(self):
        """All that it ever showed."""
        return {marker for text in (self.text or "", *self.versions) for marker in MARKER.findall(text)}


@dataclasses.dataclass
class Verdict:
    lost: list = dataclasses.field(default_factory=list)       # questions without an answer that stands
    doubled: list = dataclasses.field(default_factory=list)    # questions whose answer stood in two messages
    disordered: list = dataclasses.field(default_factory=list) # pairs of questions, answered in the other order
    misplaced: list = dataclasses.field(default_factory=list)  # questions answered in another chat
    fragments: list = dataclasses.field(default_factory=list)  # messages that stand with a part of an answer
    altered: list = dataclasses.field(default_factory=list)    # questions whose answer isn't what the model said
    strays: list = dataclasses.field(default_factory=list)     # placeholders that stand

    @property
    def sins(self):
        """What must never be. A stray placeholder may, one for a kill."""
        return {name: getattr(self, name) for name in ("lost", "doubled", "disordered", "misplaced", "fragments", "altered")
                if getattr(self, name)}


def history(sandbox, chats):
    """The bot's messages in these chats."""
    return [Message(chat, m["message_id"], None if m["deleted"] else m.get("text", ""),
                    tuple(h.get("text", "") for h in m.get("history", [])))
            for chat in chats for m in json.loads(sandbox.get("chat", id=chat)).get("messages", []) if m["by_bot"]]


class Reader:
    """Reads the sandbox's record while it grows: the record forgets, a long trial doesn't end. `unfinished(row)`: a call
    whose end is still to come, at which to go on later."""

    def __init__(self, sandbox, unfinished):
        self.sandbox, self.unfinished, self.seen = sandbox, unfinished, 0

    def rows(self, **query):
        for row in self.sandbox.record(since=self.seen, **query):
            assert row["n"] == self.seen + 1, f"the record is whole: {row['n']} follows {self.seen}"
            if self.unfinished(row):
                return
            self.seen = row["n"]
            yield row


def judge(questions, messages):
    """`questions` in the order in which each chat asked them; `messages` in any order."""
    verdict = Verdict()
    answers = {}  # question -> its message
    showing = collections.defaultdict(list)  # marker -> the messages that ever showed it
    for message in messages:
        for marker in message.markers():
            showing[marker].append(message)
    for question in questions:
        assert MARKER.fullmatch(question.marker), question
        everywhere = showing[question.marker]
        here = [m for m in everywhere if m.chat == question.chat]
        if len(here) != len(everywhere):
            verdict.misplaced.append(question)
        if len(here) > 1:
            verdict.doubled.append(question)
        standing = [m for m in here if m.text and question.marker in m.text]
        if standing:
            answers[question] = standing[0]
        else:
            verdict.lost.append(question)
    by_chat = collections.defaultdict(list)
    for question in questions:
        if question in answers:
            by_chat[question.chat].append(question)
    for asked in by_chat.values():
        for first, second in zip(asked, asked[1:]):
            if answers[first].message_id > answers[second].message_id:
                verdict.disordered.append((first, second))
    useful = set(answers.values())
    parts = {question: [message] for question, message in answers.items()}
    for question, last in ((q, m) for q, m in answers.items() if q.parts > 1):
        before = sorted((m for m in messages if m.chat == question.chat and m.message_id < last.message_id and m.text
                         and m.text != PLACEHOLDER and not m.markers()), key=lambda m: -m.message_id)
        useful |= set(before[:question.parts - 1])
        parts[question] = [*reversed(before[:question.parts - 1]), last]
        if len(before) < question.parts - 1:
            verdict.lost.append(question)
    for question, its in parts.items():
        said = " ".join(m.text for m in its).split()
        if question.text and question not in verdict.lost and said != question.text.split():
            verdict.altered.append(question)
    for message in messages:
        if message.text is None or message in useful:
            continue
        if message.text == PLACEHOLDER:
            verdict.strays.append(message)
        elif not message.markers():  # else it was judged above
            verdict.fragments.append(message)
    return verdict


# ---- the store ----


def judge_store(path, questions):
    """What is wrong in a gateway's store once these were answered, and nothing else was asked. The gateway has stopped: it
    lets nobody else in. A dead letter is a question without its answer, whatever its user was told."""
    database = sqlite3.connect(path)
    try:
        whole = database.execute("PRAGMA integrity_check").fetchone()[0]
        if whole != "ok":
            return [f"damaged: {whole}"]

        def number(sql):
            return database.execute("SELECT " + sql).fetchone()[0]
        wrong = [f"{number('count(*) FROM ' + table)} rows are left in {table}" for table in ("open_turns", "replies")
                 if number("count(*) FROM " + table)]
        answers = [text for text, in database.execute("SELECT answer FROM turns WHERE answered = 1")]
        told = collections.Counter(marker for text in answers for marker in MARKER.findall(text))
        for question in questions:
            if told[question.marker] != 1:
                wrong.append(f"{question.marker} has {told[question.marker]} answers")
        if len(answers) != len(questions):
            wrong.append(f"{len(answers)} turns are answered, of {len(questions)} questions")
        if letters := number("count(*) FROM dead_letters"):
            wrong.append(f"{letters} dead letters")
        if abandoned := number("count(*) FROM turns WHERE abandoned <> ''"):
            wrong.append(f"{abandoned} answers were given up")
        # Each attempt was booked once, and what became of it is known.
        attempts = number("coalesce(sum(attempt), 0) FROM turns")
        if (kept := number("(SELECT count(*) FROM attempts) + (SELECT count(*) FROM turns)")) != attempts:
            wrong.append(f"{kept} attempts are kept, of {attempts}")
        if (booked := number("coalesce(sum(calls), 0) FROM usage")) != attempts:
            wrong.append(f"{booked} calls are booked, of {attempts} attempts")
        return wrong
    except sqlite3.DatabaseError as error:
        return [f"damaged: {error}"]
    finally:
        database.close()


# ---- the pace ----

BOT_PER_SECOND, GROUP_PER_MINUTE, CHAT_BURST = 30, 20, 3
# The record has the time at which a call came in: on a busy machine this much later than it was sent (seconds). So
# windows are shorter by it; but no stretch of ten seconds hides more than ten seconds' worth.
LATE = 0.25
# What two clocks can differ by in the length of a pause that a restart has cut in two: the second half is wall time.
CLOCKS = 0.05
# Made at the start alone, or waiting at Telegram: see gateway/outbound/README.md.
NOT_COUNTED = {"getUpdates", "getMe", "setMyCommands", "deleteWebhook"}


@dataclasses.dataclass(frozen=True)
class Call:
    at: float             # seconds, monotonic
    chat: int = 0         # 0: to no chat
    ended: float = 0      # when it was answered
    retry_after: int = 0  # what a 429 asked for


@dataclasses.dataclass(frozen=True)
class Breach:
    what: str  # "bot", "chat", "group", "pause"
    chat: int
    at: float


def calls_of(record, bot):
    """The calls of this bot in the sandbox's record that flood control counts."""
    return [Call(r["at_ns"] / 1e9, r["chat"], r["answered_ns"] / 1e9, r["retry_after"]) for r in record
            if r["bot"] == bot and r["call"] not in NOT_COUNTED]


def windows(times, span):
    """Of these (sorted): how many lie in the span that ends with each, and when that is."""
    first = 0
    for i, t in enumerate(times):
        while t - times[first] >= span:
            first += 1
        yield i - first + 1, t


def judge_pace(calls, starts=()):
    """The breaches in these calls. `starts`: when the bot's program was started again. It can't know what the one before
    had sent a moment ago, so each start may make one call more, to the bot's second and to each chat; not to a group."""
    calls = sorted(calls, key=lambda call: call.at)
    times = [call.at for call in calls]
    by_chat = collections.defaultdict(list)
    for call in calls:
        if call.chat:
            by_chat[call.chat].append(call.at)
    breaches = []
    for seconds in (1, 10):
        breaches += [Breach("bot", 0, at) for count, at in windows(times, seconds - LATE)
                     if count > BOT_PER_SECOND * seconds + sum(at - seconds <= start <= at for start in starts)][:1]
    for chat, its in by_chat.items():
        if chat < 0:
            breaches += [Breach("group", chat, at) for count, at in windows(its, 60 - LATE) if count > GROUP_PER_MINUTE][:1]
        level, before = 0.0, its[0]
        for at in its:
            level -= at - before + sum(before < start <= at for start in starts)
            level, before = max(0.0, level) + 1, at
            if level > CHAT_BURST + LATE:
                breaches.append(Breach("chat", chat, at))
                break
    return breaches + broken_pauses(calls)


def broken_pauses(calls):
    """A 429 for a call to no chat is the whole bot's."""
    breaches = []
    for refused in calls:
        until = refused.ended + refused.retry_after - CLOCKS
        breaches += [Breach("pause", call.chat, call.at) for call in calls if refused.retry_after
                     and refused.ended < call.at < until and refused.chat in (0, call.chat)][:1]
    return breaches
