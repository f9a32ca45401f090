"""Judgements from outside, and who watches the watchdog: what ops and the bot's admins are told, and what they aren't."""

import json
import os
import shutil
import signal
import socket
import subprocess
import unittest

from harness import BIN, LIMIT, USER, Case, Process, Sandbox, eventually, free_port, main
from watching import in_chat, processes_of, told

AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"  # whom libcurl trusts
GONE, BACK = "Nobody watches this bot any more", "This bot is watched again"


def own_mounts():
    """Whether a process here may put another file in the place of AUTHORITIES, for itself alone."""
    probe = ["unshare", "-m", "mount", "--bind", "/dev/null", AUTHORITIES]
    return shutil.which("unshare") and subprocess.run(probe, capture_output=True).returncode == 0


class Watched(Case):
    settings = {"KATANA_ADMINS": USER}

    def present(self):
        return self.d.metric("katana_watchdog_present") == 1

    def count(self, words, chat=USER):
        return sum(words in text for text in self.sandbox.texts(chat))

    def watchdog(self, name, **settings):
        process = self.d.start("katana-watchdog", name=name, **settings)
        eventually("the gateway sees a watchdog", self.present)
        return process

    def later(self, seconds):
        """Waits until the gateway's own clock says that so much has passed."""
        def uptime():
            return float(self.d.health()[1]["uptime_seconds"])
        start = uptime()
        eventually(f"{seconds} s later", lambda: uptime() > start + seconds)

    def test_a_watchdog_that_dies_alone_is_told_once_and_its_successor_once(self):
        self.d.serve("claude")
        first = self.watchdog("watchdog-1")
        self.assertEqual(self.d.health()[1]["workers"], {"claude": 1, "openai": 0}, "it is no worker")
        first.signal(signal.SIGKILL)
        first.wait()
        self.sandbox.wait_text(GONE)
        self.assertFalse(self.present())
        self.watchdog("watchdog-2")
        self.sandbox.wait_text(BACK)
        self.d.ask("still there?", "You wrote: still there?")
        self.assertEqual((self.count(GONE), self.count(BACK)), (1, 1))

    def test_a_gateway_that_restarts_meanwhile_tells_the_end(self):
        gateway = self.d.serve("claude")
        watchdog = self.watchdog("watchdog-1")
        watchdog.signal(signal.SIGKILL)
        watchdog.wait()
        self.sandbox.wait_text(GONE)
        gateway.signal(signal.SIGKILL)
        gateway.wait()
        self.d.start("katana-gateway", name="gateway-2")
        self.d.wait_ready(("claude",))
        self.watchdog("watchdog-2")
        self.sandbox.wait_text(BACK)
        self.assertEqual((self.count(GONE), self.count(BACK)), (1, 1))
        self.assertFalse((self.d.directory / "state" / "unwatched").exists())

    def test_a_watchdog_that_died_with_its_gateway_and_stays_away_is_told(self):
        gateway = self.d.serve("claude")
        watchdog = self.watchdog("watchdog")
        for process in (watchdog, gateway):
            process.signal(signal.SIGKILL)
            process.wait()
        self.d.start("katana-gateway", name="gateway-2")
        self.sandbox.wait_text(GONE, limit=60 + LIMIT)  # the gateway waits for a minute

    def test_a_frozen_watchdog_is_told_and_comes_back(self):
        self.d.serve("claude")
        watchdog = self.watchdog("watchdog")
        watchdog.signal(signal.SIGSTOP)
        try:
            self.sandbox.wait_text(GONE)
        finally:
            watchdog.signal(signal.SIGCONT)
        self.sandbox.wait_text(BACK)

    def test_a_watchdog_that_its_parent_replaces_is_worth_no_word(self):
        self.d.up_without_openai()
        eventually("the gateway sees a watchdog", self.present)
        pid = next(p for p, program in processes_of(self.d).items() if program == "katana-watchdog")
        os.kill(pid, signal.SIGKILL)
        eventually("its successor says hello", lambda: self.d.katana.log().count("A watchdog is here") == 2)
        self.later(5)
        self.assertTrue(self.present())
        self.assertEqual((self.count(GONE), self.count(BACK)), (0, 0))

    def test_a_goodbye_is_no_news_at_once(self):
        self.d.serve("claude")
        watchdog = self.watchdog("watchdog-1")
        self.assertEqual(watchdog.stop(), 0)
        eventually("the gateway knows", lambda: not self.present())
        self.later(5)
        self.watchdog("watchdog-2")
        self.later(1)
        self.assertEqual((self.count(GONE), self.count(BACK)), (0, 0))

    def test_a_worker_that_somebody_else_restarts_in_good_order_pages_nobody(self):
        self.d.make_directories()
        self.d.start("katana-gateway")
        worker = self.d.start("katana-claude", name="claude-0")
        self.d.wait_ready(("claude",))
        self.d.set(KATANA_EXPECT="gateway,claude:1")
        self.watchdog("watchdog")
        for n in range(1, 6):
            before = eventually("it is up", lambda: self.d.pid_of("claude"))
            worker.signal(signal.SIGTERM)
            worker.wait()
            worker = self.d.start("katana-claude", name=f"claude-{n}")
            eventually("its successor is up", lambda: self.d.pid_of("claude") not in (None, before))
        worker.signal(signal.SIGKILL)
        worker.wait()
        told(self.d, "CRITICAL", "claude is down")
        self.assertEqual(len(in_chat(self.d)), 1, in_chat(self.d))

    def test_over_tcp_each_party_shows_a_key_of_its_own(self):
        self.assertEqual(self.d.command("keygen", "keys")[0], 0)
        keys = self.d.directory / "keys"
        for party, files in (("gateway", ("server.public", "server.secret")),
                             ("worker", ("worker.public", "worker.secret", "server.public")),
                             ("watchdog", ("watchdog.public", "watchdog.secret", "server.public"))):
            folder = self.d.directory / f"keys-{party}"
            folder.mkdir(mode=0o700)
            for file in files:
                shutil.copy2(keys / file, folder / file)
        shutil.copytree(keys / "authorized", self.d.directory / "keys-gateway" / "authorized")
        self.d.set(KATANA_BUS=f"tcp://127.0.0.1:{free_port()}")
        self.d.make_directories()
        self.d.start("katana-gateway", KATANA_KEYS=self.d.directory / "keys-gateway")
        self.d.start("katana-claude", KATANA_KEYS=self.d.directory / "keys-worker")
        self.d.wait_ready(("claude",))
        watchdog = self.watchdog("watchdog", KATANA_KEYS=self.d.directory / "keys-watchdog")
        watchdog.signal(signal.SIGKILL)
        watchdog.wait()
        self.sandbox.wait_text(GONE)


