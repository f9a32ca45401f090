"""Nobody is paged for a machine that is merely overloaded: four times the work that its processor can do, and stalls of a
second in every process, the watchdog included; and what really dies meanwhile is told, and answered in spite of it.

`KATANA_CALM=1800` has it last for half an hour (default: 40 s).
"""

import os
import pathlib
import random
import signal
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "functional"))

from harness import Case, eventually, main  # noqa: E402
from watching import in_chat, in_mail, kill, processes_of, replaced, told, wait_up  # noqa: E402

LENGTH = float(os.environ.get("KATANA_CALM", "40"))
SEED = int(os.environ.get("KATANA_SEED", random.randrange(1 << 30)))
LOAD = 4  # runnable processes that never wait, on the one processor that all of this may use


class Calm(Case):
    def setUp(self):
        allowed = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {max(allowed)})  # and so every process that is started from here
        self.addCleanup(os.sched_setaffinity, 0, allowed)
        super().setUp()
        self.d.set(KATANA_CLAUDE_WORKERS=2)
        self.d.up()
        self.names = ("gateway", "claude-1", "claude-2", "openai-1")
        self.pids = wait_up(self.d, self.names)

    def overload(self):
        for _ in range(LOAD):
            busy = subprocess.Popen(["sh", "-c", "while :; do :; done"], stdin=subprocess.DEVNULL)
            self.addCleanup(busy.wait)
            self.addCleanup(busy.kill)

    def stall(self, until, done):
        """Stops somebody for a second, again and again, but nobody twice in a row; notes each in `done`."""
        last = None
        choice = random.Random(SEED)
        while time.monotonic() < until:
            # The parent, too: it would restart a watchdog that is silent for 5 s.
            pids = [pid for pid, name in processes_of(self.d).items() if name.startswith("katana") and pid != last]
            pid = last = choice.choice(pids)
            os.kill(pid, signal.SIGSTOP)
            done.append(pid)
            try:
                time.sleep(1.0)
            finally:
                os.kill(pid, signal.SIGCONT)
            time.sleep(choice.uniform(0.5, 1.5))

    def converse(self, until):
        n = 0
        while time.monotonic() < until:
            n += 1
            self.sandbox.script(answer=f"Answer {n}.")
            self.d.ask(f"Question {n}", f"Answer {n}.", limit=120)
            time.sleep(0.5)
        return n

    def test_overload_and_stalls_page_nobody(self):
        self.overload()
        until = time.monotonic() + LENGTH
        stalls = []
        stalling = threading.Thread(target=self.stall, args=(until, stalls))
        stalling.start()
        try:
            answers = self.converse(until)
        finally:
            stalling.join()
        self.assertEqual((in_chat(self.d), in_mail(self.d)), ([], []), "false pages")
        # Nobody was stalled if that thread ended early: each stall and its pause take 2.5 s at most, and time under load.
        self.assertGreater(len(stalls), LENGTH / 10, "stalls")
        print(f"{LENGTH:.0f} s, seed {SEED}, {len(stalls)} stalls, {answers} answers, {len(in_chat(self.d))} pages")
        self.assertEqual(wait_up(self.d, self.names), self.pids, "and nothing was restarted")

        kill(self.pids["claude-1"], signal.SIGSTOP)
        replaced(self.d, "claude-1", self.pids["claude-1"])
        told(self.d, "RESOLVED", "claude-1 hangs")
        self.sandbox.script(answer="All is well.")
        self.d.ask("And now?", "All is well.", limit=120)
        eventually("one page and its end", lambda: len(in_chat(self.d)) == 2)


if __name__ == "__main__":
    main()
