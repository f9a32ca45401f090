"""A gateway and a worker under fire: each is killed at a named step, over and over, while people ask.

    python3 kills.py [--kills N] [--fields N] [--seed N] [--victims gateway,worker,both,frozen] [--freeze SECONDS]

`frozen`: the worker isn't killed but stopped (SIGSTOP), for long enough to be given up or not, and goes on then, beside
a second worker that took over. N kills in all, shared by some fields: deployments of their own that run side by side. Prints a table of kills by step
and ends with status 1 if any answer was lost, doubled, out of order or in another chat, or if more placeholders stayed
than there were kills (or a single kill left more than one in a chat). KATANA_BIN names the programs; they must be built with KATANA_FAIL_POINTS.
"""

import argparse
import collections
import concurrent.futures
import pathlib
import random
import signal
import sqlite3
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "functional"))

from checker import Question, history, judge  # noqa: E402
from harness import LIMIT, Deployment, Process, BIN  # noqa: E402
from steps import STEPS  # noqa: E402

OPEN_AT_ONCE = 6    # questions that wait for their answers
CHATS = 3           # of a batch
BATCH = 60          # questions; then what was shown is judged, and other chats are asked in
PATIENCE = 3 * LIMIT  # seconds without an answer and without a death: stuck
SHORTEST_FREEZE = 0.5  # seconds; the gateway gives a worker up within 3


