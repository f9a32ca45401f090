"""Katana over several hosts: the gateway on one, workers on two, the watchdog on a fourth, each a network namespace of its own with
a cable to a switch in the middle. Cables are pulled, packets dropped, and strangers knock.
"""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "functional"))

from asking import TABLE, Asking, print_table  # noqa: E402
from harness import ALERT_TOKEN, BIN, OPS_CHAT, USER, USERS_TOKEN, Process, Sandbox, eventually, http_get  # noqa: E402
from machine import join_network, namespaces_work, need, run_tests  # noqa: E402

HOSTS = {"gateway": "10.77.0.1", "one": "10.77.0.2", "two": "10.77.0.3", "watch": "10.77.0.4", "stranger": "10.77.0.9"}
BUS, WATCH = "tcp://10.77.0.1:9700", "tcp://10.77.0.4:9701"
USERS = range(USER, USER + 4)
LONG = USER + 50  # whose answer takes 10 s
STRANGER = BIN / "stranger"


class Network:
    """Namespaces on a switch. Gone at the end with everything in them."""

    def __init__(self):
        self.prefix = "kt" + os.urandom(3).hex()
        self.made = []
        self.namespace("hub")
        self.inside("hub", "ip", "link", "add", "switch", "type", "bridge")
        self.inside("hub", "ip", "link", "set", "switch", "up")
        for name, address in HOSTS.items():
            self.namespace(name)
            cable = f"c-{name}"
            self.inside("hub", "ip", "link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", self.name(name))
            self.inside("hub", "ip", "link", "set", cable, "master", "switch", "up")
            self.inside(name, "ip", "address", "add", address + "/24", "dev", "eth0")
            self.inside(name, "ip", "link", "set", "eth0", "up")

    def name(self, host):
        return f"{self.prefix}-{host}"

    def namespace(self, host):
        subprocess.run(["ip", "netns", "add", self.name(host)], check=True)
        self.made.append(host)
        self.inside(host, "ip", "link", "set", "lo", "up")

    def argv(self, host, *command):
        """Its own name as a host, too; the process keeps its id through all of it."""
        return ["ip", "netns", "exec", self.name(host), "unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"', host, *map(str, command)]

    def inside(self, host, *command):
        subprocess.run(["ip", "netns", "exec", self.name(host), *command], check=True, stdin=subprocess.DEVNULL)

    def pull(self, host):
        self.inside("hub", "ip", "link", "set", f"c-{host}", "down")

    def plug(self, host):
        self.inside("hub", "ip", "link", "set", f"c-{host}", "up")

    def drop(self, host, percent):
        rules = f"table inet loss {{ chain input {{ type filter hook input priority 0; iifname eth0 numgen random mod 100 < {percent} drop\n }}\n }}"
        self.inside(host, "nft", rules)

    def drop_nothing(self, host):
        self.inside(host, "nft", "delete", "table", "inet", "loss")

    def close(self):
        for host in self.made:
            subprocess.run(["ip", "netns", "delete", self.name(host)], check=False)


class Hosts(Asking, unittest.TestCase):
    users = USERS

    def setUp(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="katana-hosts-"))
        self.addCleanup(shutil.rmtree, self.directory)
        need(os.geteuid() == 0 and namespaces_work(), "making networks needs root, and a kernel that grants namespaces")
        self.network = Network()
        self.addCleanup(self.network.close)
        own = open("/proc/self/ns/net")
        self.addCleanup(own.close)
        self.addCleanup(join_network, own)
        with open("/run/netns/" + self.network.name("gateway")) as gateway:
            join_network(gateway)  # the sandbox is there, and so are we
        self.processes = []
        self.addCleanup(self.end)
        self.sandbox = Sandbox(self.directory, http="0.0.0.0:8080")
        self.processes.append(self.sandbox)
        self.sandbox.url = "http://127.0.0.1:8080"
        for user in (*USERS, LONG):
            self.sandbox.post("chat", chat=user, type="private")
        self.sandbox.post("chat", chat=OPS_CHAT, type="private", bot=ALERT_TOKEN)
        subprocess.run([BIN / "katana", "keygen", self.directory / "keys"], check=True, stdout=subprocess.DEVNULL)
        # One worker with the first key, the other with one of its own, laid out for its machine.
        subprocess.run([BIN / "katana", "keygen", self.directory / "keys", "--worker", "two"], check=True, stdout=subprocess.DEVNULL)
        (self.directory / "keys/two").rename(self.directory / "two")
        self.hand_out("gateway", "server.public", "server.secret", "watchdog.public", "authorized")
        self.hand_out("one", "worker.public", "worker.secret", "server.public", "watchdog.public")
        self.hand_out("watch", "watchdog.public", "watchdog.secret", "server.public", "authorized")
        self.start("watch", "katana-watchdog")
        self.start("gateway", "katana-gateway")
        self.start("one", "katana-claude", KATANA_INSTANCE="claude-1")
        self.start("two", "katana-claude", KATANA_INSTANCE="claude-2")
        self.wait_workers(2)
        eventually("the watchdog sees all", lambda: set(self.states().values()) == {"up"} and len(self.states()) == 3)

    def end(self):
        outcome = self._outcome.result
        if any(self in (test, getattr(test, "test_case", None)) for test, _ in outcome.failures + outcome.errors):
            for process in self.processes:
                print(f"---- {process.name} ----\n{process.log()[-4000:]}")
        secrets = [path.read_text().strip() for path in self.directory.rglob("*.secret")] + [USERS_TOKEN, ALERT_TOKEN, "tests-anthropic-key"]
        for process in self.processes[1:]:
            self.assertFalse(any(secret in process.log() for secret in secrets), process.name)
        for process in reversed(self.processes):
            if process.popen.poll() is None:
                process.signal(signal.SIGKILL)
                process.wait()
            process.log_file.close()

    def hand_out(self, host, *names):
        """What of the keys belongs on that machine."""
        place = self.directory / host
        place.mkdir(mode=0o700)
        for name in names:
            source = self.directory / "keys" / name
            (shutil.copytree if source.is_dir() else shutil.copy)(source, place / name)

    def settings(self, host):
        return {"PATH": os.environ["PATH"], "KATANA_BUS": BUS, "KATANA_WATCH": WATCH, "KATANA_KEYS": self.directory / host,
                "KATANA_STATE_DIR": self.directory / f"{host}-state", "KATANA_RUN_DIR": self.directory / f"{host}-run",
                "KATANA_TELEGRAM_API_URL": "http://10.77.0.1:8080", "ANTHROPIC_BASE_URL": "http://10.77.0.1:8080/anthropic",
                **({"KATANA_TELEGRAM_TOKEN": USERS_TOKEN, "KATANA_ALLOWED_USERS": ",".join(map(str, (*USERS, LONG))), "KATANA_TELEGRAM_LIMITS": "off",
                    "KATANA_PROVIDERS": "claude"} if host == "gateway" else {}),
                **({"TELEGRAM_ALERT_BOT_TOKEN": ALERT_TOKEN, "TELEGRAM_ALERT_CHAT_ID": OPS_CHAT, "KATANA_EXPECT": "gateway,claude:2",
                    "KATANA_WATCHDOG_HTTP": "10.77.0.4:9780"} if host == "watch" else {"ANTHROPIC_API_KEY": "tests-anthropic-key"})}

    def start(self, host, program, keys=None, **more):
        env = {k: str(v) for k, v in {**self.settings(host), **({"KATANA_KEYS": keys} if keys else {}), **more}.items()}
        process = Process(more.get("KATANA_INSTANCE", program), self.network.argv(host, BIN / program, "--env-file", "/dev/null"), env, self.directory)
        self.processes.append(process)
        return process

    def health(self):
        return json.loads(http_get("http://127.0.0.1:9710/health")[1])

    def wait_workers(self, count):
        eventually(f"{count} workers", lambda: self.health()["workers"]["claude"] == count)

    def states(self):
        status = json.loads(http_get("http://10.77.0.4:9780/api/status")[1])
        return {p["instance"]: p["state"] for p in status["processes"]}

    def metric(self, name):
        lines = http_get("http://127.0.0.1:9710/metrics")[1].splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith((name + " ", name + "{")))

    def pages(self):
        return self.sandbox.texts(OPS_CHAT, bot=ALERT_TOKEN)

    def test_a_pulled_cable_is_noticed_told_and_mended(self):
        def pull_and_plug():
            began = time.monotonic()
            self.network.pull("one")
            eventually("it is missed", lambda: self.states()["claude-1"] in ("hung", "down"))
            TABLE.append(("cable of a worker's host pulled: missed after", f"{time.monotonic() - began:.1f} s"))
            self.wait_workers(1)
            self.network.plug("one")
            self.wait_workers(2)
            eventually("it is back", lambda: self.states()["claude-1"] == "up")
        count = self.under_load(pull_and_plug)
        TABLE.append(("questions asked meanwhile, each answered once, in order", str(count)))
        eventually("told, with its end", lambda: len([p for p in self.pages() if "claude-1" in p]) == 2)
        self.assertIn("RESOLVED", self.pages()[-1])

    def test_the_gateways_cable_too(self):
        def pull_and_plug():
            self.network.pull("gateway")
            # We are behind that cable ourselves: the watchdog's page can't be asked, its log can be read.
            watchdog = next(p for p in self.processes if p.name == "katana-watchdog")
            eventually("it is missed", lambda: re.search(r"gateway: \w+ -> (hung|down)", watchdog.log()))
            self.network.plug("gateway")
            self.wait_workers(2)
            eventually("it is back", lambda: self.states()["gateway"] == "up")
        self.under_load(pull_and_plug)

    def test_lost_packets_lose_no_answers(self):
        def lose():
            for host in ("one", "two", "gateway"):
                self.network.drop(host, 15)
            self.wait_for_rounds(6)
            for host in ("one", "two", "gateway"):
                self.network.drop_nothing(host)
            self.wait_workers(2)
        count = self.under_load(lose)
        TABLE.append(("questions asked while 15 % of packets were lost, each answered once", str(count)))

    def test_strangers_get_nothing_and_disturb_nobody(self):
        subprocess.run([BIN / "katana", "keygen", self.directory / "theirs"], check=True, stdout=subprocess.DEVNULL)
        self.hand_out("stranger", "worker.public", "worker.secret", "server.public", "watchdog.public")
        unknown = self.directory / "unknown"
        shutil.copytree(self.directory / "stranger", unknown)
        for name in ("worker.public", "worker.secret"):
            shutil.copy(self.directory / "theirs" / name, unknown / name)
        shutil.rmtree(self.directory / "theirs")

        # A key that nobody listed.
        denied = self.metric("katana_bus_denied_connections_total")
        self.start("stranger", "katana-claude", keys=unknown, KATANA_INSTANCE="claude-9")
        eventually("refused and counted", lambda: self.metric("katana_bus_denied_connections_total") > denied)
        # No key at all: it doesn't start with one missing, and a peer without gets no word.
        refused = self.start("stranger", "katana-claude", KATANA_KEYS="", KATANA_INSTANCE="claude-8")
        self.assertEqual(refused.wait(), 2)
        self.assertIn("KATANA_BUS: tcp:// always needs keys", refused.log())
        self.assertEqual(self.stranger("plain", BUS), "refused\n")
        # A listed key of another worker's, with a living worker's name.
        second = self.directory / "second"
        shutil.copytree(self.directory / "stranger", second)
        shutil.copy(unknown / "worker.public", second / "worker.public")
        shutil.copy(unknown / "worker.secret", second / "worker.secret")
        shutil.copy(second / "worker.public", self.directory / "gateway/authorized/second.public")
        gateway = next(p for p in self.processes if p.name == "katana-gateway")
        gateway.signal(signal.SIGHUP)
        self.wait_workers(3)  # the unknown one is known now
        worker_id = re.search(r"Worker (\w+) \(claude", gateway.log())[1]
        self.assertEqual(self.stranger("steal", BUS, second, worker_id), "refused\n")
        self.assertIn(f"Refused worker {worker_id}", gateway.log())
        self.assertEqual(self.stranger("later", BUS, second, "of-a-later-version"), "welcomed\n")
        # A million frames that are none.
        before = self.metric("katana_bus_malformed_frames_total")

        def knock():
            began = time.monotonic()
            self.assertEqual(self.stranger("malformed", BUS, second, "1000000"), "sent 1000000\n")
            eventually("all dropped and counted", lambda: self.metric("katana_bus_malformed_frames_total") - before > 990_000, 300)
            TABLE.append(("a million malformed frames were dropped in", f"{time.monotonic() - began:.1f} s"))
        count = self.under_load(knock)
        TABLE.append(("questions asked meanwhile, each answered once", str(count)))
        self.assertLess(len(gateway.log()), 3_000_000)
        self.assertTrue(self.health()["workers"]["claude"] >= 2)

    def process(self, name):
        return next(p for p in self.processes if p.name == name)

    def put(self, source, host, name):
        shutil.copy(self.directory / source, self.directory / host / name)

    def reload(self, *names):
        for name in names:
            self.process(name).signal(signal.SIGHUP)

    def test_keys_are_replaced_without_a_stop(self):
        """Everybody's, one after the other: two are good for a while, then the old one goes."""
        subprocess.run([BIN / "katana", "keygen", self.directory / "fresh"], check=True, stdout=subprocess.DEVNULL)
        for party in ("server", "worker", "watchdog"):
            for host in ("gateway", "watch"):
                self.put(f"fresh/{party}.public", host, f"authorized/{party}-2.public")
        self.reload("katana-gateway", "katana-watchdog")
        joins = lambda: self.process("katana-gateway").log().count("joined")  # noqa: E731

        def replace():
            before = joins()
            self.put("fresh/worker.public", "one", "worker.public")
            self.put("fresh/worker.secret", "one", "worker.secret")
            self.reload("claude-1")
            eventually("it comes with its new key", lambda: joins() > before)
            for host in ("gateway", "watch"):
                (self.directory / host / "authorized/worker.public").unlink()
            self.reload("katana-gateway", "katana-watchdog")

            for host in ("one", "two", "watch"):
                self.put("fresh/server.public", host, "server.next.public")
            before = joins()
            self.sandbox.say("Go on [[tokens=250 token_ms=40 end=END-of-it.]]", chat=LONG)
            eventually("a long answer is under way", lambda: any(len(t) > 60 for t in self.sandbox.texts(LONG)))
            self.put("fresh/server.public", "gateway", "server.public")
            self.put("fresh/server.secret", "gateway", "server.secret")
            self.reload("katana-gateway")
            eventually("both come to the gateway's new key", lambda: joins() >= before + 2)
            self.wait_workers(2)

            for host in ("gateway", "one", "two"):
                self.put("fresh/watchdog.public", host, "watchdog.next.public")
            self.put("fresh/watchdog.public", "watch", "watchdog.public")
            self.put("fresh/watchdog.secret", "watch", "watchdog.secret")
            self.reload("katana-watchdog")
            eventually("they come to the watchdog's new key", lambda: self.process("katana-watchdog").log().count("connect again") == 1
                       and set(self.states().values()) == {"up"})
            for host in ("one", "two", "watch"):
                (self.directory / host / "server.next.public").rename(self.directory / host / "server.public")
            for host in ("gateway", "one", "two"):
                (self.directory / host / "watchdog.next.public").rename(self.directory / host / "watchdog.public")
            for host in ("gateway", "watch"):
                for party in ("server", "watchdog"):
                    (self.directory / host / f"authorized/{party}.public").unlink()
            self.reload("katana-gateway", "katana-watchdog", "claude-1", "claude-2")
        count = self.under_load(replace, rounds=6)
        TABLE.append(("questions asked while all keys were replaced, each answered once", str(count)))
        self.assertEqual(self.pages(), [])
        self.assertEqual(set(self.states().values()), {"up"})
        self.sandbox.wait_text("END-of-it.", chat=LONG)
        calls = [r for r in self.sandbox.record(call="messages") if "END-of-it" in json.dumps(r["body"])]
        self.assertEqual(len(calls), 1, "what was under way went on where it was")

    def stranger(self, *words):
        done = subprocess.run(self.network.argv("stranger", STRANGER, *words), capture_output=True, text=True, timeout=600)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout


def tearDownModule():
    print_table()


if __name__ == "__main__":
    run_tests()
