"""Alerts by e-mail: through a real Postfix with TLS and a password, and past mail servers that misbehave."""

import http.server
import json
import stat
import threading

from harness import ALERT_TOKEN, OPS_CHAT, Case, eventually, main
from postfix import DOMAIN, PASSWORD, USER, Postfix
from watching import in_chat, in_mail, kill, replaced, told, wait_up


class ThroughPostfix(Case):
    def setUp(self):
        super().setUp()
        self.postfix = Postfix()
        self.addCleanup(self.postfix.close)
        self.d.set(**self.postfix.settings())

    def wait_mails(self, count):
        try:
            return eventually(f"{count} mails", lambda: len(mails := self.postfix.mails()) >= count and mails)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.postfix.log()}") from None

    def wait_outage(self):
        """The two mails of an outage. Postfix may deliver what it took within milliseconds in either order."""
        return sorted(self.wait_mails(2), key=lambda mail: "RESOLVED" in mail["Subject"])

    def test_alert_test_delivers_with_and_without_a_watchdog(self):
        status, out, err = self.d.command("alert-test")
        self.assertEqual(status, 0, out + err)
        self.assertIn("email: sent: 250", out)
        self.d.up()
        wait_up(self.d)
        status, out, err = self.d.command("alert-test")
        self.assertEqual(status, 0, out + err)
        self.assertRegex(out, r"telegram: sent: message \d+")
        self.assertRegex(out, r"email: sent: 250 2\.0\.0 Ok: queued as \w+")
        for mail in self.wait_mails(2):
            self.assertIn("TEST alert from katana alert-test", mail["Subject"])
            self.assertEqual(mail["To"], f"operator@{DOMAIN}")
            self.assertIn("with ESMTPSA", mail["Received"], "over TLS, and with the password")
        self.assertIn(f"sasl_username={USER}@{DOMAIN}", self.postfix.log())
        self.assertEqual(sum("TEST" in t for t in in_chat(self.d)), 2)

    def test_an_outage_is_one_thread_of_two_mails(self):
        katana = self.d.up()
        pids = wait_up(self.d)
        kill(pids["claude-1"])
        opened, resolved = self.wait_outage()
        self.assertRegex(opened["Subject"], r"^\[katana\] CRITICAL claude-1 is down")
        self.assertRegex(resolved["Subject"], r"^\[katana\] RESOLVED claude-1 is down.*, lasted \d+(\.\d)? (ms|s)$")
        self.assertTrue(opened["Message-ID"])
        self.assertNotEqual(resolved["Message-ID"], opened["Message-ID"])
        self.assertEqual(resolved["In-Reply-To"], opened["Message-ID"])
        self.assertIn(opened["Message-ID"], resolved["References"])
        for mail in (opened, resolved):
            self.assertEqual(mail.get_content_type(), "multipart/alternative")
            self.assertEqual([p.get_content_type() for p in mail.iter_parts()], ["text/plain", "text/html"])
            self.assertEqual(mail.defects, [])
            self.assertTrue(mail["Date"].datetime)
            plain, html = (p.get_content() for p in mail.iter_parts())
            for part in (plain, html):
                self.assertIn("claude-1 is down", part)
        self.assertIn("Lasted: ", resolved.get_body(("plain",)).get_content())
        self.assertNotIn(PASSWORD, katana.log())

    def test_what_a_refused_password_kept_back_is_sent_when_it_is_mended(self):
        self.postfix.password_file.write_text("not the password\n")
        katana = self.d.up()
        pids = wait_up(self.d)
        kill(pids["claude-1"])
        eventually("the failing channel is told of in the other one", lambda: any(
            "alerts by email fail: auth" in t for t in in_chat(self.d)))
        channel = eventually("its state", lambda: next(
            (c for c in self.d.status()["channels"] if c["name"] == "email" and c["failing"] and c["waiting"] == 2), None))
        self.assertIn("535", channel["last_error"])
        self.assertNotIn("not the password", katana.log() + json.dumps(self.d.status()))
        self.assertEqual(katana.stop(), 0)
        self.assertEqual(self.postfix.mails(), [])

        self.postfix.password_file.write_text(PASSWORD + "\n")
        self.d.up()
        opened, resolved = self.wait_outage()
        self.assertIn("CRITICAL claude-1 is down", opened["Subject"])
        self.assertIn("RESOLVED claude-1 is down", resolved["Subject"])
        eventually("its recovery is told", lambda: any("RESOLVED alerts by email fail" in t for t in in_chat(self.d)))
        self.assertEqual(len(self.postfix.mails()), 2, "the channel's own trouble isn't told through it")

    def test_a_certificate_of_somebody_else_is_not_trusted(self):
        self.d.set(SMTP_CA_FILE=self.sandbox.ca_file)
        status, out, _ = self.d.command("alert-test")
        self.assertEqual(status, 1)
        self.assertRegex(out, "email: failed: .*certificate")
        self.assertEqual(self.postfix.mails(), [])

    def test_a_password_file_that_others_can_read_is_refused(self):
        self.postfix.password_file.chmod(0o644)
        process = self.d.start("katana", "up")
        self.assertEqual(process.wait(), 2)
        self.assertIn("SMTP_PASSWORD", process.log())
        self.assertIn("chmod 600", process.log())
        self.assertNotIn(PASSWORD, process.log())


