"""The proxy itself: what it promises of a way is so, by TCP and by Unix sockets. Without it, a fault test that passes shows nothing."""

import pathlib
import socket
import tempfile
import threading
import time
import unittest

from messages import Messages
from proxy import DOWN, UP, Proxy, open_socket

LIMIT = 30  # seconds that anything may take before it counts as not happening
SOON = 0.2  # and for what must not happen at all


class Ends:
    """Whoever listens behind a proxy, and those who come through it."""

    def __init__(self, case, tcp, reader=None):
        place = pathlib.Path(case.enterContext(tempfile.TemporaryDirectory(prefix="katana-"))) if not tcp else None
        self.listener, address = open_socket("127.0.0.1:0" if tcp else place / "far")
        self.listener.bind(address)
        self.listener.listen()
        self.listener.settimeout(LIMIT)
        target = "{}:{}".format(*self.listener.getsockname()) if tcp else address
        self.proxy = Proxy("127.0.0.1:0" if tcp else place / "near", target, reader)
        case.addCleanup(self.listener.close)
        case.addCleanup(self.proxy.close)
        self.case = case

    def connect(self):
        """Both ends of a new connection."""
        near, address = open_socket(self.proxy.address)
        near.settimeout(LIMIT)
        near.connect(address)
        far, _ = self.listener.accept()
        far.settimeout(LIMIT)
        for end in (near, far):
            self.case.addCleanup(end.close)
        return near, far


def read(end, size):
    got = b""
    while len(got) < size and (data := end.recv(size - len(got))):
        got += data
    return got


def read_all(end):
    got = b""
    while data := end.recv(1 << 16):
        got += data
    return got


class Ways(unittest.TestCase):
    """Each test by both kinds of sockets."""

    def both(self):
        for tcp in (True, False):
            with self.subTest(tcp=tcp):
                ends = Ends(self, tcp)
                yield ends, *ends.connect()

    def assert_silent(self, end):
        end.settimeout(SOON)
        with self.assertRaises(TimeoutError):
            end.recv(1)
        end.settimeout(LIMIT)

    def assert_ended(self, end):
        try:
            self.assertEqual(end.recv(1), b"")
        except ConnectionResetError:
            pass

    def test_it_changes_nothing_by_itself(self):
        words = bytes(range(256)) * 4096
        for _, near, far in self.both():
            sender = threading.Thread(target=near.sendall, args=(words,))
            sender.start()
            self.assertEqual(read(far, len(words)), words)
            sender.join()
            far.sendall(b"back")
            self.assertEqual(read(near, 4), b"back")

    def test_an_end_goes_through_after_all_that_was_said_before_it(self):
        answer = b"a" * (1 << 20)
        for _, near, far in self.both():
            near.sendall(b"question")
            near.shutdown(socket.SHUT_WR)
            self.assertEqual(read_all(far), b"question")
            sender = threading.Thread(target=lambda: (far.sendall(answer), far.close()))
            sender.start()
            self.assertEqual(len(read_all(near)), len(answer), "an end isn't a reset: the tail isn't lost")
            sender.join()

    def test_held_one_way_and_healed(self):
        for ends, near, far in self.both():
            ends.proxy.hold(DOWN)
            near.sendall(b"up")
            self.assertEqual(read(far, 2), b"up")
            far.sendall(b"down")
            self.assert_silent(near)
            ends.proxy.heal()
            self.assertEqual(read(near, 4), b"down", "nothing is lost")

    def test_a_black_hole_one_way(self):
        for ends, near, far in self.both():
            ends.proxy.black_hole(UP)
            near.sendall(b"into the void")
            far.sendall(b"heard")
            self.assertEqual(read(near, 5), b"heard")
            self.assert_silent(far)
            ends.proxy.heal()
            self.assert_ended(near)
            self.assert_ended(far)
            self.assertEqual(ends.proxy.swallowed, len(b"into the void"))

    def test_a_black_hole(self):
        for ends, near, far in self.both():
            ends.proxy.black_hole()
            near.sendall(b"up")
            far.sendall(b"down")
            self.assert_silent(near)
            self.assert_silent(far)

    def test_reset_in_the_place_of_an_answer(self):
        for ends, near, far in self.both():
            ends.proxy.reset_next(1)
            near.sendall(b"question")
            self.assertEqual(read(far, 8), b"question")
            far.sendall(b"answer")
            self.assert_ended(near)
            self.assertEqual(ends.proxy.resets, 1)
            near, far = ends.connect()
            far.sendall(b"answer")
            self.assertEqual(read(near, 6), b"answer", "once was asked for")

    def test_single_bytes_in_their_order(self):
        for ends, near, far in self.both():
            ends.proxy.cut_to(1)
            near.sendall(bytes(range(100)))
            self.assertEqual(read(far, 100), bytes(range(100)))

    def test_a_delay_and_a_rate_hold_up_at_least_so_long(self):
        for ends, near, far in self.both():
            ends.proxy.slow(up=0.3)
            since = time.monotonic()
            near.sendall(b"late")
            self.assertEqual(read(far, 4), b"late")
            self.assertGreaterEqual(time.monotonic() - since, 0.3)
            ends.proxy.heal()
            ends.proxy.limit(1024)
            since = time.monotonic()
            far.sendall(b"x" * 512)
            self.assertEqual(len(read(near, 512)), 512)
            self.assertGreaterEqual(time.monotonic() - since, 0.4, "0.5 s, less one part of a second's twenty")

    def test_nobody_behind_it(self):
        ends = Ends(self, tcp=True)
        ends.listener.close()
        near, address = open_socket(ends.proxy.address)
        near.settimeout(LIMIT)
        near.connect(address)
        self.addCleanup(near.close)
        self.assert_ended(near)


def frame(body, flags=0):
    return bytes([flags, len(body)]) + body


JOB, BEAT = b"\xfa\x01\x05\x08\x07\x12\x01j", b"\x5a\x01b"  # Envelopes: a Job (bot 7, job "j"), something in field 11


class Kinds(unittest.TestCase):
    """One message of a kind meets its fate, the others and the frames of ZMTP's own don't."""

    def through(self, fault, *frames):
        messages = Messages()
        messages.befall(UP, "Job", fault, seconds=7)
        reader = messages(UP)
        out = []
        for byte in b"g" * 64 + b"".join(frames):  # a byte at a time
            out += reader.read(bytes([byte]))
        out += reader.end()
        self.assertEqual(b"".join(piece for _, piece in out[:64]), b"g" * 64)
        self.assertEqual(messages.met, 1)
        return [(later, piece) for later, piece in out[64:]]

    def test_fates(self):
        ready = frame(b"\x05READY", 4)
        job, beat = frame(JOB), frame(BEAT)
        self.assertEqual(self.through("drop", ready, beat, job, beat), [(0, ready), (0, beat), (0, beat)])
        self.assertEqual(self.through("double", job, beat), [(0, job), (0, job), (0, beat)])
        self.assertEqual(self.through("swap", job, beat, beat), [(0, beat), (0, job), (0, beat)])
        self.assertEqual(self.through("swap", job), [(0, job)], "with nothing to change places with")
        self.assertEqual(self.through("delay", job, beat), [(7, job), (0, beat)])
        self.assertEqual(self.through("drop", job, job), [(0, job)], "one was asked for")

    def test_a_long_frame(self):
        body = b"\xfa\x01\xf7\x03\x12\xf4\x03" + b"j" * 500
        long = bytes([2]) + len(body).to_bytes(8, "big") + body
        self.assertEqual(self.through("drop", long, frame(BEAT)), [(0, frame(BEAT))])


if __name__ == "__main__":
    unittest.main()
