"""Each kind of message on the bus, dropped, delayed, doubled or swapped with the next one: every question is answered once.

    python3 messages_test.py [--full]

Lanes run side by side, each a deployment of its own that goes through its kinds. `--full` does everything thrice: to one
message, to several, and with a delay beyond every limit of the protocol. BlobGet and BlobPart aren't here: no room sends
attachments yet; `unit_workers` (BlobsUnderFire) has them meet each fate.
"""

import concurrent.futures
import json
import pathlib
import re
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "functional"))

from checker import Message, Question, judge  # noqa: E402
from harness import Case, Deployment, eventually  # noqa: E402
from messages import FAULTS, KINDS, Messages  # noqa: E402
from proxy import DOWN, UP, Proxy  # noqa: E402
from watching import in_chat, in_mail, told, wait_up  # noqa: E402

PROTO = pathlib.Path(__file__).resolve().parents[2] / "proto/katana/v1/job.proto"
CHATS = 3
LANES = (  # (way, kind); the slow ones apart
    ((UP, "Hello"), (UP, "Accept"), (DOWN, "Cancel")),
    ((DOWN, "Welcome"), (UP, "Beat"), (UP, "JobFailed")),
    ((UP, "Credit"), (DOWN, "Beat"), (UP, "Chunk")),
    ((DOWN, "Job"), (DOWN, "Committed")),
    ((UP, "JobResult"), (UP, "Goodbye")),
)
SEVERAL = {"Chunk": (6, 3), "Beat": (3, 1)}  # how many of a kind in one go, and each how manieth; others: (2, 1)
DELAY, BEYOND = 4.0, 13.0  # seconds: longer than silence may last; longer than a job may be missing


class Lane:
    """A deployment whose bus goes through a proxy that reads it."""

    def __init__(self):
        self.d = Deployment(KATANA_ACCESS="open", OPENAI_BASE_URL=None, OPENAI_API_KEY=None, OPENAI_API=None)
        self.sandbox = self.d.sandbox
        self.proxy = None
        self.chat, self.asked = 7000, 0

    def start(self):
        self.d.make_directories()
        self.d.start("katana-gateway")
        run = self.d.directory / "run"
        eventually("the gateway listens", (run / "jobs.ipc").exists)
        self.messages = Messages()
        self.proxy = Proxy(run / "proxy.ipc", run / "jobs.ipc", self.messages)
        self.start_worker()
        self.d.wait_ready(("claude",))

    def start_worker(self):
        self.worker = self.d.start("katana-claude", KATANA_BUS=f"ipc://{self.d.directory}/run/proxy.ipc")

    def close(self):
        try:
            self.d.close()
        finally:
            if self.proxy:
                self.proxy.close()

    # ---- people ----

    def ask(self, **script):
        """A question in each chat. Scripted answers begin with the marker, others end with it."""
        for chat in range(self.chat, self.chat + CHATS):
            question = Question(chat, f"END-{self.asked}!")
            self.asked += 1
            self.questions.append(question)
            if script:
                self.sandbox.script(match=question.marker, answer=question.marker + " and on" * 40, tokens=40, first_ms=0,
                                    token_ms=50, **script)
            self.sandbox.say(f"[[tokens=24 token_ms=40 first_ms=0 end={question.marker}]]", chat=chat)

    def latest(self, chat):
        return (self.sandbox.texts(chat) or [""])[-1]

    def wait_begun(self):
        eventually("answers have begun", lambda: all(
            "…" != self.latest(q.chat) != "" for q in self.questions[-CHATS:]))

    def wait_answered(self):
        for question in self.questions:
            self.sandbox.wait_text(question.marker, chat=question.chat)

    def history(self):
        return [Message(chat, m["message_id"], None if m["deleted"] else m.get("text", ""),
                        tuple(h.get("text", "") for h in m.get("history", [])))
                for chat in range(self.chat, self.chat + CHATS)
                for m in json.loads(self.sandbox.get("chat", id=chat))["messages"] if m["by_bot"]]

    def calls(self, question):
        """How often the provider was asked this."""
        return sum(question.marker in json.dumps(r["body"]["messages"][-1]) for r in self.sandbox.record(call="messages", since=self.before))

    # ---- one kind, one fault ----

    def run(self, way, kind, fault, count, every, seconds):
        self.chat += CHATS
        self.questions = []
        self.before = max((r["n"] for r in self.sandbox.record(brief=1)), default=0)
        self.messages.befall(way, kind, fault, count, every, seconds)
        if kind == "JobFailed":
            self.ask(mid_stream_error={"after": 6, "type": "overloaded_error", "message": "Overloaded"})
            for question in self.questions:
                eventually("the failure is told", lambda: "broke off" in self.latest(question.chat))
        elif kind == "Cancel":
            self.ask(count=1)
            self.wait_begun()
            for question in self.questions:
                self.sandbox.say("/stop", chat=question.chat)
            for question in self.questions:
                eventually("it stopped", lambda: self.latest(question.chat).endswith("Stopped."))
        elif kind == "Goodbye":
            self.ask()
            self.wait_answered()
            if self.worker.stop() != 0:
                raise AssertionError("the worker stopped badly")
            self.start_worker()
        else:
            self.ask()
            if kind in ("Hello", "Welcome", "Credit"):
                self.wait_begun()
                self.proxy.reset()
        eventually(f"{kind} is met", lambda: self.messages.met >= 1)
        self.wait_answered()
        self.ask()  # and all goes on
        self.wait_answered()
        self.messages.spare()
        verdict = judge(self.questions, self.history())
        if verdict.sins or verdict.strays:
            raise AssertionError(f"{verdict.sins} strays {verdict.strays}")
        again = sum(self.calls(q) - 1 for q in self.questions)
        if again and (kind, fault) not in MAY_ASK_AGAIN:
            raise AssertionError(f"the provider was asked {again} times again")
        return again


