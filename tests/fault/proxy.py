"""A Unix socket in the middle: what goes through can be held up, each way for itself, cut to single bytes, or ended."""

import os
import selectors
import socket
import threading

UP, DOWN = "up", "down"  # from the one who connects, and to them
HELD = 1 << 16           # bytes of one direction that wait here at most


class Flow:
    """One direction of one connection."""

    def __init__(self, way, source, sink):
        self.way, self.source, self.sink = way, source, sink
        self.waiting = b""


class Proxy:
    """Runs from construction to `close`, on a thread of its own. Listens at `path`, connects on to `target`."""

    def __init__(self, path, target):
        self.target = str(target)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        os.chmod(path, 0o600)
        self.listener.listen(64)
        self.held = set()     # directions in which nothing moves; new connections are held too
        self.slice = HELD     # bytes that go on at a time
        self.flows = []
        self.accepted = 0     # connections so far
        self.ending = False
        self.lock = threading.Lock()
        self.wake_out, self.wake_in = os.pipe()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def hold(self, *ways):
        self._change(lambda: self.held.update(ways))

    def heal(self):
        self._change(self.held.clear)

    def cut_to(self, size):
        def change():
            self.slice = size
        self._change(change)

    def reset(self):
        """Ends every connection."""
        def change():
            for flow in list(self.flows):
                self._end(flow)
        self._change(change)

    def close(self):
        self.reset()
        with self.lock:
            self.ending = True
        os.write(self.wake_in, b".")
        self.thread.join()
        self.listener.close()
        os.close(self.wake_out)
        os.close(self.wake_in)

    def _change(self, change):
        with self.lock:
            change()
        os.write(self.wake_in, b".")

    def _end(self, flow):
        for other in [f for f in self.flows if {f.source, f.sink} == {flow.source, flow.sink}]:
            self.flows.remove(other)
        for end in (flow.source, flow.sink):
            end.close()

    def _accept(self):
        near, _ = self.listener.accept()
        far = socket.socket(socket.AF_UNIX)
        try:
            far.connect(self.target)
        except OSError:  # nobody there: as if it had been refused
            near.close()
            far.close()
            return
        self.accepted += 1
        near.setblocking(False)
        far.setblocking(False)
        self.flows += [Flow(UP, near, far), Flow(DOWN, far, near)]

    def _move(self, flow):
        if not flow.waiting:
            try:
                flow.waiting = flow.source.recv(HELD)
            except BlockingIOError:
                return
            if not flow.waiting:
                return self._end(flow)
        try:
            flow.waiting = flow.waiting[flow.sink.send(flow.waiting[:self.slice]):]
        except BlockingIOError:
            pass

    def _run(self):
        while True:
            with selectors.DefaultSelector() as selector, self.lock:
                if self.ending:
                    return
                selector.register(self.wake_out, selectors.EVENT_READ, None)
                selector.register(self.listener, selectors.EVENT_READ, self._accept)
                wanted = {}
                for flow in self.flows:
                    if flow.way in self.held:
                        continue
                    end, event = (flow.sink, selectors.EVENT_WRITE) if flow.waiting else (flow.source, selectors.EVENT_READ)
                    wanted.setdefault(end, []).append((event, flow))
                for end, list_ in wanted.items():
                    events = 0
                    for event, _ in list_:
                        events |= event
                    selector.register(end, events, [flow for _, flow in list_])
                self.lock.release()
                try:
                    ready = selector.select()
                finally:
                    self.lock.acquire()
                for key, _ in ready:
                    if key.data is None:
                        os.read(self.wake_out, 1000)
                    elif key.data == self._accept:
                        self._accept()
                    else:
                        for flow in key.data:
                            if flow in self.flows and flow.way not in self.held:
                                try:
                                    self._move(flow)
                                except OSError:
                                    self._end(flow)
