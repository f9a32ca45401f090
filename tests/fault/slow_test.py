"""A worker that is slow, with far more jobs than it takes at once: it never gets more than it granted, counted on the bus,
and what waits costs little memory.

KATANA_FLOOD=full asks 10,000 questions, as tests/fault/run.sh --full does.
"""

import os
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "functional"))

from checker import Question, Reader, history, judge  # noqa: E402
from harness import LIMIT, Case, eventually, main  # noqa: E402
from messages import Messages  # noqa: E402
from proxy import Proxy  # noqa: E402

FULL = os.environ.get("KATANA_FLOOD") == "full"
QUESTIONS = 10_000 if FULL else 1_000
CREDIT = 256 if FULL else 64
ANSWER_MS = 1_000
# MB, of the gateway with 10 KB a question that waits, and of the worker with 100 KB a job in hand
GATEWAY_MEMORY, WORKER_MEMORY = 64 + QUESTIONS // 100, 64 + CREDIT // 10


class Slow(Case):
    settings = {"OPENAI_BASE_URL": None, "OPENAI_API_KEY": None, "OPENAI_API": None, "KATANA_ACCESS": "open",
                "KATANA_WORKER_JOBS": CREDIT}

    def test_more_jobs_than_it_takes(self):
        run = self.d.directory / "run"
        self.d.make_directories()
        gateway = self.d.start("katana-gateway")
        eventually("the gateway listens", (run / "jobs.ipc").exists)
        bus = Messages()
        proxy = Proxy(run / "proxy.ipc", run / "jobs.ipc", bus)
        self.addCleanup(proxy.close)
        worker = self.d.start("katana-claude", KATANA_BUS=f"ipc://{run}/proxy.ipc")
        self.d.wait_ready(("claude",))
        reader = Reader(self.sandbox, lambda row: row["call"] == "messages" and row["outcome"] == "waiting")
        calls, asked = [], []  # (begun, ended) at the provider, in nanoseconds

        def read():
            calls.extend((row["at_ns"], row["answered_ns"]) for row in reader.rows(brief=1) if row["call"] == "messages")

        begun = time.monotonic()
        for i in range(QUESTIONS):
            asked.append(Question(100_000 + i, f"END-{i}!"))
            self.sandbox.say(f"[[tokens=2 token_ms=0 first_ms={ANSWER_MS} end=END-{i}!]]", chat=100_000 + i)
            if i % 500 == 0:
                read()
        waiting = 0
        delivered, patience = 0, time.monotonic() + LIMIT
        while delivered < QUESTIONS:
            read()
            waiting = max(waiting, self.d.metric("katana_jobs_waiting"))
            now = self.d.metric('katana_answers_total{outcome="delivered"}')
            if now > delivered:
                delivered, patience = now, time.monotonic() + LIMIT
            self.assertLess(time.monotonic(), patience, f"stuck at {delivered} of {QUESTIONS}")
            time.sleep(0.1)
        took = time.monotonic() - begun
        read()
        self.assertEqual(len(calls), QUESTIONS, "each question was put to the provider once")
        at_once = most_at_once(calls)
        self.assertLessEqual(at_once, CREDIT)
        self.assertGreater(at_once, CREDIT // 2, "it was kept busy")
        self.assertLessEqual(bus.most_jobs, CREDIT, "nor was it ever handed more")
        self.assertGreater(waiting, 2 * CREDIT, "many had to wait")
        self.assertLess(gateway.peak(), GATEWAY_MEMORY)
        self.assertLess(worker.peak(), WORKER_MEMORY)
        verdict = judge(asked, history(self.sandbox, [q.chat for q in asked]))
        self.assertEqual((verdict.sins, verdict.strays), ({}, []))
        print(f"{QUESTIONS} questions in {took:.0f} s, at most {waiting:.0f} waiting, {at_once} of {CREDIT} under way at "
              f"once; peaks: gateway {gateway.peak()} MB, worker {worker.peak()} MB", flush=True)


def most_at_once(calls):
    """How many of these spans overlap at the most."""
    under_way = most = 0
    for _, step in sorted([(begun, 1) for begun, _ in calls] + [(ended, -1) for _, ended in calls]):
        under_way += step
        most = max(most, under_way)
    return most


if __name__ == "__main__":
    main()