class Field:
    def __init__(self, victims, seed, longest_freeze):
        self.victims = victims
        self.longest_freeze = longest_freeze
        self.random = random.Random(seed)
        self.deployment = Deployment(KATANA_ACCESS="open", KATANA_GATEWAY_HTTP="off", OPENAI_BASE_URL=None,
                                     OPENAI_API_KEY=None, OPENAI_API=None, KATANA_LOG_LEVEL="warning")
        self.sandbox = self.deployment.sandbox
        for name in ("state", "run"):
            (self.deployment.directory / name).mkdir(mode=0o700)
        self.running = {}
        self.plans = {}
        self.kills = collections.Counter()
        self.asked = 0        # number of the next question
        self.chat = 10_000
        self.open = []        # questions without their answer
        self.all = []         # all questions that were judged
        self.batch = []       # all questions of these chats
        self.holding = False  # no new question: a job must not lose two workers by our hand
        self.strays = self.killed_in_batch = 0
        self.thaw_at = None   # of the frozen worker
        self.thawed = False   # it goes on, and is replaced when all is answered

    # ---- the processes ----

    def start(self, name, plan=None):
        env = dict(self.deployment.env)
        if plan:
            env["FAIL_AT"] = "{}:{}".format(*plan) + (":stop" if self.victims == "frozen" else "")
        program = "katana-gateway" if name == "gateway" else "katana-claude"
        self.plans[name] = plan
        self.running[name] = Process(name, [BIN / program], env, self.deployment.directory)

    def plan(self, name, kills_left):
        if kills_left <= 0 or name not in {"both": ("gateway", "worker"), "frozen": ("worker",)}.get(self.victims, (self.victims,)):
            return None
        if self.victims == "both" and name == "worker" and self.random.random() < 0.5:
            return None
        # What is open passes the worker's steps once more; the next death must come under another job.
        first = len(self.open) if name == "worker" else 0
        return self.random.choice(STEPS[name]), first + self.random.randint(1, OPEN_AT_ONCE)

    def thaw(self, kills):
        """Sees the worker freeze, lets it go on after a while, and puts another one in its place when all is answered."""
        worker = self.running["worker"]
        if self.thaw_at is None:
            if pathlib.Path(f"/proc/{worker.pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "T":
                return False
            self.kills[("worker", self.plans["worker"][0])] += 1
            self.killed_in_batch += 1
            self.thaw_at = time.monotonic() + self.random.uniform(SHORTEST_FREEZE, self.longest_freeze)
            return True
        if time.monotonic() < self.thaw_at:
            return False
        worker.signal(signal.SIGCONT)
        self.thawed = True
        if self.open:
            return False
        self.thaw_at, self.thawed = None, False
        if sum(self.kills.values()) >= kills:
            return True
        if worker.stop() != 0:
            raise AssertionError(f"the thawed worker stopped badly:\n{worker.log()[-4000:]}")
        self.start("worker", self.plan("worker", kills - sum(self.kills.values())))
        return True

    def revive(self, kills):
        if self.victims == "frozen":
            return self.thaw(kills)
        dead = [name for name, process in self.running.items() if process.popen.poll() is not None]
        for name in dead:
            process = self.running[name]
            process.log_file.close()
            if process.popen.returncode != -signal.SIGKILL or self.plans[name] is None:
                raise AssertionError(f"{name} ended by itself, {process.popen.returncode}:\n{process.log()[-4000:]}")
            self.kills[(name, self.plans[name][0])] += 1
            self.killed_in_batch += 1
        if dead and self.victims == "both":
            for name in set(self.running) - set(dead):
                self.running[name].popen.kill()
                self.running[name].popen.wait()
                self.running[name].log_file.close()
                self.killed_in_batch += 1
                dead.append(name)
        self.holding = self.holding or "worker" in dead
        left = kills - sum(self.kills.values())
        for name in dead:
            self.start(name, self.plan(name, left))
        return bool(dead)

    # ---- the people ----

    def ask(self, at_once=OPEN_AT_ONCE):
        while len(self.open) < at_once and len(self.batch) < BATCH and not self.holding and not self.thawed:
            question = Question(self.chat + self.asked % CHATS, f"END-{self.asked}!")
            self.asked += 1
            # Some answers grow for a while, most are there at once.
            pace = self.random.choice(("tokens=2 token_ms=0", "tokens=4 token_ms=5", "tokens=6 token_ms=30"))
            self.sandbox.say(f"[[{pace} first_ms=0 end={question.marker}]]", chat=question.chat)
            self.open.append(question)
            self.batch.append(question)

    def look(self):
        """Takes note of answers that came; true if there were any."""
        before = len(self.open)
        texts = {chat: self.sandbox.texts(chat) for chat in {q.chat for q in self.open}}
        self.open = [q for q in self.open if not any(q.marker in text for text in texts[q.chat])]
        self.holding = self.holding and bool(self.open)
        return len(self.open) < before

    def close_batch(self):
        verdict = judge(self.batch, history(self.sandbox, sorted({question.chat for question in self.batch})))
        # A chat has one call under way at a time: a death leaves at most one placeholder in each.
        if verdict.sins or len(verdict.strays) > CHATS * self.killed_in_batch:
            raise AssertionError(f"{verdict.sins or verdict.strays} after {dict(self.kills)}")
        self.strays += len(verdict.strays)
        self.killed_in_batch = 0
        self.all += self.batch
        self.batch = []
        self.chat += CHATS

    # ---- the whole ----

    def run(self, kills):
        for name in ("gateway", "worker", *(["second"] if self.victims == "frozen" else [])):
            self.start(name, self.plan(name, kills))
        patience = time.monotonic() + PATIENCE
        last_asked = False  # who was started last answers once before it is told to stop
        while not last_asked or self.open or self.thaw_at:
            if self.revive(kills) | self.look():
                patience = time.monotonic() + PATIENCE
            if time.monotonic() > patience:
                raise AssertionError(f"stuck with {self.open}, plans {self.plans}\n" + "\n".join(
                    p.log()[-3000:] for p in self.running.values()))
            if not self.open and len(self.batch) >= BATCH:
                self.close_batch()
            if sum(self.kills.values()) < kills:
                self.ask()
            elif not self.open and not last_asked:
                self.ask(1)
                last_asked = bool(self.open)
            time.sleep(0.005)
        self.close_batch()
        self.judge_all()
        self.stop()

    def judge_all(self):
        """Once more, and all together: what came late into a batch that was judged already, or into another one's chats."""
        verdict = judge(self.all, history(self.sandbox, sorted({question.chat for question in self.all})))
        if verdict.sins:
            raise AssertionError(f"in the end: {verdict.sins} after {dict(self.kills)}")

    def stop(self):
        """In good order; then the store holds nothing unfinished, and is whole."""
        for process in reversed(self.running.values()):
            if process.stop() != 0:
                raise AssertionError(f"{process.name} stopped badly:\n{process.log()[-3000:]}")
        database = sqlite3.connect(next((self.deployment.directory / "state").glob("*.db")))
        open_rows = [database.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("open_turns", "replies")]
        whole = database.execute("PRAGMA integrity_check").fetchone()[0]
        database.close()
        if open_rows != [0, 0] or whole != "ok":
            raise AssertionError(f"the store is left with {open_rows} open rows, integrity {whole}")

    def close(self):
        for process in self.running.values():
            if process.popen.poll() is None:
                process.popen.kill()  # a frozen one too
                process.popen.wait()
            process.log_file.close()
        self.deployment.close()


def fire(victims, kills, seed, longest_freeze):
    field = Field(victims, seed, longest_freeze)
    try:
        field.run(kills)
        return field
    except AssertionError as error:
        raise AssertionError(f"victims {victims}, seed {seed}: {error}") from None
    finally:
        field.close()


def shares(total, parts):
    return [total // parts + (i < total % parts) for i in range(parts)]


def main(arguments=None):
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--fields", type=int, default=3)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument("--freeze", type=float, default=8, help="seconds that a frozen worker stays so at most")
    parser.add_argument("--victims", default="gateway,worker,both,frozen")
    options = parser.parse_args(arguments)
    victims = options.victims.split(",")
    fields = max(options.fields, len(victims))
    jobs = [(victims[i % len(victims)], kills, options.seed + i) for i, kills in enumerate(shares(options.kills, fields)) if kills]
    kills, strays, asked = collections.Counter(), 0, 0
    print(f"seed {options.seed}", flush=True)
    with concurrent.futures.ThreadPoolExecutor(fields) as pool:
        for field in pool.map(lambda job: fire(*job, options.freeze), jobs):
            kills += field.kills
            strays += field.strays
            asked += field.asked
    for name, steps in STEPS.items():
        hit = {name, "both"} | ({"frozen"} if name == "worker" else set())
        for step in steps if hit & set(victims) else ():
            print(f"{name:8} {step:17} {kills[(name, step)]:6}")
    if strays > sum(kills.values()):
        raise AssertionError(f"{strays} stray placeholders after {sum(kills.values())} kills")
    print(f"{sum(kills.values())} kills, {asked} questions: 0 lost, 0 doubled, 0 out of order, {strays} stray placeholders")


if __name__ == "__main__":
    try:
        main()
    except AssertionError as error:
        sys.exit(str(error))
