"""Pages while their channels are down and the watchdog dies: each is delivered with its end, once, in order, in both channels.

Workers die and come back, Telegram and the mail server take nothing, and the watchdog is killed again and again, most often
in the moments in which it writes down what it has to tell. Then the channels are back.

`KATANA_PAGES_OUTAGE=3600` has the outage last for an hour (default: some 40 s).
"""

import collections
import os
import pathlib
import random
import re
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "functional"))

from harness import OPS_CHAT, Case, eventually, main  # noqa: E402
from watching import in_chat, parse_mail  # noqa: E402

WORKERS = 8
OUTAGE = float(os.environ.get("KATANA_PAGES_OUTAGE", "40"))
KINDS = ("RESOLVED", "STILL OPEN", "ESCALATED", "FLAPPING", "CRITICAL", "WARNING")

Page = collections.namedtuple("Page", "incident kind title")


def page_of(text):
    """A notice as its text tells it; None for what is no incident's."""
    first = text.strip().splitlines()[0].lstrip("🔴🟠✅🔁⏰ ")
    kind = next((k for k in KINDS if first.startswith(k)), None)
    incident = re.search(r"^Incident: (\w+)$", text, re.M)
    return Page(incident[1], kind, first) if kind and incident else None


def pages(texts):
    return [p for p in map(page_of, texts) if p]


class Outage(Case):
    def setUp(self):
        super().setUp()
        seed = int(os.environ.get("KATANA_SEED", random.randrange(10**6)))
        print(f"seed {seed}")
        self.random = random.Random(seed)
        self.d.make_directories()
        self.d.start("katana-gateway")
        self.workers = {}
        for number in range(WORKERS):
            self.start_worker(f"claude-{number + 1}")
        self.d.set(KATANA_EXPECT="gateway,claude:%d" % WORKERS)
        self.watchdogs = 0
        self.start_watchdog()
        self.wait_up(*self.workers)

    def start_worker(self, name):
        self.workers[name] = self.d.start("katana-claude", name=name, KATANA_INSTANCE=name)

    def start_watchdog(self):
        self.watchdogs += 1
        self.watchdog = self.d.start("katana-watchdog", name=f"watchdog-{self.watchdogs}")

    def kill_watchdog(self):
        self.watchdog.signal(signal.SIGKILL)
        self.watchdog.wait()
        self.start_watchdog()

    def wait_up(self, *names):
        eventually(f"{names} are up", lambda: all(self.d.pid_of(name) for name in names))

    def channels(self, up):
        if up:
            self.sandbox.post("fault", clear=True)
            self.sandbox.post("smtp", clear=True)
            self.watchdog.signal(signal.SIGHUP)  # no need to wait for the next try
        else:
            self.sandbox.fault(method="sendMessage", chat=OPS_CHAT, count=10**6, kind="status", status=502, description="Bad Gateway")
            self.sandbox.post("smtp", stage="connect", code=421, text="4.3.2 not now", count=-1)

    def one_death(self, name):
        """A worker dies and comes back; and in between, most often when that is being written down, the watchdog."""
        self.wait_up(name)
        self.workers[name].signal(signal.SIGKILL)
        self.workers[name].wait()
        if self.random.random() < 0.8:
            time.sleep(self.random.uniform(0.15, 0.5))  # it is noticed 250 ms after its end
            self.kill_watchdog()
        else:
            eventually(f"{name} is down", lambda: any(
                p["instance"] == name and p["state"] == "down" for p in self.d.status()["processes"]))
        self.start_worker(name)
        self.wait_up(name)
        if self.random.random() < 0.5:
            time.sleep(self.random.uniform(0, 0.02))
            self.kill_watchdog()
            self.wait_up(name)

    def in_mail(self):
        return [parse_mail(m["data"]).get_body(("plain",)).get_content() for m in self.sandbox.mails()]

    def told(self):
        return pages(in_chat(self.d)), pages(self.in_mail())

    def nothing_waits(self):
        status = self.d.status()
        return not status["incidents"] and all(c["waiting"] == 0 and not c["failing"] for c in status["channels"])

    def assert_each_once_with_its_end(self, told):
        by_incident = collections.defaultdict(list)
        for page in told:
            by_incident[page.incident].append(page)
        for incident, of_it in by_incident.items():
            self.assertEqual(len(of_it), len(set(of_it)), f"told twice: {of_it}")
            self.assertIn(of_it[0].kind, ("CRITICAL", "WARNING", "FLAPPING"), of_it)
            ends = [p for p in of_it if p.kind == "RESOLVED"]
            self.assertEqual((len(ends), of_it[-1].kind), (1, "RESOLVED"), of_it)

    def test_each_page_and_its_end_is_delivered_once_and_in_order(self):
        self.channels(False)
        begin = time.monotonic()
        end = begin + OUTAGE
        deaths = 0
        names = list(self.workers)
        while time.monotonic() < end and deaths < 2 * WORKERS:
            # Twice each at most: what comes and goes more often gets a digest.
            self.one_death(names[deaths % WORKERS])
            deaths += 1
            if OUTAGE > 100:
                time.sleep(max(0.0, begin + OUTAGE * deaths / (2 * WORKERS + 1) - time.monotonic()))
        time.sleep(max(0.0, end - time.monotonic()))
        self.assertEqual(self.told(), ([], []), "nothing could be told")
        self.channels(True)
        eventually("everything is told", self.nothing_waits, limit=180)
        chat, mail = self.told()
        own = ("alerts by telegram fail", "alerts by email fail")
        self.assert_each_once_with_its_end(chat)
        self.assert_each_once_with_its_end(mail)
        both = [[p for p in side if not any(words in p.title for words in own)] for side in (chat, mail)]
        self.assertEqual(both[0], both[1], "the same, in the same order")
        self.assertGreater(len(both[0]), 4)
        print(f"{deaths} deaths, {self.watchdogs - 1} of the watchdog, {len(both[0])} notices in each channel")


class LostAnswers(Case):
    def test_what_was_taken_without_an_answer_comes_twice_with_the_same_id(self):
        self.sandbox.fault(method="sendMessage", chat=OPS_CHAT, count=1, kind="close_after")
        self.d.up()
        pid = eventually("claude-1 is up", lambda: self.d.pid_of("claude-1"))
        os.kill(pid, signal.SIGKILL)
        eventually("its end is told", lambda: any("RESOLVED" in t for t in in_chat(self.d)))
        told = pages(in_chat(self.d))
        self.assertEqual([p.kind for p in told], ["CRITICAL", "CRITICAL", "RESOLVED"])
        self.assertEqual(len({p.incident for p in told}), 1)


if __name__ == "__main__":
    main()
