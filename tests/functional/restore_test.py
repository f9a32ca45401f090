"""`katana backup` under load, `katana restore`, and what `katana doctor` says of the store."""

import contextlib
import signal
import sqlite3
import stat

from harness import Case, eventually, main


class Restore(Case):
    settings = {"OPENAI_BASE_URL": None, "OPENAI_API_KEY": None, "OPENAI_API": None, "KATANA_ACCESS": "open"}

    def setUp(self):
        super().setUp()
        self.store = self.d.directory / "state/katana.db"
        self.backup = self.d.directory / "backup.db"

    def answered(self, path):
        with contextlib.closing(sqlite3.connect(path)) as database:
            self.assertEqual(database.execute("PRAGMA integrity_check").fetchone()[0], "ok")
            return database.execute("SELECT count(*) FROM turns WHERE answered").fetchone()[0]

    def ask(self, first, count):
        for n in range(first, first + count):
            self.d.ask(f"[[tokens=2 token_ms=0 first_ms=0 end=END-{n}!]]", f"END-{n}!", chat=5000 + n % 5)

    def test_a_backup_under_load_and_its_way_back(self):
        gateway = self.d.serve("claude")
        self.ask(0, 10)
        eventually("all are settled", lambda: self.d.metric("katana_answers_total") == 10)
        for n in range(100):  # under way while the copy is made
            self.sandbox.say(f"[[tokens=2 token_ms=0 first_ms=0 end=LOAD-{n}!]]", chat=6000 + n % 20)
        status, out, err = self.d.command("backup", str(self.backup))
        self.assertEqual(status, 0, out + err)
        self.assertEqual(stat.S_IMODE(self.backup.stat().st_mode), 0o600)
        for n in range(100):
            self.sandbox.wait_text(f"LOAD-{n}!", chat=6000 + n % 20)
        held = self.answered(self.backup)
        self.assertGreaterEqual(held, 10)
        status, _, err = self.d.command("backup", str(self.backup))
        self.assertEqual(status, 1, "nothing is overwritten")
        self.ask(200, 3)
        eventually("all are settled", lambda: self.d.metric("katana_answers_total") == 113)

        before = self.backup.read_bytes()  # as the reading above left it
        status, _, err = self.d.command("restore", str(self.backup))
        self.assertEqual(status, 1)
        self.assertIn("the gateway runs", err)
        self.assertEqual(gateway.stop(), 0)
        status, _, err = self.d.command("restore", str(self.backup))
        self.assertEqual(status, 1)
        self.assertIn(f"{113 - held} settled questions (20", err)
        self.assertIn("--replace", err)
        self.assertEqual(self.answered(self.store), 113, "nothing was changed")

        status, out, err = self.d.command("restore", str(self.backup), "--replace")
        self.assertEqual(status, 0, out + err)
        kept = self.store.with_name("katana.db.replaced-1")
        self.assertIn(str(kept), out)
        self.assertEqual((self.answered(self.store), self.answered(kept)), (held, 113))
        self.assertEqual(stat.S_IMODE(self.store.stat().st_mode), 0o600)
        self.assertEqual(self.backup.read_bytes(), before)
        self.assertEqual(sorted(p.name for p in self.store.parent.glob("*.restored*")), [])
        self.d.start("katana-gateway", name="restored")
        self.d.wait_ready(("claude",))
        self.ask(300, 2)

    def test_a_gateway_that_does_not_answer_has_the_store_all_the_same(self):
        gateway = self.d.serve("claude")
        self.ask(0, 2)
        self.assertEqual(self.d.command("backup", str(self.backup))[0], 0)
        gateway.signal(signal.SIGSTOP)
        self.addCleanup(gateway.signal, signal.SIGCONT)
        for more in ({}, {"KATANA_RUN_DIR": str(self.d.directory / "elsewhere")}):
            self.d.set(**more)
            status, out, err = self.d.command("restore", str(self.backup), "--replace")
            self.assertEqual(status, 1, out + err)
            self.assertIn("stop", err)
        self.assertEqual(sorted(p.name for p in self.store.parent.glob("*.re*")), [])
        gateway.signal(signal.SIGCONT)
        self.ask(2, 1)

    def test_a_log_that_was_left_behind_is_not_replayed_into_the_backup(self):
        gateway = self.d.serve("claude")
        self.ask(0, 3)
        self.assertEqual(self.d.command("backup", str(self.backup))[0], 0)
        self.ask(3, 5)
        gateway.popen.kill()
        gateway.wait()
        log = self.store.with_name("katana.db-wal")
        self.assertGreater(log.stat().st_size, 0)
        self.store.unlink()
        status, out, err = self.d.command("restore", str(self.backup))
        self.assertEqual(status, 1, out + err)
        self.assertIn("--replace", err)
        status, out, err = self.d.command("restore", str(self.backup), "--replace")
        self.assertEqual(status, 0, out + err)
        self.assertTrue(self.store.with_name("katana.db.replaced-1-wal").exists(), "it is kept")
        self.assertEqual(self.answered(self.store), 3)

    def test_what_is_no_backup_is_refused(self):
        self.d.serve("claude").stop()
        before = self.store.read_bytes()
        other = self.d.directory / "other.db"
        database = sqlite3.connect(other)
        database.execute("CREATE TABLE mine (x)")
        database.commit()
        database.close()
        broken = self.d.directory / "broken.db"
        broken.write_bytes(before[:4096] + b"\x55" * 8192)
        newer = self.d.directory / "newer.db"
        newer.write_bytes(before)
        database = sqlite3.connect(newer)
        database.execute("INSERT INTO schema_version VALUES (999)")
        database.commit()
        database.close()
        for path, words in ((other, "another program"), (broken, "damaged"), (newer, "run the newer program"),
                            (self.d.directory / "none.db", "no such file")):
            with self.subTest(path.name):
                status, out, err = self.d.command("restore", str(path), "--replace")
                self.assertEqual(status, 1)
                self.assertIn(words, err)
                self.assertEqual(self.store.read_bytes(), before)
        self.assertEqual(sorted(p.name for p in self.store.parent.glob("*.re*")), [])

    def test_the_doctor_looks_at_the_store(self):
        out = self.d.command("doctor")[1]
        self.assertIn("there is none yet", out)
        gateway = self.d.serve("claude")
        self.ask(0, 2)
        self.assertIn("the running gateway has it", self.d.command("doctor")[1])
        gateway.stop()
        self.assertIn("whole, 2 answered questions", self.d.command("doctor")[1])


if __name__ == "__main__":
    main()
