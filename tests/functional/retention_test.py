"""KATANA_RETENTION: what people said, and copies of it, are gone when their time is over, and the file gets smaller."""

import contextlib
import os
import sqlite3
import time

from harness import LIMIT, Case, eventually, main

FIRST_PRUNE = 60  # seconds after a start
DAY = 24 * 3600
ROWS = 2000


class Retention(Case):
    settings = {"OPENAI_BASE_URL": None, "OPENAI_API_KEY": None, "OPENAI_API": None, "KATANA_RETENTION": "30d"}

    def copies(self, number, age):
        made = []
        for kind in ("before", "replaced"):
            copy = self.store.with_name(f"katana.db.{kind}-{number}")
            copy.write_text("words")
            os.utime(copy, (time.time() - age,) * 2)
            made.append(copy)
        return made

    def test_old_words_go_and_young_ones_stay(self):
        self.store = self.d.directory / "state/katana.db"
        gateway = self.d.serve("claude")
        self.d.ask("[[tokens=2 token_ms=0 end=OLD!]] old words", "OLD!")
        eventually("it is delivered", lambda: self.d.metric("katana_answers_total") == 1)
        self.assertEqual(gateway.stop(), 0)
        with contextlib.closing(sqlite3.connect(self.store)) as database, database:
            columns = [row[1] for row in database.execute("PRAGMA table_info(turns)") if row[1] != "turn_id"]
            for n in range(ROWS):  # a month of talk, of which this is one
                database.execute(f"INSERT INTO turns (turn_id, {', '.join(columns)}) SELECT {n + 100}, {', '.join(columns)} FROM turns "
                                 "WHERE turn_id = 1")
            database.execute("UPDATE turns SET answer = answer || ?", ("old words " * 200,))
            database.execute("UPDATE turns SET settled_at = settled_at - ?", (31 * DAY * 1000,))
        size = self.store.stat().st_size
        old, young = self.copies(1, 31 * DAY), self.copies(2, 29 * DAY)
        gateway = self.d.start("katana-gateway", name="again")
        self.d.wait_ready(("claude",))
        self.d.ask("[[tokens=2 token_ms=0 end=YOUNG!]] young words", "YOUNG!")
        eventually("what is over is gone", lambda: "Retention: " in gateway.log(), FIRST_PRUNE + LIMIT)
        self.assertEqual(gateway.stop(), 0)
        self.assertLess(self.store.stat().st_size, size / 4)
        with contextlib.closing(sqlite3.connect(self.store)) as database:
            questions = [question for question, in database.execute("SELECT question FROM turns")]
        self.assertEqual(len(questions), 1)
        self.assertIn("young words", questions[0])
        self.assertEqual([c for c in (*old, *young) if c.exists()], young)


if __name__ == "__main__":
    main()
