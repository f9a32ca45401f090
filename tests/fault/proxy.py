"""A Unix or TCP socket in the middle of a way: what goes through is held up, slowed, torn, lost or cut, each way for itself.

An address is a path, or `host:port`; port 0 takes a free one (see `Proxy.address`). Every change holds from its return on.
"""

import heapq
import os
import select
import socket
import struct
import threading
import time

UP, DOWN = "up", "down"  # from the one who connects, and to them
BUFFER = 1 << 18         # bytes of one direction that wait here at most
PARTS = 20               # of a second, that a rate is kept in
RESET = struct.pack("ii", 1, 0)


def open_socket(address):
    """A socket for this address, and the address as `bind` and `connect` take it."""
    host, colon, port = str(address).rpartition(":")
    if not colon or "/" in str(address):
        return socket.socket(socket.AF_UNIX), str(address)
    made = socket.socket()
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made, (host, int(port))


class Flow:
    """One direction of one connection: what was read and waits to go on, each piece for its time."""

    def __init__(self, way, source, sink, reader):
        self.way, self.source, self.sink, self.reader = way, source, sink, reader
        self.pieces = []      # heap of (due, number, bytes)
        self.number = 0
        self.last_due = 0.0   # bytes keep their order when the delay shrinks
        self.free_at = 0.0    # by the rate
        self.waiting = 0      # bytes
        self.ended = False    # its source has said its last
        self.done = False     # and all of it has gone on
        self.begun = b""      # the piece that is going out

    def take(self, data, now, delay):
        if self.reader is None:
            self.last_due = max(self.last_due, now + delay)
            return self.put(self.last_due, data)
        for later, piece in self.reader.read(data):
            self.put(now + delay + later, piece)

    def put(self, due, piece):
        self.number += 1
        self.waiting += len(piece)
        heapq.heappush(self.pieces, (due, self.number, piece))

    def next_at(self):
        """When something may go on; None: nothing waits."""
        if self.begun:
            return self.free_at
        return max(self.pieces[0][0], self.free_at) if self.pieces else None