# A job that comes when it was given up already, or after its own Cancel, may be put to the provider in vain.
MAY_ASK_AGAIN = {("Job", "delay"), ("Hello", "drop"), ("Hello", "delay")}


def run_lane(kinds, full):
    lane, rows = Lane(), []
    try:
        lane.start()
        for way, kind in kinds:
            for fault in FAULTS:
                for count, every, seconds in plans(kind, fault, full):
                    try:
                        rows.append((kind, way, fault, count, lane.run(way, kind, fault, count, every, seconds)))
                    except AssertionError as error:
                        logs = "".join(f"---- {p.name} ----\n{p.log()[-2500:]}" for p in lane.d.processes[1:])
                        raise AssertionError(f"{kind} ({way}), {fault} × {count}: {error}\n{logs}") from None
    finally:
        lane.close()
    return rows


def plans(kind, fault, full):
    """(how many, each how manieth, seconds)"""
    several = (*SEVERAL.get(kind, (2, 1)), DELAY)
    if not full:
        return [several]
    return [(1, 1, DELAY), several, *([(*several[:2], BEYOND)] if fault == "delay" else [])]


class EveryMessage(unittest.TestCase):
    def test_the_kinds_are_the_protocols(self):
        body = PROTO.read_text().split("oneof body")[1].split("}")[0]
        self.assertEqual({int(n): name for name, n in re.findall(r"(\w+) \w+ = (\d+);", body)}, KINDS)
        covered = {kind for lane in LANES for _, kind in lane}
        self.assertEqual(set(KINDS.values()) - covered, {"BlobGet", "BlobPart"})

    def test_whatever_befalls_them_all_is_answered_once(self, full=False):
        with concurrent.futures.ThreadPoolExecutor(len(LANES)) as pool:
            outcomes = [pool.submit(run_lane, kinds, full) for kinds in LANES]
            errors = [str(o.exception()) for o in outcomes if o.exception()]
            self.assertEqual(errors, [], "\n".join(errors))
        for kind, way, fault, count, again in (row for o in outcomes for row in o.result()):
            print(f"{kind:10} {way:5} {fault:7} × {count}   asked again: {again}")


class Heartbeats(Case):
    """What befalls a heartbeat on its way to the watchdog wakes nobody, unless it is all of them for seconds."""

    settings = {"OPENAI_BASE_URL": None, "OPENAI_API_KEY": None, "OPENAI_API": None}
    BEAT = "?"  # it has no Envelope: the only message on that way

    def test_each_fate(self):
        run = self.d.directory / "run"
        self.d.make_directories()
        self.d.start("katana-watchdog")
        eventually("the watchdog listens", (run / "watch.ipc").exists)
        beats = Messages()
        proxy = Proxy(run / "watch-proxy.ipc", run / "watch.ipc", beats)
        self.addCleanup(proxy.close)
        self.d.start("katana-gateway")
        self.d.start("katana-claude", name="claude-1", KATANA_WATCH=f"ipc://{run}/watch-proxy.ipc",
                     KATANA_INSTANCE="claude-1")
        wait_up(self.d, ("gateway", "claude-1"))
        for fault in FAULTS:
            beats.befall(UP, self.BEAT, fault, count=4, every=2, seconds=1)
            eventually(f"four met {fault}", lambda: beats.met == 4)
            before = beats.passed[UP, self.BEAT]
            eventually("more of them passed", lambda: beats.passed[UP, self.BEAT] > before + 2)
            eventually(f"it is up after {fault}", lambda: self.d.pid_of("claude-1"))
        self.assertEqual((in_chat(self.d), in_mail(self.d)), ([], []))
        self.d.ask("[[tokens=2 token_ms=0 end=YES!]]", "YES!")
        beats.befall(UP, self.BEAT, "drop", count=12)
        told(self.d, "claude-1", "no heartbeat for")
        told(self.d, "RESOLVED", "claude-1")


def load_tests(loader, tests, pattern):
    if "--full" in FLAGS:
        EveryMessage.test_whatever_befalls_them_all_is_answered_once.__defaults__ = (True,)
    return tests


FLAGS = [f for f in sys.argv if f == "--full"]
if __name__ == "__main__":
    unittest.main(argv=[a for a in sys.argv if a not in FLAGS], verbosity=2)
