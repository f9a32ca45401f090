"""Faults of the machine: a full disk, one that fails, a store that is locked or damaged, and clocks that jump.

The full disk is a small file system of its own, in a mount namespace of our own; where none may be made, and for what
no file system can be told to do, `bad_machine.so` stands between the programs and the kernel. KATANA_OUTAGE is how many
seconds the disk stays full.
"""

import hashlib
import json
import os
import pathlib
import sqlite3
import subprocess
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "functional"))

from checker import Message, Question, judge  # noqa: E402
from harness import BIN, Case, eventually  # noqa: E402
from watching import in_chat, in_mail, kill, told  # noqa: E402

OUTAGE = float(os.environ.get("KATANA_OUTAGE", "5"))
CHATS = range(7000, 7004)
NO_SPACE, IO_ERROR, READ_ONLY = 28, 5, 30
PAGE = 2048
DISK = 8 << 20
OWN_MOUNTS = "KATANA_OWN_MOUNTS"


def enter_namespace():
    """Goes on in a mount namespace of its own, where that is allowed; what is mounted there ends with us."""
    unshare = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--mount"]
    mount = "mount -t tmpfs -o size=64k katana /mnt && umount /mnt"
    if OWN_MOUNTS not in os.environ and subprocess.run([*unshare, "sh", "-c", mount], capture_output=True).returncode == 0:
        os.environ[OWN_MOUNTS] = "yes"
        os.execvp("unshare", [*unshare, sys.executable, *sys.argv])


class Trial(Case):
    settings = {"OPENAI_BASE_URL": None, "OPENAI_API_KEY": None, "OPENAI_API": None, "KATANA_ACCESS": "open",
                "KATANA_EXPECT": "gateway,claude"}

    def setUp(self):
        super().setUp()
        self.asked = []
        self.state = self.d.directory / "state"
        self.store = self.state / "katana.db"
        self.d.make_directories()

    def bad_machine(self):
        """From here on what is started obeys `order`; the sandbox doesn't."""
        self.orders = self.d.directory / "orders"
        self.orders.mkdir()
        self.d.set(LD_PRELOAD=BIN / "bad_machine.so", BAD_MACHINE=self.orders, BAD_DISK=self.state)

    def order(self, name, number):
        """A whole number at any moment: nobody reads half of it."""
        part = self.orders / "part"
        part.write_text(f"{number}\n")
        part.rename(self.orders / name)

    def start_all(self):
        """Each for itself, so that each sees the machine that the test made; what `katana up` starts wouldn't."""
        self.watchdog = self.d.start("katana-watchdog")
        self.gateway = self.d.start("katana-gateway")
        self.worker = self.d.start("katana-claude")
        self.d.wait_ready(("claude",))
        eventually("the watchdog sees both", lambda: self.d.pid_of("gateway") and self.d.pid_of("claude"))

    # ---- the people ----

    def ask(self, how="tokens=2 token_ms=0", chats=CHATS):
        """The first of the updates that these questions are."""
        first = None
        for chat in chats:
            question = Question(chat, f"END-{len(self.asked)}!")
            self.asked.append(question)
            update = self.sandbox.say(f"[[{how} first_ms=0 end={question.marker}]]", chat=chat)["update_id"]
            first = first or update
        return first

    def wait_answers(self):
        for question in self.asked:
            self.sandbox.wait_text(question.marker, chat=question.chat)

    def wait_begun(self):
        eventually("all are asked of the provider", lambda: len(self.sandbox.record(call="messages", brief=1)) == len(self.asked))

    def history(self):
        return [Message(chat, m["message_id"], None if m["deleted"] else m.get("text", ""),
                        tuple(h.get("text", "") for h in m.get("history", [])))
                for chat in CHATS for m in json.loads(self.sandbox.get("chat", id=chat)).get("messages", []) if m["by_bot"]]

    def assert_just(self):
        """Every question has its answer, once, in order; nothing else stands in the chats."""
        self.wait_answers()
        verdict = judge(self.asked, self.history())
        self.assertEqual((verdict.sins, verdict.strays), ({}, []))

    # ---- the store ----

    def confirmed(self, since=0):
        """The highest offset that Telegram was told since record number `since`."""
        return max((r["body"].get("offset", 0) for r in self.sandbox.record(call="getUpdates", since=since)
                    if isinstance(r.get("body"), dict)), default=0)

    def assert_store_settled(self):
        """After a good stop: whole, and nothing is left to do."""
        self.assertEqual(self.gateway.stop(), 0)
        database = sqlite3.connect(self.store)
        open_rows = [database.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in ("open_turns", "replies")]
        self.assertEqual(database.execute("PRAGMA integrity_check").fetchone()[0], "ok")
        self.assertEqual(database.execute("SELECT count(*) FROM turns WHERE answered").fetchone()[0], len(self.asked))
        database.close()
        self.assertEqual(open_rows, [0, 0])

    def fingerprint(self):
        # An empty log says nothing: whoever looks makes one.
        return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(self.state.glob("katana.db*"))
                if p.stat().st_size > 0}


