"""The bus, message by message: those of a chosen kind are dropped, delayed, doubled, or swapped with the next one.

A `Proxy` reads with it what worker (up) and gateway (down) say over ipc: ZMTP 3 without keys, one protobuf Envelope a message.
"""

import collections
import struct
import threading

from proxy import DOWN, UP

GREETING = 64
MORE, LONG, COMMAND = 1, 2, 4  # flags of a ZMTP frame
VARINT, BYTES = 0, 2           # wire types of protobuf
# The Envelope's `body` in proto/katana/v1/job.proto; messages_test holds the two together.
KINDS = {10: "Hello", 11: "Beat", 12: "Credit", 13: "Accept", 14: "Chunk", 15: "JobResult", 16: "JobFailed", 17: "BlobGet",
         18: "Goodbye", 30: "Welcome", 31: "Job", 32: "Cancel", 33: "Committed", 34: "BlobPart"}
ENDS = ("JobResult", "JobFailed")
FAULTS = ("drop", "delay", "double", "swap")


def varint(data, at):
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        at += 1
        if data[at - 1] < 0x80:
            return value, at
        shift += 7


def fields(body):
    """(number, value) of each field, until one of another wire type comes."""
    at = 0
    while at < len(body):
        tag, at = varint(body, at)
        value, at = varint(body, at)
        if tag & 7 == BYTES:
            value, at = body[at:at + value], at + value
        elif tag & 7 != VARINT:
            return
        yield tag >> 3, value


def message_of(body):
    """The name of an Envelope's message, and its bytes."""
    for number, value in fields(body):
        if isinstance(value, bytes):
            return (KINDS[number], value) if number in KINDS else ("?", b"")
    return "?", b""


def job_of(message):
    """The JobRef of a message about a job, as bytes."""
    return next(value for _, value in fields(message) if isinstance(value, bytes))


class Messages:
    """What shall befall whom. `passed` counts all messages by (way, kind); `met` those that a fault befell; `most_jobs` is
    how many jobs ever stood at the worker at once: handed over, and no result of theirs on its way back."""

    def __init__(self):
        self.lock = threading.Lock()
        self.plan = None
        self.passed = collections.Counter()
        self.met = self.most_jobs = 0
        self.jobs = set()

    def befall(self, way, kind, fault, count=1, every=1, seconds=4.0):
        """`fault` for each `every`th message of that kind and way, `count` of them at most."""
        with self.lock:
            self.plan = [way, kind, fault, count, every, seconds]
            self.met = self.seen = 0

    def spare(self):
        with self.lock:
            self.plan = None

    def fate(self, way, kind, message):
        """(fault or None, seconds) of a message that passes now."""
        with self.lock:
            self.passed[way, kind] += 1
            if (way, kind) == (DOWN, "Job"):
                self.jobs.add(job_of(message))
                self.most_jobs = max(self.most_jobs, len(self.jobs))
            elif kind in ENDS:
                self.jobs.discard(job_of(message))
            if self.plan is None or self.plan[:2] != [way, kind] or self.met >= self.plan[3]:
                return None, 0
            self.seen += 1
            if (self.seen - 1) % self.plan[4]:
                return None, 0
            self.met += 1
            return self.plan[2], self.plan[5]

    def __call__(self, way):
        return Reader(self, way)


class Reader:
    """One direction of one connection, cut into its frames."""

    def __init__(self, messages, way):
        self.messages, self.way = messages, way
        self.greeting = GREETING  # bytes of it that are still to come
        self.rest = b""
        self.waiting = None       # swaps its place with the next message

    def read(self, data):
        cut = min(self.greeting, len(data))
        self.greeting -= cut
        self.rest += data[cut:]
        out = [(0, data[:cut])] if cut else []
        while (size := self.frame_size()) and size[0] <= len(self.rest):
            whole, head = size
            frame, self.rest = self.rest[:whole], self.rest[whole:]
            out += self.judge(frame, head)
        return out

    def frame_size(self):
        """(length of the next frame, of its head), or None while that can't be told."""
        if len(self.rest) < 2:
            return None
        if not self.rest[0] & LONG:
            return 2 + self.rest[1], 2
        if len(self.rest) < 9:
            return None
        return 9 + struct.unpack(">Q", self.rest[1:9])[0], 9

    def judge(self, frame, head):
        if frame[0] & COMMAND:
            return [(0, frame)]
        fault, seconds = self.messages.fate(self.way, *message_of(frame[head:]))
        if fault == "swap" and self.waiting is None:
            self.waiting = frame
            return []
        out = {None: [(0, frame)], "swap": [(0, frame)], "drop": [], "delay": [(seconds, frame)],
               "double": [(0, frame), (0, frame)]}[fault]
        if self.waiting is not None and out:
            out, self.waiting = [*out, (0, self.waiting)], None
        return out

    def end(self):
        out, self.waiting = [] if self.waiting is None else [(0, self.waiting)], None
        return out
