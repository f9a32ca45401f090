"""Drives the benchmark: starts a deployment, lets the sandbox's load generator play Telegram and the providers, and adds
up what every process of Katana used."""

import argparse
import json
import os
import pathlib
import statistics
import sys
import tempfile
import time

from harness import USERS_TOKEN, Deployment

TICKS = os.sysconf("SC_CLK_TCK")
SCENARIOS = {
    "chat1": dict(chats=1, messages=400, tokens=1, token_ms=0, first_ms=0),
    "chats200": dict(chats=200, messages=20000, tokens=1, token_ms=0, first_ms=0),
    "streams500": dict(chats=500, messages=2500, tokens=60, token_ms=20, first_ms=0),
}
IDLE_SECONDS = 20


def tree(pid):
    """`pid` and all that it started."""
    pids = [pid]
    for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        pids += tree(int(child))
    return pids


def cpu_seconds(pids):
    total = 0
    for pid in pids:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def pss_megabytes(pids):
    total = 0
    for pid in pids:
        for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
    return total / 1024


class Bench:
    def __init__(self, options):
        if options.store == "tmpfs":
            tempfile.tempdir = "/dev/shm"
        self.d = Deployment(KATANA_ACCESS="open", KATANA_STREAMING=options.streaming, KATANA_BUDGET_DAY="off",
                            KATANA_BUDGET_USER_DAY="off", KATANA_LOG_LEVEL="warning", OPENAI_API_KEY=None,
                            OPENAI_BASE_URL=None, OPENAI_API=None, KATANA_DEFAULT_PROVIDER="claude")
        self.d.sandbox.post("switch", record=False, limits=False, default_chats=True)
        begun = time.monotonic()
        self.katana = self.d.start("katana", "up", name="katana")
        self.d.katana = self.katana
        self.d.wait_ready(workers=("claude",))
        self.cold_start_ms = (time.monotonic() - begun) * 1000

    def close(self):
        self.d.close()

    def load(self, **shape):
        before = cpu_seconds(tree(self.katana.pid))
        report = self.d.sandbox.post("load", wait=True, patience_s=60, **shape)
        pids = tree(self.katana.pid)
        report["cpu_per_1000"] = (cpu_seconds(pids) - before) / max(1, report["messages"]) * 1000
        report["pss_mb"] = pss_megabytes(pids)
        return report

    def idle(self):
        pids = tree(self.katana.pid)
        before, begun = cpu_seconds(pids), time.monotonic()
        time.sleep(IDLE_SECONDS)  # a benchmark's clock, not a test's
        return {"cpu_percent": 100 * (cpu_seconds(pids) - before) / (time.monotonic() - begun),
                "pss_mb": pss_megabytes(pids)}


class Limit(Bench):
    """The least that any bot could add: katana-bare-bot, one thread that stores nothing, in the same world."""

    def __init__(self):
        self.d = Deployment()
        self.d.sandbox.post("switch", record=False, limits=False, default_chats=True)
        self.katana = self.d.start("katana-bare-bot", "--port", self.d.sandbox.url.rsplit(":", 1)[1],
                                   "--token", USERS_TOKEN)


def row(name, report):
    added = report["added_ms"]
    return (f"{name:<12} {report['msg_per_s']:>9.0f} {added['p50']:>9.2f} {added['p99']:>9.2f} "
            f"{report['cpu_per_1000']:>12.3f} {report['pss_mb']:>8.1f} {report['lost']:>5} {report['doubled']:>8} "
            f"{report['errors']:>7}")


def middle(reports):
    """The median of each figure for itself; what went wrong is added up."""
    def median(figure):
        return statistics.median(figure(r) for r in reports)

    return {"msg_per_s": median(lambda r: r["msg_per_s"]),
            "added_ms": {p: median(lambda r, p=p: r["added_ms"][p]) for p in ("p50", "p99")},
            "cpu_per_1000": median(lambda r: r["cpu_per_1000"]), "pss_mb": median(lambda r: r["pss_mb"]),
            **{wrong: sum(r[wrong] for r in reports) for wrong in ("lost", "doubled", "errors")}}


def main():
    parser = argparse.ArgumentParser(prog="tests/bench/run.sh")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--store", choices=["disk", "tmpfs"], default="disk")
    parser.add_argument("--streaming", choices=["edit", "off"], default="edit")
    parser.add_argument("--only", default="chat1,chats200,streams500,idle")
    parser.add_argument("--json", help="write every figure to this file")
    options = parser.parse_args()
    wanted = options.only.split(",")
    runs = {}
    print(f"store on {options.store}, streaming {options.streaming}, {os.cpu_count()} cores, medians of {options.runs}")
    print(f"{'':<12} {'msg/s':>9} {'p50 ms':>9} {'p99 ms':>9} {'CPU s/1000':>12} {'PSS MB':>8} {'lost':>5} {'doubled':>8} {'errors':>7}")
    for _ in range(options.runs):
        bench = Bench(options)
        try:
            runs.setdefault("cold_start_ms", []).append(bench.cold_start_ms)
            if "idle" in wanted:
                runs.setdefault("idle", []).append(bench.idle())
            for name, shape in SCENARIOS.items():
                if name in wanted:
                    if name == "chat1":
                        bench.load(chats=1, messages=50, tokens=1, token_ms=0, first_ms=0)  # warm
                    runs.setdefault(name, []).append(bench.load(**shape))
                    print(row(name, runs[name][-1]), flush=True)
        finally:
            bench.close()
        limit = Limit()
        try:
            for name in ("chats200", "streams500"):
                if name in wanted:
                    runs.setdefault(f"limit {name[:6]}", []).append(limit.load(**SCENARIOS[name]))
        finally:
            limit.close()
    print("medians")
    for name in (*SCENARIOS, "limit chats2", "limit stream"):
        if name in runs:
            print(row(name, middle(runs[name])))
    if "idle" in runs:
        print(f"idle        CPU {statistics.median(r['cpu_percent'] for r in runs['idle']):.2f} % of one core, "
              f"PSS {statistics.median(r['pss_mb'] for r in runs['idle']):.1f} MB")
    print(f"ready after {statistics.median(runs['cold_start_ms']):.0f} ms (all processes, polling, as seen from outside)")
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(runs, indent=1))
    wrong = sum(r[what] for name in SCENARIOS for r in runs.get(name, []) for what in ("lost", "doubled", "errors"))
    if wrong:
        print(f"{wrong} messages were lost, doubled or failed: no figure of this run is worth anything", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