class Disk(Trial):
    def go_through(self, break_it, mend_it, words, outage=0.0):
        """Questions before, during and after; answers under way when it begins; told, and told of its end."""
        self.ask()
        self.wait_answers()
        self.ask("tokens=30 token_ms=60")  # their results find no store
        self.wait_begun()
        break_it()
        begun = time.monotonic()
        first_lost = self.ask()
        told(self.d, "CRITICAL", "gateway is unhealthy", words)
        status, health = self.d.health()
        self.assertEqual((status, health["store"], health["polling_active"]), (503, "failing", False))
        while time.monotonic() < begun + outage:
            self.ask(chats=[CHATS[len(self.asked) % len(CHATS)]])
            time.sleep(0.5)
        eventually("the results are there", lambda: self.worker.log().count("answered job") >= 2 * len(CHATS))
        self.assertLessEqual(self.confirmed(), first_lost, "nothing that isn't stored is confirmed")
        self.ask()
        mend_it()
        self.assert_just()
        self.ask()
        self.assert_just()
        told(self.d, "RESOLVED", "gateway is unhealthy")
        self.assertEqual(self.d.health()[0], 200)
        self.assertEqual(sum("CRITICAL gateway is unhealthy" in t for t in in_chat(self.d)), 1, in_chat(self.d))
        self.assert_store_settled()

    def test_full(self):
        if OWN_MOUNTS in os.environ:
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK},mode=700", "katana", self.state], check=True)
            self.addCleanup(lambda: subprocess.run(["umount", "--lazy", self.state], check=True))
        else:
            self.bad_machine()
        self.start_all()
        filler = self.state / "filler"

        def fill():
            if OWN_MOUNTS not in os.environ:
                return self.order("disk", NO_SPACE)
            with open(filler, "wb", buffering=0) as file:
                try:
                    while True:
                        file.write(b"\0" * 4096)
                except OSError as error:
                    self.assertEqual(error.errno, NO_SPACE)

        def empty():
            filler.unlink() if OWN_MOUNTS in os.environ else self.order("disk", 0)

        self.go_through(fill, empty, "free some space", OUTAGE)
        self.assertRegex((self.state / "katana_heartbeat.txt").read_text(), r"^\d+\n$")

    def test_that_fails(self):
        self.bad_machine()
        self.start_all()
        self.go_through(lambda: self.order("disk", IO_ERROR), lambda: self.order("disk", 0), "disk errors")

    def test_read_only(self):
        self.bad_machine()
        self.start_all()
        self.go_through(lambda: self.order("disk", READ_ONLY), lambda: self.order("disk", 0), "nothing can be stored")

    @unittest.skipUnless(OWN_MOUNTS in os.environ, "no mount can be made here")
    def test_read_only_when_the_gateway_starts(self):
        """No setting is wrong: it is tried until the disk is good again."""
        self.d.set(KATANA_EXPECT=None)
        self.d.up_without_openai()
        self.ask()
        self.assert_just()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "ro,mode=700", "katana", self.state], check=True)
        unmount = ["umount", "--lazy", self.state]
        self.addCleanup(lambda: os.path.ismount(self.state) and subprocess.run(unmount, check=True))
        kill(self.d.pid_of("gateway"))
        eventually("it was tried more than once", lambda: self.d.katana.log().count("see to its disk") > 1)
        self.ask()
        subprocess.run(unmount, check=True)
        self.assert_just()
        told(self.d, "RESOLVED", "gateway is down")

    @unittest.skipIf(OUTAGE < 30, "the store of an idle bot is tried once a minute")
    def test_that_fails_on_an_idle_bot(self):
        """Nobody asks: the store is tried all the same, and polling ends."""
        self.bad_machine()
        self.start_all()
        self.ask()
        self.assert_just()
        self.order("disk", IO_ERROR)
        told(self.d, "CRITICAL", "gateway is unhealthy", "Input/output error", limit=150)  # of the heartbeat file, at once
        eventually("the store's trouble is known", lambda: "disk errors" in json.dumps(self.d.health()[1]), limit=150)
        self.order("disk", 0)
        told(self.d, "RESOLVED", "gateway is unhealthy")
        self.ask()
        self.assert_just()