class Supervised(Case):
    def test_the_watchdog_feeds_systemds_watchdog(self):
        self.d.make_directories()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
            path = str(self.d.directory / "notify")
            notified.bind(path)
            notified.settimeout(LIMIT)
            watchdog = self.d.start("katana-watchdog", NOTIFY_SOCKET=path, WATCHDOG_USEC=3_000_000)
            said = [notified.recv(4096).decode() for _ in range(3)]
            self.assertEqual(said.count("WATCHDOG=1"), 2, said)
            self.assertIn("READY=1", said)
            self.assertEqual(watchdog.stop(), 0)
            while said[-1] != "STOPPING=1":
                said.append(notified.recv(4096).decode())


class Symptoms(Case):
    def test_the_gateway_asks_how_much_waits_at_telegram(self):
        self.d.serve("claude")
        eventually("it asks, once a minute", lambda: self.sandbox.record(call="getWebhookInfo"), LIMIT + 70)

    def test_a_provider_that_fails_most_requests_is_told(self):
        self.d.set(KATANA_FALLBACK="off")
        self.d.serve("claude")
        self.d.start("katana-watchdog")
        eventually("the watchdog hears the worker", lambda: self.d.pid_of("claude"))
        self.sandbox.script(error={"status": 529, "type": "overloaded_error"}, count=-1)

        def fail():
            """Questions until ten requests have failed: each fails for good after its retries."""
            self.sandbox.say("a question that fails")
            incidents = self.d.status()["incidents"]
            return any("requests to the provider failed" in json.dumps(i) for i in incidents)
        eventually("the incident", fail)

    def test_a_mail_servers_certificate_that_expires_soon_is_told(self):
        elsewhere = self.d.directory / "elsewhere"
        elsewhere.mkdir()
        sandbox = Sandbox(elsewhere, options=("--certificate-days", "10"))
        self.d.processes.append(sandbox)
        self.d.set(SMTP_URL=f"smtps://{sandbox.smtps}", SMTP_CA_FILE=sandbox.ca_file)
        self.d.up()
        self.assertIn("email: sent", self.d.command("alert-test")[1])
        words = f"the certificate of smtps://{sandbox.smtps} expires in 9 days"
        eventually("it is told", lambda: any(words in text for text in in_chat(self.d)))

    @unittest.skipUnless(own_mounts(), "needs a mount namespace of its own")
    def test_a_certificate_that_expires_soon_is_told(self):
        elsewhere = self.d.directory / "elsewhere"
        elsewhere.mkdir()
        sandbox = Sandbox(elsewhere, options=("--https", "127.0.0.1:0", "--certificate-days", "10"))
        self.d.processes.append(sandbox)
        self.d.make_directories()
        gateway = Process("gateway", ["unshare", "-m", "sh", "-c", 'mount --bind "$1" "$2" && exec "$3"', "sh",
                                      sandbox.ca_file, AUTHORITIES, BIN / "katana-gateway"],
                          dict(self.d.env, KATANA_TELEGRAM_API_URL=sandbox.https_url), self.d.directory)
        self.d.processes.append(gateway)
        self.d.start("katana-claude")
        self.d.wait_ready(("claude",))
        self.d.start("katana-watchdog")
        told(self.d, f"the certificate of {sandbox.https_url} expires in 9 days")


if __name__ == "__main__":
    main()
