"""How soon the watchdog notices, tells, and has a process back: medians over some rounds, in milliseconds.

    KATANA_BIN=build/bin python3 tests/bench/watch.py [ROUNDS]

`noticed` is the change of state in /api/status, asked every 2 ms; `page` is the alert's arrival at Telegram (the sandbox).
Another host is a worker with a host name of its own (`unshare --uts`, for root).
"""

import os
import pathlib
import random
import signal
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "functional"))

from harness import OPS_CHAT, Deployment, eventually  # noqa: E402
from watching import wait_up  # noqa: E402

ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 7


def settle():
    """Some time, and then some: what happens now and then (beats, looks) must not always be met at one point."""
    time.sleep(0.6 + random.random())


def process(d, name):
    return next(p for p in d.status()["processes"] if p["instance"] == name)


def after(condition, limit=20):
    """Milliseconds until it is so."""
    begin = time.monotonic_ns()
    while not condition():
        if time.monotonic_ns() - begin > limit * 1e9:
            raise AssertionError("nothing was noticed")
        time.sleep(0.002)
    return (time.monotonic_ns() - begin) / 1e6


def page_of(d, since, words):
    """Milliseconds from `since` to the first alert with these words."""
    call = eventually("the page", lambda: next(
        (c for c in d.sandbox.record(call="sendMessage", chat=OPS_CHAT) if words in str(c)), None))
    return (call["at_ns"] - since) / 1e6


def local(number, name):
    """(noticed, page, back in service) for a signal to a process of `katana up`."""
    d = Deployment()
    try:
        d.up()
        pid = wait_up(d)[name]
        settle()
        begin = time.monotonic_ns()
        os.kill(pid, number)
        noticed = after(lambda: (p := process(d, name))["state"] != "up" and p["state"] != "late" or p["restarts"] > 0)
        back = noticed + after(lambda: (p := process(d, name))["state"] == "up" and p["pid"] != pid)
        return noticed, page_of(d, begin, f"CRITICAL {name}"), back
    finally:
        d.close()


def alone():
    """The first two for a worker that is killed where nobody supervises, as under systemd."""
    d = Deployment()
    try:
        d.serve("claude")
        d.start("katana-watchdog", KATANA_EXPECT="gateway,claude:1")
        pid = wait_up(d, ("gateway", "claude"))["claude"]
        settle()
        begin = time.monotonic_ns()
        os.kill(pid, signal.SIGKILL)
        noticed = after(lambda: process(d, "claude")["state"] == "down")
        return noticed, page_of(d, begin, "CRITICAL claude")
    finally:
        d.close()


def remote():
    """The same without a return, for a worker of another host that freezes, as by a partition."""
    d = Deployment()
    try:
        d.serve("claude")
        d.start("katana-watchdog", KATANA_EXPECT="gateway,claude:1,openai:1")
        d.make_directories()
        worker = pathlib.Path(os.environ.get("KATANA_BIN", "build/bin")).resolve() / "katana-openai"
        script = d.directory / "elsewhere.sh"
        script.write_text(f"#!/bin/sh\nhostname elsewhere\nexec {worker}\n")
        script.chmod(0o700)
        from harness import Process
        elsewhere = Process("elsewhere", ["unshare", "--uts", script], d.env, d.directory)
        d.processes.append(elsewhere)
        wait_up(d, ("gateway", "claude", "openai"))
        settle()
        begin = time.monotonic_ns()
        elsewhere.signal(signal.SIGSTOP)
        noticed = after(lambda: process(d, "openai")["state"] == "down")
        page = page_of(d, begin, "CRITICAL openai")
        elsewhere.signal(signal.SIGCONT)
        return noticed, page
    finally:
        d.close()


def show(what, rounds):
    for name, values in zip(("noticed", "page", "back in service"), zip(*rounds)):
        print(f"{what:28} {name:16} median {statistics.median(values):8.1f}  most {max(values):8.1f}", flush=True)


def main():
    show("killed, this machine", [local(signal.SIGKILL, "claude-1") for _ in range(ROUNDS)])
    show("killed, nobody supervises", [alone() for _ in range(ROUNDS)])
    show("frozen, this machine", [local(signal.SIGSTOP, "claude-1") for _ in range(ROUNDS)])
    show("frozen, another host", [remote() for _ in range(ROUNDS)])


if __name__ == "__main__":
    main()
