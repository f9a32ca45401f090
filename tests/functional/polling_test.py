"""Polling: whatever Telegram does, every update is taken once, and none is confirmed before it is stored."""

import json
import signal
import subprocess
import threading
import time
import unittest

from harness import (ALERT_TOKEN, LIMIT, OPS_CHAT, USER, USERS_TOKEN, Case, Sandbox, eventually, free_port, http_get, main,
                     sanitizer_environment)

NUMBER = USERS_TOKEN.split(":")[0]
SLOW_DISK = r"""
#include <unistd.h>
int fdatasync(int fd) {
  (void)fd;
  while (access(HOLD, F_OK) == 0) usleep(1000);
  return 0;
}
int fsync(int fd) { return fdatasync(fd); }
"""


def slow_disk(directory, hold):
    """A library under which nothing gets to the disk while the file `hold` is there."""
    (directory / "slow_disk.c").write_text(SLOW_DISK)
    library = directory / "slow_disk.so"
    subprocess.run(["cc", "-shared", "-fPIC", f'-DHOLD="{hold}"', "-o", library, directory / "slow_disk.c"], check=True)
    return library


class Polled(Case):
    """A gateway and a worker by themselves."""

    settings = {"OPENAI_BASE_URL": None, "OPENAI_API_KEY": None, "OPENAI_API": None}

    def serve(self):
        gateway = self.d.serve("claude")
        self.answered = 0
        return gateway

    def trouble(self):
        return self.d.health()[1]["polling_trouble"]

    def chat(self, about):
        """One question and its answer, which stands in the chat exactly once."""
        self.answered += 1
        words = f"Answer {self.answered} about {about}."
        self.sandbox.script(answer=words, first_ms=0, token_ms=1)
        self.d.ask(f"Question about {about}?", words)
        self.assertEqual(self.sandbox.texts().count(words), 1)

    def break_polling(self, **fault):
        """From the next poll on; the one that waits already is ended by a message, which is answered all the same."""
        self.sandbox.fault(method="getUpdates", bot=NUMBER, **fault)
        self.chat("the weather before the storm")


