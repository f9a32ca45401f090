"""A gateway and a worker under fire: each is killed at a named step, over and over, while people ask.

    python3 kills.py [--kills N] [--fields N] [--seed N] [--victims gateway,worker,both,frozen] [--freeze SECONDS] [--limits]

`frozen`: the worker isn't killed but stopped (SIGSTOP), for long enough to be given up or not, and goes on then, beside
a second worker that took over. `--limits`: with Telegram's limits, on both sides; then the bot's pace is judged, too.
N kills in all, shared by some fields: deployments of their own that run side by side. Prints a table of kills by step and
ends with status 1 if any answer was lost, doubled, altered, out of order or in another chat, if the store says otherwise,
or if more placeholders stayed than there were kills (a single kill more than one in a chat, a worker's or a freeze any at
all). KATANA_BIN names the programs; they must be built with KATANA_FAIL_POINTS.
"""

import argparse
import collections
import concurrent.futures
import json
import pathlib
import random
import signal
import sys
import time
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "functional"))

from checker import Question, Reader, calls_of, history, judge, judge_pace, judge_store  # noqa: E402
from harness import BIN, LIMIT, USER, USERS_TOKEN, Deployment, Process  # noqa: E402
from steps import STEPS  # noqa: E402

OPEN_AT_ONCE = 6    # questions that wait for their answers
CHATS = 3           # of a batch
SLOWER = 4          # so many times of each with Telegram's limits: a chat gets a call a second
BATCH = 60          # questions; then what was shown is judged, and other chats are asked in
# Most answers are there at once, some grow for a while, some fill three messages: as often as they stand here.
PACES = 2 * ("tokens=2 token_ms=0", "tokens=4 token_ms=5", "tokens=6 token_ms=30") + ("tokens=1500 token_ms=0",)
LONG = 3            # messages of the last one
BOT = int(USERS_TOKEN.split(":")[0])
PATIENCE = 3 * LIMIT  # seconds without an answer and without a death: stuck
SHORTEST_FREEZE = 0.5  # seconds; the gateway gives a worker up within 3