class PastTheSandbox(Case):
    def with_password(self, **settings):
        self.sandbox.post("smtp", user="katana", password="tests-mail-password")
        self.d.set(SMTP_USER="katana", SMTP_PASSWORD="tests-mail-password", **settings)

    def test_without_starttls_nothing_is_sent_in_the_clear(self):
        self.with_password()
        self.sandbox.post("smtp", strip_starttls=True)
        katana = self.d.up()
        pids = wait_up(self.d)
        kill(pids["claude-1"])
        eventually("it is told in the other channel", lambda: any(
            "alerts by email fail" in t and "STARTTLS" in t for t in in_chat(self.d)))
        self.assertEqual(self.sandbox.mails(), [])
        self.assertNotIn("tests-mail-password", katana.log() + "".join(in_chat(self.d)))
        self.sandbox.post("smtp", strip_starttls=False)
        told(self.d, "RESOLVED", "claude-1 is down")
        self.assertTrue(all(m["tls"] and m["auth_user"] == "katana" for m in self.sandbox.mails()))
        eventually("its recovery is told", lambda: any("RESOLVED alerts by email fail" in t for t in in_chat(self.d)))

    def test_tls_from_the_first_byte(self):
        self.with_password(SMTP_URL="smtps://" + self.sandbox.smtps)
        self.d.up()
        pids = wait_up(self.d)
        kill(pids["claude-1"])
        told(self.d, "RESOLVED", "claude-1 is down")
        self.assertTrue(all(m["tls"] and m["auth_user"] == "katana" for m in self.sandbox.mails()))

    def test_a_mail_server_that_is_busy_gets_it_later_and_once(self):
        self.sandbox.post("smtp", stage="data", code=451, text="4.7.1 greylisted", count=1)
        self.d.up()
        pids = wait_up(self.d)
        kill(pids["claude-1"])
        told(self.d, "RESOLVED", "claude-1 is down")
        self.assertEqual([s.split()[1] for s in in_mail(self.d)], ["CRITICAL", "RESOLVED"])
        self.assertEqual([t for t in in_chat(self.d) if "alerts by email" in t], [], "one failure is no news")

    def test_a_telegram_that_refuses_the_alert_bot_is_told_by_mail(self):
        self.sandbox.fault(method="sendMessage", chat=OPS_CHAT, count=2, kind="status", status=401, description="Unauthorized")
        self.d.up()
        pids = wait_up(self.d)
        kill(pids["claude-1"])
        eventually("it is told in the other channel", lambda: any("alerts by telegram fail: auth" in s for s in in_mail(self.d)))
        told(self.d, "RESOLVED", "claude-1 is down")
        eventually("its recovery is told", lambda: any("RESOLVED alerts by telegram fail" in s for s in in_mail(self.d)))

    def test_a_wrong_token_of_the_alert_bot_is_told_before_anything_breaks(self):
        self.d.set(TELEGRAM_ALERT_BOT_TOKEN=ALERT_TOKEN.split(":")[0] + ":" + "x" * 35)
        katana = self.d.up()
        eventually("it is told by mail", lambda: any(
            "the alert bot can't be asked (telegram): auth: getMe: 401" in s for s in in_mail(self.d)))
        self.assertNotIn("x" * 35, katana.log() + str(self.sandbox.mails()))
        pids = wait_up(self.d)
        kill(pids["claude-1"])
        eventually("so is what breaks then", lambda: any("RESOLVED claude-1 is down" in s for s in in_mail(self.d)))
        self.assertEqual([s for s in in_mail(self.d) if "alerts by telegram fail" in s], [], "once is enough")

    def test_a_mail_server_that_hangs_holds_up_nothing(self):
        self.sandbox.post("smtp", stage="ehlo", hang=True, count=-1)
        self.d.up()
        pids = wait_up(self.d)
        for name in ("claude-1", "openai-1"):
            kill(pids[name])
            replaced(self.d, name, pids[name])
            eventually("it is told in the other channel", lambda: any(
                "RESOLVED" in t and name in t for t in in_chat(self.d)))
        self.assertEqual(in_mail(self.d), [])
        self.sandbox.post("smtp", clear=True)
        eventually("the mails come when the server is back", lambda: sum("RESOLVED" in s for s in in_mail(self.d)) == 2, limit=120)

    def test_a_flood_wait_is_kept(self):
        self.sandbox.fault(method="sendMessage", chat=OPS_CHAT, count=1, kind="429", retry_after=2)
        self.d.up()
        pids = wait_up(self.d)
        kill(pids["claude-1"])
        told(self.d, "RESOLVED", "claude-1 is down")
        sent = self.sandbox.record(call="sendMessage", chat=OPS_CHAT)
        self.assertEqual(sent[0]["status"], 429)
        self.assertGreaterEqual(sent[1]["at_ns"] - sent[0]["answered_ns"], 1.9e9)
        self.assertEqual(len(sent), 3)


