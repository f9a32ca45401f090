#!/usr/bin/env python3
"""Python's smtplib, a mail client that nobody here wrote, against the sandbox."""
import json
import os
import smtplib
import ssl
import subprocess
import tempfile
import time
import unittest
import urllib.request
from email.message import EmailMessage


class Mail(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.place = tempfile.TemporaryDirectory()
        ready_file = os.path.join(cls.place.name, "ready.json")
        cls.process = subprocess.Popen(
            [os.environ["KATANA_SANDBOX"], "--with-parent", "--ready-file", ready_file, "--tls-dir", cls.place.name, "--smtps", "127.0.0.1:0"],
            stdout=subprocess.DEVNULL)
        limit = time.monotonic() + 20
        while not os.path.exists(ready_file):
            if time.monotonic() > limit or cls.process.poll() is not None:
                raise RuntimeError("the sandbox did not get ready")
            time.sleep(0.01)
        with open(ready_file) as text:
            cls.ready = json.load(text)
        cls.trust = ssl.create_default_context(cafile=os.path.join(cls.place.name, "ca.pem"))

    @classmethod
    def tearDownClass(cls):
        cls.process.terminate()
        assert cls.process.wait(10) == 0
        cls.place.cleanup()

    def setUp(self):
        self.control("reset", {})
        self.letter = EmailMessage()
        self.letter["From"] = "katana@example.org"
        self.letter["To"] = "ops@example.org"
        self.letter["Subject"] = "gateway is down – since 12:00"
        self.letter.set_content("A line.\n.a line that begins with a dot\n.\nThe end.\n")

    def control(self, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(f"{self.ready['url']}/control/{path}", data, timeout=10) as reply:
            return json.load(reply)

    def check(self, tls, user):
        (mail,) = self.control("mail")["mails"]
        self.assertEqual(mail["from"], "katana@example.org")
        self.assertEqual(mail["to"], ["ops@example.org"])
        self.assertEqual(mail["tls"], tls)
        self.assertEqual(mail["auth_user"], user)
        self.assertEqual(mail["headers"]["to"], "ops@example.org")
        self.assertIn("A line.\r\n.a line that begins with a dot\r\n.\r\nThe end.\r\n", mail["body"])

    def test_plain(self):
        with smtplib.SMTP("127.0.0.1", self.ready["smtp"], timeout=10) as client:
            client.send_message(self.letter)
        self.check(False, "")

    def test_starttls_and_both_logins(self):
        for mechanism in ("PLAIN", "LOGIN"):
            self.setUp()
            self.control("smtp", {"user": "katana", "password": "sesame", "require_tls": True})
            with smtplib.SMTP("127.0.0.1", self.ready["smtp"], timeout=10) as client:
                client.starttls(context=self.trust)
                client.ehlo()
                client.user, client.password = "katana", "sesame"
                client.auth(mechanism, getattr(client, "auth_" + mechanism.lower()))
                client.send_message(self.letter)
            self.check(True, "katana")

    def test_implicit_tls(self):
        with smtplib.SMTP_SSL("localhost", self.ready["smtps"], timeout=10, context=self.trust) as client:
            client.login("anybody", "anything")
            client.send_message(self.letter)
        self.check(True, "anybody")

    def test_bad_password(self):
        self.control("smtp", {"user": "katana", "password": "sesame"})
        with smtplib.SMTP("127.0.0.1", self.ready["smtp"], timeout=10) as client:
            client.ehlo()
            with self.assertRaises(smtplib.SMTPAuthenticationError):
                client.login("katana", "wrong")
            with self.assertRaises(smtplib.SMTPSenderRefused) as refused:
                client.send_message(self.letter)
            self.assertEqual(refused.exception.smtp_code, 530)

    def test_faults(self):
        for stage, kind in (("mail", smtplib.SMTPSenderRefused), ("rcpt", smtplib.SMTPRecipientsRefused),
                            ("data", smtplib.SMTPDataError), ("message", smtplib.SMTPDataError)):
            self.control("smtp", {"stage": stage, "code": 451})
            with smtplib.SMTP("127.0.0.1", self.ready["smtp"], timeout=10) as client:
                with self.assertRaises(kind):
                    client.send_message(self.letter)
        self.control("smtp", {"stage": "mail", "close": True})
        with smtplib.SMTP("127.0.0.1", self.ready["smtp"], timeout=10) as client:
            with self.assertRaises((smtplib.SMTPServerDisconnected, ConnectionResetError)):
                client.send_message(self.letter)
        self.assertEqual(self.control("mail")["mails"], [])

    def test_starttls_stripped(self):
        self.control("smtp", {"strip_starttls": True})
        with smtplib.SMTP("127.0.0.1", self.ready["smtp"], timeout=10) as client:
            with self.assertRaises(smtplib.SMTPNotSupportedError):
                client.starttls()


if __name__ == "__main__":
    unittest.main()