class Field:
    def __init__(self, victims, seed, longest_freeze, limits):
        self.victims = victims
        self.longest_freeze = longest_freeze
        self.limits = limits
        self.chats, self.at_once = (SLOWER * CHATS, SLOWER * OPEN_AT_ONCE) if limits else (CHATS, OPEN_AT_ONCE)
        self.random = random.Random(seed)
        self.deployment = Deployment(KATANA_ACCESS="open", KATANA_GATEWAY_HTTP="off", OPENAI_BASE_URL=None,
                                     OPENAI_API_KEY=None, OPENAI_API=None, KATANA_LOG_LEVEL="warning",
                                     KATANA_TELEGRAM_LIMITS=None if limits else "off")
        self.sandbox = self.deployment.sandbox
        self.sandbox.post("switch", limits=limits)
        self.sandbox.post("bot", can_read_all_group_messages=True)
        self.mention = f"@{json.loads(self.sandbox.get('bots'))['bots'][0]['username']} "
        self.texts = {}       # by pace, what the sandbox's model says, but for the marker
        self.calls, self.starts = [], []  # of the bot; of gateways
        self.reader = Reader(self.sandbox, self.under_way)
        self.deployment.make_directories()
        self.running = {}
        self.plans = {}
        self.decks = {name: [] for name in STEPS}  # steps that a process hasn't died at yet, this round
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
        if name == "gateway":
            self.starts.append(time.monotonic())
        self.plans[name] = plan
        self.running[name] = Process(name, [BIN / program], env, self.deployment.directory)

    def plan(self, name, kills_left):
        if kills_left <= 0 or name not in {"both": ("gateway", "worker"), "frozen": ("worker",)}.get(self.victims, (self.victims,)):
            return None
        # What is open passes the worker's steps once more; the next death must come under another job.
        first = len(self.open) if name == "worker" else 0
        if not self.decks[name]:
            self.decks[name] = self.random.sample(STEPS[name], len(STEPS[name]))
        return self.decks[name].pop(), first + self.random.randint(1, OPEN_AT_ONCE)

    def thaw(self, kills):
        """Sees the worker freeze, lets it go on after a while, and puts another one in its place when all is answered."""
        worker = self.running["worker"]
        if dead := [p.name for p in self.running.values() if p.popen.poll() is not None]:
            raise AssertionError(f"{dead} ended by themselves:\n{self.running[dead[0]].log()[-4000:]}")
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
        if self.victims == "both" and dead:
            return self.start_both(left)
        for name in dead:
            self.start(name, self.plan(name, left))
        return bool(dead)

    def start_both(self, kills_left):
        """One of them, by turns, dies at a step: the gateway, whose steps come first, would nearly always be the one."""
        first = sum(self.kills.values()) % 2
        for i, name in enumerate(("gateway", "worker")):
            self.start(name, self.plan(name, kills_left) if i == first else None)
        return True

    # ---- the people ----

    def ask(self, at_once):
        while len(self.open) < at_once and len(self.batch) < BATCH and not self.holding and not self.thawed:
            marker, pace = f"END-{self.asked}!", self.random.choice(PACES)
            number = self.asked % self.chats
            chat, more = self.chat + number, {}
            if self.limits and number % SLOWER == 0:  # a group, where messages of several answers may mix
                pace = PACES[number % 3]
                chat, more = -chat, {"user": USER, "type": "supergroup"}
            question = Question(chat, marker, LONG if pace == PACES[-1] else 1, self.text(pace) + marker)
            self.asked += 1
            self.sandbox.say(f"{self.mention}[[{pace} first_ms=0 end={question.marker}]]", chat=question.chat, **more)
            self.open.append(question)
            self.batch.append(question)

    def text(self, pace):
        """What is said at this pace before the marker: asked of the model itself, whose words are always the same."""
        if pace not in self.texts:
            request = urllib.request.Request(self.sandbox.url + "/anthropic/v1/messages", json.dumps({
                "model": "claude-sonnet-5-5", "max_tokens": 4096,
                "messages": [{"role": "user", "content": f"[[{pace} first_ms=0 end=END!]]"}]}).encode(),
                {"content-type": "application/json", "x-api-key": "tests-anthropic-key", "anthropic-version": "2023-06-01"})
            with urllib.request.urlopen(request, timeout=LIMIT) as answer:
                self.texts[pace] = json.load(answer)["content"][0]["text"].removesuffix("END!")
        return self.texts[pace]

    def look(self):
        """Takes note of answers that came; true if there were any."""
        before = len(self.open)
        texts = {chat: self.sandbox.texts(chat) for chat in {q.chat for q in self.open}}
        self.open = [q for q in self.open if not any(q.marker in text for text in texts[q.chat])]
        self.holding = self.holding and bool(self.open)
        return len(self.open) < before

    def under_way(self, row):
        """A call whose end is still to come; of a gateway that is dead it never comes."""
        ours = calls_of([row], BOT)
        return ours and row["outcome"] == "waiting" and ours[0].at > self.starts[-1]

    def read_calls(self):
        self.calls += calls_of(self.reader.rows(brief=1), BOT)

    def close_batch(self):
        self.read_calls()
        verdict = judge(self.batch, history(self.sandbox, sorted({question.chat for question in self.batch})))
        # A chat has one call under way at a time: a death leaves at most one placeholder in each.
        # A worker's death leaves none, since its answer goes on in the message that stands.
        most = 0 if self.victims in ("worker", "frozen") else self.chats * self.killed_in_batch
        if verdict.sins or len(verdict.strays) > most:
            raise AssertionError(f"{verdict.sins or verdict.strays} after {dict(self.kills)}")
        self.strays += len(verdict.strays)
        self.killed_in_batch = 0
        self.all += self.batch
        self.batch = []
        self.chat += self.chats

    # ---- the whole ----

    def run(self, kills):
        if self.victims == "both":
            self.start_both(kills)
        else:
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
                self.ask(self.at_once)
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
        self.read_calls()
        if self.limits and (breaches := judge_pace(self.calls, self.starts)):
            raise AssertionError(f"Telegram's limits: {breaches} after {dict(self.kills)}")

    def stop(self):
        """In good order; then the store holds nothing unfinished, and is whole."""
        for process in reversed(self.running.values()):
            if process.stop() != 0:
                raise AssertionError(f"{process.name} stopped badly:\n{process.log()[-3000:]}")
        if wrong := judge_store(next((self.deployment.directory / "state").glob("*.db")), self.all):
            raise AssertionError(f"the store: {wrong}")

    def close(self):
        for process in self.running.values():
            if process.popen.poll() is None:
                process.popen.kill()  # a frozen one too
                process.popen.wait()
            process.log_file.close()
        self.deployment.close()


def fire(victims, kills, seed, longest_freeze, limits):
    field = Field(victims, seed, longest_freeze, limits)
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
    parser.add_argument("--limits", action="store_true")
    parser.add_argument("--victims", default="gateway,worker,both,frozen")
    options = parser.parse_args(arguments)
    victims = options.victims.split(",")
    fields = max(options.fields, len(victims))
    jobs = [(victims[i % len(victims)], kills, options.seed + i) for i, kills in enumerate(shares(options.kills, fields)) if kills]
    kills, strays, asked = collections.Counter(), 0, 0
    print(f"seed {options.seed}", flush=True)
    with concurrent.futures.ThreadPoolExecutor(fields) as pool:
        for field in pool.map(lambda job: fire(*job, options.freeze, options.limits), jobs):
            kills += field.kills
            strays += field.strays
            asked += field.asked
    aimed = [(name, step) for name, steps in STEPS.items() for step in steps
             if set(victims) & {name, "both", "frozen" if name == "worker" else name}]
    for name, step in aimed:
        print(f"{name:8} {step:17} {kills[(name, step)]:6}")
    missed = [step for step in aimed if not kills[step]]
    if missed and options.kills >= fields * len(aimed):  # each field goes through them all
        raise AssertionError(f"no kill at {missed}")
    if strays > sum(kills.values()):
        raise AssertionError(f"{strays} stray placeholders after {sum(kills.values())} kills")
    print(f"{sum(kills.values())} kills, {asked} questions: 0 lost, 0 doubled, 0 out of order, {strays} stray placeholders")


if __name__ == "__main__":
    try:
        main()
    except AssertionError as error:
        sys.exit(str(error))