class Receiver(http.server.ThreadingHTTPServer):
    """Takes events as PagerDuty does: 202, or whatever it is told to say first."""

    def __init__(self, *first):
        self.statuses, self.events = list(first), []
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status = receiver.statuses.pop(0) if receiver.statuses else 202
                if status == 202:
                    receiver.events.append(body)
                self.send_response(status)
                self.end_headers()

            def log_message(self, *_):
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def close(self):
        self.shutdown()
        self.server_close()


class Webhook(Case):
    def test_an_incidents_life_in_the_shape_of_pagerdutys_events(self):
        receiver = Receiver(503)
        self.addCleanup(receiver.close)
        key = self.d.directory / "key"  # with others' access, the worker won't start: an incident that stays
        key.write_text("tests-anthropic-key")
        key.chmod(0o600)
        self.d.set(ALERT_WEBHOOK_URL=f"http://127.0.0.1:{receiver.server_address[1]}/events", ALERT_WEBHOOK_KEY="tests-routing-key",
                   ANTHROPIC_API_KEY=None, ANTHROPIC_API_KEY_FILE=key)
        katana = self.d.up()
        pids = wait_up(self.d)
        key.chmod(0o644)
        kill(pids["claude-1"])

        def event(action, words):
            return eventually(f"{action} of {words}", lambda: next(
                (e for e in receiver.events if e["event_action"] == action and words in e["payload"]["summary"]), None))
        opened = event("trigger", "claude-1 does not start")
        self.assertEqual(opened["routing_key"], "tests-routing-key")
        self.assertEqual(opened["payload"]["severity"], "critical")
        self.assertTrue(opened["payload"]["source"].endswith("/claude-1"))
        self.assertIn("/runbook#setting", opened["links"][0]["href"])
        self.assertEqual(self.d.command("ack", opened["dedup_key"])[0], 0)
        self.assertEqual(event("acknowledge", "claude-1 does not start")["dedup_key"], opened["dedup_key"])
        key.chmod(0o600)
        self.assertEqual(self.d.command("restart", "claude-1")[0], 0)
        self.assertEqual(event("resolve", "claude-1 does not start")["dedup_key"], opened["dedup_key"])
        self.assertIn("webhook: sent", self.d.command("alert-test")[1])
        self.assertEqual(event("resolve", "alert-test")["dedup_key"], event("trigger", "alert-test")["dedup_key"],
                         "a test leaves nothing open")
        self.assertNotIn("tests-routing-key", katana.log() + "".join(in_chat(self.d)))
        self.assertNotIn("ACKNOWLEDGED", "".join(in_chat(self.d)), "people see that where they did it")


class Command(Case):
    def test_a_command_gets_each_notice_on_its_standard_input(self):
        script = self.d.directory / "alert.sh"
        script.write_text(f"#!/bin/sh\ncat >> {self.d.directory}/notices.jsonl\n")
        script.chmod(stat.S_IRWXU)
        self.d.set(ALERT_COMMAND=script, SMTP_URL=None, SMTP_CA_FILE=None, ALERT_EMAIL_FROM=None, ALERT_EMAIL_TO=None)
        self.d.up()
        pids = wait_up(self.d)
        kill(pids["openai-1"])
        replaced(self.d, "openai-1", pids["openai-1"])
        notices = self.d.directory / "notices.jsonl"
        lines = eventually("two notices", lambda: (t := notices.read_text()).count("\n") == 2 and t.splitlines())
        kinds = [json.loads(line)["kind"] for line in lines]
        self.assertEqual(kinds, ["opened", "resolved"])


if __name__ == "__main__":
    main()