class Proxy:
    """Runs from construction to `close`, on a thread of its own. Listens at `address`, connects on to `target`."""

    def __init__(self, address, target, reader=None):
        self.target = str(target)
        self.listener, bind = open_socket(address)
        self.listener.bind(bind)
        if isinstance(bind, str):
            os.chmod(bind, 0o600)
            self.address = bind
        else:
            self.address = "{}:{}".format(*self.listener.getsockname())
        self.listener.listen(256)
        self.reader = reader    # makes what reads a flow, given its way: `read(bytes)` and `end()` give [(delay, bytes)]
        self.flows = []
        self.held = set()       # directions in which nothing moves; new connections are held too
        self.swallowing = set()  # directions in which whatever comes is thrown away
        self.slice = BUFFER     # bytes that go on at a time
        self.delay = {UP: 0.0, DOWN: 0.0}
        self.rate = None        # bytes a second, of each direction of each connection
        self.to_reset = 0       # so many connections end with their next bytes in `reset_way`
        self.reset_way = DOWN
        self.accepted = self.resets = self.swallowed = 0  # connections, connections, bytes
        self.ending = False
        self.changes = []
        self.lock = threading.Lock()
        self.wake_out, self.wake_in = os.pipe()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    # ---- what a test says ----

    def hold(self, *ways):
        """A cut that heals: nothing moves that way, nothing is lost."""
        self._change(lambda: self.held.update(ways))

    def black_hole(self, *ways):
        """Connections are taken, and their bytes thrown away; without `ways`, both ways. They end when it heals."""
        self._change(lambda: self.swallowing.update(ways or (UP, DOWN)))

    def heal(self):
        def change():
            if self.swallowing:
                self._end_all()
            self.slice, self.rate, self.delay = BUFFER, None, {UP: 0.0, DOWN: 0.0}
            self.held.clear()
            self.swallowing.clear()
        self._change(change)

    def cut_to(self, size):
        self._change(lambda: setattr(self, "slice", size))

    def limit(self, rate):
        self._change(lambda: setattr(self, "rate", rate))

    def slow(self, **seconds):
        """`up=…, down=…`"""
        self._change(lambda: self.delay.update(seconds))

    def reset_next(self, count, way=DOWN):
        """The connection ends in the place of its next bytes that way, `count` times: on the way down, the answer is lost."""
        def change():
            self.to_reset, self.reset_way = count, way
        self._change(change)

    def reset(self):
        """Ends every connection."""
        self._change(self._end_all)

    def close(self):
        def change():
            self._end_all()
            self.ending = True
        self._change(change)
        self.thread.join()
        self.listener.close()
        os.close(self.wake_out)
        os.close(self.wake_in)

    def _change(self, change):
        done = threading.Event()
        with self.lock:
            self.changes.append((change, done))
        os.write(self.wake_in, b".")
        done.wait()

    # ---- its thread ----

    def _end_all(self):
        for flow in list(self.flows):
            if flow in self.flows:
                self._end(flow)

    def _end(self, flow, reset=True):
        for other in [f for f in self.flows if {f.source, f.sink} == {flow.source, flow.sink}]:
            self.flows.remove(other)
        for end in (flow.source, flow.sink):
            if reset and end.family == socket.AF_INET:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            end.close()

    def _accept(self):
        near, _ = self.listener.accept()
        far, target = open_socket(self.target)
        try:
            far.connect(target)
        except OSError:  # nobody there: as if it had been refused
            near.close()
            far.close()
            return
        self.accepted += 1
        near.setblocking(False)
        far.setblocking(False)
        for way, source, sink in ((UP, near, far), (DOWN, far, near)):
            self.flows.append(Flow(way, source, sink, self.reader and self.reader(way)))

    def _read(self, flow, now):
        data = flow.source.recv(BUFFER)
        if flow.way in self.swallowing:
            self.swallowed += len(data)
            flow.ended = not data
            return
        if not data:
            flow.ended = True
            for later, piece in flow.reader.end() if flow.reader else ():
                flow.put(now + later, piece)
            return
        if self.to_reset and flow.way == self.reset_way:
            self.to_reset -= 1
            self.resets += 1
            return self._end(flow)
        flow.take(data, now, self.delay[flow.way])

    def _write(self, flow, now):
        if not flow.begun:
            flow.begun = heapq.heappop(flow.pieces)[2]
        size = min(self.slice, max(1, self.rate // PARTS)) if self.rate else self.slice
        sent = flow.sink.send(flow.begun[:size])
        flow.begun = flow.begun[sent:]
        flow.waiting -= sent
        if self.rate:
            flow.free_at = now + sent / self.rate

    def _finish(self, flow):
        """All has gone on that way: its end is told, and with that of the other way the connection is over."""
        flow.done = True
        both = [f for f in self.flows if {f.source, f.sink} == {flow.source, flow.sink}]
        if all(f.done for f in both):
            return self._end(flow, reset=False)  # what is still on its way arrives
        flow.sink.shutdown(socket.SHUT_WR)

    def _move(self, flow, events, now):
        try:
            if events.get(flow.source, 0) & (select.POLLIN | select.POLLHUP | select.POLLERR) and self._reads(flow):
                self._read(flow, now)
            if flow not in self.flows:
                return
            if events.get(flow.sink, 0) & (select.POLLOUT | select.POLLHUP | select.POLLERR) and self._writes(flow, now):
                self._write(flow, now)
            if flow.ended and not flow.done and not flow.pieces and not flow.begun and flow.way not in self.swallowing:
                self._finish(flow)
        except BlockingIOError:
            pass
        except OSError:
            self._end(flow)

    def _reads(self, flow):
        return not flow.ended and flow.way not in self.held and flow.waiting < BUFFER

    def _writes(self, flow, now):
        due = flow.next_at()
        return due is not None and due <= now and flow.way not in self.held | self.swallowing

    def _wait(self):
        """(socket -> events) as soon as there are any, or something is due."""
        now = time.monotonic()
        wanted, ends, wait = {}, {}, None
        for flow in self.flows:
            if self._reads(flow):
                wanted[flow.source] = wanted.get(flow.source, 0) | select.POLLIN
            if self._writes(flow, now):
                wanted[flow.sink] = wanted.get(flow.sink, 0) | select.POLLOUT
            elif flow.next_at() is not None and flow.next_at() > now:
                wait = min(wait or 1e9, flow.next_at() - now)
        poll = select.poll()
        poll.register(self.wake_out, select.POLLIN)
        poll.register(self.listener, select.POLLIN)
        for end, events in wanted.items():
            poll.register(end, events)
            ends[end.fileno()] = end
        ready = dict(poll.poll(None if wait is None else max(1, wait * 1000)))
        if self.wake_out in ready:
            os.read(self.wake_out, 1000)
        return {ends[number]: events for number, events in ready.items() if number in ends}, self.listener.fileno() in ready

    def _run(self):
        while not self.ending:
            events, knocked = self._wait()
            with self.lock:
                changes, self.changes = self.changes, []
            for change, done in changes:
                change()
                done.set()
            if knocked and not self.ending:
                self._accept()
            now = time.monotonic()
            for flow in list(self.flows):
                if flow in self.flows:
                    self._move(flow, events, now)