class Locked(Trial):
    def test_by_another_process(self):
        self.d.set(KATANA_EXPECT=None)
        self.d.up_without_openai()
        self.ask()
        self.assert_just()
        with self.assertRaisesRegex(sqlite3.OperationalError, "locked"):
            sqlite3.connect(self.store, timeout=0.1).execute("SELECT count(*) FROM turns")
        self.ask()
        self.assert_just()
        self.assertEqual(self.d.katana.stop(), 0)

        other = sqlite3.connect(self.store, isolation_level=None)
        self.addCleanup(other.close)
        other.execute("BEGIN EXCLUSIVE")
        self.ask()
        self.d.katana = self.d.start("katana", "up", name="again")
        eventually("it says who is in the way", lambda: "another process holds it" in self.d.katana.log())
        told(self.d, "CRITICAL", "gateway is down")
        other.close()
        self.d.wait_ready(("claude",))
        self.assert_just()
        told(self.d, "RESOLVED", "gateway is down")


class Damaged(Trial):
    def begin(self):
        """A store with some answers in it, closed."""
        gateway = self.d.serve("claude")
        self.ask()
        self.assert_just()
        self.assertEqual(gateway.stop(), 0)

    def damage(self, at, bytes_):
        with open(self.store, "r+b") as file:
            file.seek(at)
            file.write(bytes_)

    def assert_refused(self, *words):
        before = self.fingerprint()
        gateway = self.d.start("katana-gateway", name="refused")
        self.assertEqual(gateway.wait(), 1)
        for word in (str(self.store), *words):
            self.assertIn(word, gateway.log())
        self.assertEqual(self.fingerprint(), before, "it is left as it is")
        status, out, err = self.d.command("doctor")
        self.assertEqual(status, 1, out + err)
        line = next(line for line in out.splitlines() if line.startswith("BROKEN") and str(self.store) in line)
        for word in words:
            self.assertIn(word, line)
        self.assertEqual(self.fingerprint(), before, "and by the doctor, too")

    def test_at_the_start(self):
        self.begin()
        sound = self.store.read_bytes()
        for name, bytes_ in (("no header", b"#" * 100 + sound[100:]), ("no database", b"z" * 5000),
                             ("cut off", sound[:len(sound) // 2]),
                             ("a torn page", sound[:9 * PAGE] + b"\x55" * PAGE + sound[10 * PAGE:])):
            with self.subTest(name):
                self.store.write_bytes(bytes_)
                self.assert_refused("restore")
        log = pathlib.Path(f"{self.store}-wal")
        for name, bytes_ in (("empty beside its log", b""), ("gone, its log isn't", None)):
            with self.subTest(name):
                self.store.unlink() if bytes_ is None else self.store.write_bytes(bytes_)
                log.write_bytes(b"w" * 4096)
                self.assert_refused("restore")
                log.unlink()
        self.store.write_bytes(sound)
        database = sqlite3.connect(self.store)
        database.execute("INSERT INTO schema_version (version) VALUES (999)")
        database.commit()
        database.close()
        self.assert_refused("run the newer program")

    def test_with_half_a_log_or_none(self):
        """What is left is served, and whole: that something is missing can't be seen."""
        gateway = self.d.serve("claude")
        self.ask()
        self.assert_just()
        gateway.popen.kill()
        gateway.wait()
        wal = pathlib.Path(f"{self.store}-wal")
        self.assertGreater(wal.stat().st_size, 0)
        with open(wal, "r+b") as file:
            file.seek(wal.stat().st_size // 2)
            file.write(b"\x55" * PAGE)
        gateway = self.d.start("katana-gateway")
        self.d.wait_ready(("claude",))
        gateway.popen.kill()
        gateway.wait()
        wal.unlink()
        database = sqlite3.connect(self.store)
        self.assertEqual(database.execute("PRAGMA integrity_check").fetchone()[0], "ok")
        database.close()

    def test_while_it_runs(self):
        """A page that isn't read at the start: of a large store not all is."""
        self.begin()
        database = sqlite3.connect(self.store)
        database.executemany("INSERT INTO updates (bot_id, update_id, seen_at) VALUES (1, ?, 4e12)", ((i,) for i in range(600_000)))
        database.commit()
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self.assertGreater(self.store.stat().st_size, 8 << 20)
        page, = database.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'usage'").fetchone()
        database.close()
        self.damage((page - 1) * PAGE, b"\x55" * PAGE)

        self.start_all()
        self.ask(chats=[8000])
        told(self.d, "CRITICAL", "gateway is unhealthy", "damaged", "katana restore")
        status, out, err = self.d.command("doctor")
        self.assertEqual(status, 1, out + err)
        self.assertRegex(out, r"BROKEN +store: .*damaged.*katana restore")
        before = self.fingerprint()
        self.ask(chats=[8001])
        polls = len(self.sandbox.record(call="getUpdates"))
        eventually("the store was tried again", lambda: self.d.health()[1]["store"] == "failing")
        self.assertEqual(self.fingerprint(), before, "nothing is written any more")
        self.gateway.stop()
        self.assertEqual(self.fingerprint(), before, "and nothing at the end")
        self.assertEqual(len(self.sandbox.record(call="getUpdates")), polls, "polling has stopped")


class Clock(Trial):
    def test_jumps(self):
        self.bad_machine()
        self.start_all()
        for hours in (1, 0, -1, 0):
            self.ask("tokens=20 token_ms=50")
            self.wait_begun()
            self.order("clock", hours * 3600)
            self.ask()
            eventually("the heartbeat follows", lambda: self.d.command("check-heartbeat")[0] == 0)
            self.assert_just()
        self.assertEqual((in_chat(self.d), in_mail(self.d)), ([], []), "nobody was told of anything")
        for log in (self.gateway.log(), self.worker.log()):
            self.assertNotIn("is gone", log)
            self.assertNotIn("connecting anew", log)

        # What was stored an hour ahead of the time that is now.
        self.order("clock", 3600)
        self.ask()
        self.assert_just()
        for process in (self.gateway, self.watchdog):
            self.assertEqual(process.stop(), 0)
        self.order("clock", 0)
        self.ask()
        self.watchdog = self.d.start("katana-watchdog", name="watchdog-2")
        self.gateway = self.d.start("katana-gateway", name="gateway-2")
        self.assert_just()
        self.assertEqual((in_chat(self.d), in_mail(self.d)), ([], []), "nobody was told of anything")
        self.assert_store_settled()


if __name__ == "__main__":
    enter_namespace()
    unittest.main(verbosity=2)
