"""A machine with the Debian package, configured, and a sandbox in its network: what the tests of units and of supervisord share."""

import contextlib
import json
import pathlib
import shutil
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "functional"))

from asking import Asking  # noqa: E402
from harness import ALERT_TOKEN, OPS_CHAT, USER, USERS_TOKEN, Sandbox, eventually, http_get  # noqa: E402
from machine import Machine  # noqa: E402
from pack import libraries, package  # noqa: E402

# What a small server has anyway, and what the tests look with.
BASE = {"systemd", "systemd-sysv", "dbus", "iproute2", "procps", "ca-certificates", "logrotate", "man-db", "zsh", "cron", "supervisor"}
SECRETS = {"KATANA_TELEGRAM_TOKEN": USERS_TOKEN, "ANTHROPIC_API_KEY": "canary-anthropic-key-8d1f", "OPENAI_API_KEY": "canary-openai-key-77ac",
           "TELEGRAM_ALERT_BOT_TOKEN": ALERT_TOKEN, "KATANA_WATCHDOG_TOKEN": "canary-page-token-51be"}
USERS = range(USER, USER + 8)


class Installed(Asking, unittest.TestCase):
    """A machine with the package, and a sandbox in its network."""

    users = USERS

    @classmethod
    def setUpClass(cls):
        cls.deb = package("0.1.0")
        cls.m = Machine(BASE | libraries())
        cls.addClassCleanup(cls.m.close)
        cls.m.join_network()
        cls.sandbox = Sandbox(cls.m.directory)
        cls.addClassCleanup(cls.sandbox.stop)
        for user in USERS:
            cls.sandbox.post("chat", chat=user, type="private")
        cls.sandbox.post("chat", chat=OPS_CHAT, type="private", bot=ALERT_TOKEN)
        cls.install(cls.deb)
        cls.configure()

    @classmethod
    def install(cls, deb):
        inside = "/srv/" + deb.name
        shutil.copy(deb, cls.m.file(inside))
        return cls.m.run("apt-get", "install", "-y", "--allow-downgrades", inside)

    @classmethod
    def configure(cls, **more):
        url = cls.sandbox.url
        cls.settings = {"KATANA_TELEGRAM_API_URL": url, "ANTHROPIC_BASE_URL": url + "/anthropic", "OPENAI_BASE_URL": url + "/openai/v1",
                        "OPENAI_API": "responses", "KATANA_ALLOWED_USERS": ",".join(map(str, USERS)), "KATANA_TELEGRAM_LIMITS": "off",
                        "TELEGRAM_ALERT_CHAT_ID": OPS_CHAT, "KATANA_EXPECT": "gateway,claude:1,openai:1", **more}
        cls.write_settings()
        for name, value in SECRETS.items():
            file = cls.m.file(f"/etc/credstore/katana.{name}")
            file.write_text(value + "\n")
            file.chmod(0o600)

    @classmethod
    def write_settings(cls):
        cls.m.file("/etc/katana/local.env").write_text("".join(f"{k}={v}\n" for k, v in cls.settings.items()))

    @contextlib.contextmanager
    def other_settings(self, **settings):
        """For a while; who restarts what is the caller's."""
        before = dict(self.settings)
        self.settings.update(settings)
        self.write_settings()
        try:
            yield
        finally:
            type(self).settings = before
            self.write_settings()

    def start(self):
        self.m.run("systemctl", "enable", "--now", "katana.target")
        self.wait_up()

    def restart(self):
        self.m.run("systemctl", "restart", "katana.target")
        self.wait_up()

    def stop(self):
        self.m.run("systemctl", "stop", "katana.target")

    def wait_up(self, workers=("claude", "openai")):
        def ready():
            health = json.loads(http_get("http://127.0.0.1:9710/health")[1])
            return health.get("seconds_since_last_poll") is not None and all(health["workers"][w] > 0 for w in workers)
        eventually("it polls and has its workers", ready)

    def show(self, unit, name):
        return self.m.run("systemctl", "show", "--value", f"--property={name}", unit).stdout.strip()

    def journal(self, *more):
        return self.m.run("journalctl", "--no-pager", "--output=short-unix", *more).stdout

    def tearDown(self):
        outcome = self._outcome.result
        if any(self is test for test, _ in outcome.failures + outcome.errors):
            print("---- journal ----\n" + self.journal("-n", "80"))