class Polling(Polled):
    def test_recovers_from_what_comes_back_wrong(self):
        self.serve()
        for fault in ({"kind": "status", "status": 500}, {"kind": "status", "status": 502, "description": "Bad Gateway"},
                      {"kind": "close_before"}, {"kind": "close_after"}, {"kind": "malformed_json"},
                      {"kind": "bad_gateway_html"}, {"kind": "429", "retry_after": 1}):
            with self.subTest(**fault):
                before = self.d.metric("katana_telegram_errors_total")
                self.break_polling(count=1, **fault)
                self.chat(str(fault))
                eventually("the failed poll is counted",
                           lambda: self.d.metric("katana_telegram_errors_total") > before)
                eventually("no trouble is left", lambda: self.trouble() == "")
                self.assertEqual(self.d.health()[0], 200)
        said = self.sandbox.record(call="messages")
        self.assertEqual(len(said), self.answered, "no question was put to the provider twice")

    def test_429_is_waited_out(self):
        self.serve()
        self.break_polling(kind="429", retry_after=3, count=1)
        self.chat("patience")
        polls = self.sandbox.record(call="getUpdates")
        refused = next(i for i, p in enumerate(polls) if p["status"] == 429)
        waited = (polls[refused + 1]["at_ns"] - polls[refused]["answered_ns"]) / 1e9
        self.assertGreaterEqual(waited, 2.99)

    def test_a_refused_token_is_told_and_mended_at_once(self):
        gateway = self.serve()
        self.sandbox.script(answer="Here again.")
        self.sandbox.post("bot", token=USERS_TOKEN, revoked=True)
        self.sandbox.say("Is anybody there?")
        eventually("it is unhealthy and says why", lambda: self.d.health()[0] == 503 and "401" in self.trouble())
        self.assertEqual(http_get(f"http://{self.d.gateway_http}/live")[0], 200, "it stays up")
        self.assertIn("KATANA_TELEGRAM_TOKEN", self.trouble())
        self.sandbox.post("bot", token=USERS_TOKEN, revoked=False)
        gateway.signal(signal.SIGHUP)
        self.sandbox.wait_text("Here again.", limit=20)
        eventually("healthy again", lambda: self.d.health()[0] == 200, limit=20)
        polls = self.sandbox.record(path="getUpdates")
        self.assertEqual(sum(p["status"] == 401 for p in polls), 1, "a refused token isn't tried again and again")

    def test_a_webhook_in_the_way_is_removed(self):
        self.sandbox.telegram("setWebhook", url=f"http://127.0.0.1:{free_port()}/nowhere")
        self.sandbox.say("Through the webhook?")
        self.sandbox.script(answer="No, by polling.")
        self.serve()
        self.sandbox.wait_text("No, by polling.")
        self.assertEqual(len(self.sandbox.record(call="deleteWebhook")), 1)
        self.assertFalse(any(r["body"].get("drop_pending_updates") for r in self.sandbox.record(call="deleteWebhook")),
                         "what came meanwhile is kept")

    def test_a_name_that_nobody_knows_and_a_certificate_that_nobody_trusts_are_told(self):
        elsewhere = self.d.directory / "elsewhere"
        elsewhere.mkdir()
        untrusted = Sandbox(elsewhere, options=("--https", "127.0.0.1:0"))
        self.d.processes.append(untrusted)
        self.d.make_directories()
        for url, words in (("https://nobody.invalid", "resolve"), (untrusted.https_url, "certificate")):
            with self.subTest(words):
                gateway = self.d.start("katana-gateway", name="gateway-" + words, KATANA_TELEGRAM_API_URL=url)
                eventually("it lives and says its trouble", lambda: words in self.trouble())
                self.assertEqual(http_get(f"http://{self.d.gateway_http}/live")[0], 200)
                self.assertNotIn(USERS_TOKEN, gateway.log())
                self.assertEqual(gateway.stop(), 0)
        gateway = self.serve()
        self.chat("the way back")

    def test_telegram_may_come_later(self):
        later = f"127.0.0.1:{free_port()}"
        self.d.set(KATANA_TELEGRAM_API_URL=f"http://{later}", ANTHROPIC_BASE_URL=f"http://{later}/anthropic")
        self.d.make_directories()
        gateway = self.d.start("katana-gateway")
        self.d.start("katana-claude")
        eventually("it lives and says its trouble", lambda: "polling fails" in self.trouble())
        self.assertEqual(http_get(f"http://{self.d.gateway_http}/live")[0], 200)
        elsewhere = self.d.directory / "later"
        elsewhere.mkdir()
        self.sandbox = Sandbox(elsewhere, http=later)
        self.d.processes.insert(0, self.sandbox)
        self.sandbox.post("chat", chat=USER, type="private")
        self.d.sandbox = self.sandbox
        self.answered = 0
        self.chat("a late start")
        self.assertEqual(self.d.health()[0], 200)
        self.assertIn("Polling started", gateway.log())

    def test_the_menu_of_commands_is_set_though_telegram_fails_at_first(self):
        self.sandbox.fault(method="setMyCommands", kind="status", status=502, count=2)
        self.serve()
        eventually("it is set", lambda: [r["status"] for r in self.sandbox.record(call="setMyCommands")] == [502, 502, 200])

    def test_unknown_kinds_are_skipped_and_counted(self):
        self.sandbox.post("update", kind="poll", payload={"id": "1"})  # before anybody said which kinds are wanted
        self.serve()
        for kind, payload in (("message", {"chat": {}}),
                              ("message", {"message_id": 7}), ("callback_query", {})):
            self.sandbox.post("update", kind=kind, payload=payload)
        self.chat("what is known")
        self.assertEqual(self.d.metric("katana_updates_ignored_total"), 4)
        self.assertEqual(self.d.health()[0], 200)

    def message(self, number, text):
        return {"message_id": number, "date": int(time.time()), "text": text,
                "chat": {"id": USER, "type": "private", "first_name": "Ada"},
                "from": {"id": USER, "is_bot": False, "first_name": "Ada"}}

    def test_a_replayed_update_is_answered_once_and_a_lower_id_is_taken(self):
        self.serve()
        self.sandbox.script(answer="Once.", match="Say it once", count=-1)
        self.sandbox.post("update", kind="message", payload=self.message(9001, "Say it once"), update_id=5_000)
        self.sandbox.wait_text("Once.")
        self.sandbox.post("update", kind="message", payload=self.message(9001, "Say it once"), update_id=5_000)
        eventually("the replay is seen as one", lambda: self.d.metric("katana_updates_duplicate_total") == 1)
        gateway = next(p for p in self.d.processes if p.name == "katana-gateway")
        self.assertEqual(gateway.stop(), 0)
        self.d.start("katana-gateway")
        self.d.wait_ready(("claude",))
        self.sandbox.post("update", kind="message", payload=self.message(9001, "Say it once"), update_id=5_000)
        eventually("after a restart, too", lambda: self.d.metric("katana_updates_duplicate_total") == 1)
        self.sandbox.script(answer="Lower is fine.", match="Lower")
        self.sandbox.post("update", kind="message", payload=self.message(9002, "Lower?"), update_id=77)
        self.sandbox.wait_text("Lower is fine.")
        self.assertEqual(self.sandbox.texts().count("Once."), 1)
        self.assertEqual(len(self.sandbox.record(call="messages")), 2)

    @unittest.skipIf(sanitizer_environment(), "a library can't be put before a sanitizer's own")
    def test_nothing_is_seen_outside_before_the_commit(self):
        """While the disk doesn't answer nothing is confirmed or shown."""
        hold = self.d.directory / "hold"
        self.d.set(LD_PRELOAD=slow_disk(self.d.directory, hold))
        gateway = self.serve()
        self.chat("the time before")
        sent = len(self.sandbox.record(call="sendMessage"))
        self.sandbox.script(answer="After the commit.", first_ms=0)
        hold.touch()
        update = self.sandbox.say("Will you commit?")["update_id"]
        eventually("it is known that the store doesn't answer", lambda: self.d.health()[1]["store"] == "no answer")
        self.assertIn("Will you commit?", gateway.log())

        def confirmations():
            return [p for p in self.sandbox.record(call="getUpdates") if int(p["body"].get("offset", 0)) > update]

        self.assertEqual(confirmations(), [])
        self.assertEqual(len(self.sandbox.record(call="sendMessage")), sent)
        hold.unlink()
        self.sandbox.wait_text("After the commit.")
        eventually("it is confirmed", confirmations)
        self.assertEqual(len(self.sandbox.record(call="sendMessage")), sent + 1)
        self.assertEqual(len(self.sandbox.record(call="messages")), 2)

    def test_a_poll_that_never_returns_is_given_up(self):
        """By the poll's own limit: 65 s, above the 50 s that Telegram may let it wait."""
        self.serve()
        self.break_polling(kind="hang", count=1)
        self.sandbox.script(answer="Awake again.")
        self.sandbox.say("Still asleep?")
        self.sandbox.wait_text("Awake again.", limit=LIMIT + 120)


class TwoPollers(Case):
    def test_another_poller_is_told_to_the_operator(self):
        self.d.up()
        stop = threading.Event()

        def poll():
            while not stop.is_set():
                self.sandbox.telegram("getUpdates", timeout=50)

        rival = threading.Thread(target=poll, daemon=True)
        rival.start()
        try:
            eventually("it is unhealthy and says why", lambda: "409" in self.d.health()[1]["polling_trouble"])
            alert = self.sandbox.wait_text("409", chat=OPS_CHAT, bot=ALERT_TOKEN)
            self.assertIn("another program", alert)
            eventually("told by mail too", lambda: any("409" in m["data"] for m in self.sandbox.mails()))
        finally:
            stop.set()
        self.sandbox.say("Wake the other one up")
        rival.join()
        self.sandbox.script(answer="Alone again.", count=-1)
        self.sandbox.say("Are you alone?")
        self.sandbox.wait_text("Alone again.")
        eventually("the recovery is told", lambda: [t for t in self.sandbox.texts(OPS_CHAT, ALERT_TOKEN) if "resolved" in t.lower() or "✅" in t])


if __name__ == "__main__":
    main()
