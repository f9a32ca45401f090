"""What the functional tests stand on: the real programs, started in a directory of their own, against katana-sandbox.

Nothing here waits for a fixed time: `eventually` asks until it is so, within a generous limit, and says what it saw last.
Every process that is started is ended by its id, also when a test fails.
"""

import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request

BIN = pathlib.Path(os.environ.get("KATANA_BIN", "build/bin")).resolve()
# seconds that anything may take before it counts as not happening
LIMIT = float(os.environ.get("KATANA_TESTS_LIMIT", "60"))
USERS_TOKEN = "100000001:TESTS-users-bot-token-0000000000000"
ALERT_TOKEN = "100000002:TESTS-alert-bot-token-0000000000000"
OPS_CHAT = 2000
USER = 1000  # an admitted user's id, and so the id of the private chat with them


def eventually(what, condition, limit=LIMIT):
    """Asks `condition` until it gives something true, and returns that."""
    end = time.monotonic() + limit
    seen = None
    while time.monotonic() < end:
        try:
            seen = condition()
            if seen:
                return seen
        except (OSError, ValueError, KeyError) as error:
            seen = error
        time.sleep(0.02)
    raise AssertionError(f"not within {limit:.0f} s: {what}; last seen: {seen!r}")


def free_port():
    """A port below the range that the kernel gives to others: between this look and its use nobody is handed it."""
    while True:
        port = random.randrange(20000, 32000)
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass  # in use


def http_get(url, timeout=LIMIT):
    """(status, text), whatever the status."""
    try:
        with urllib.request.urlopen(url, timeout=timeout) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


class Process:
    """A program of ours with its output in a file."""

    def __init__(self, name, argv, env, directory):
        self.name = name
        self.log_path = directory / f"{name}.log"
        self.log_file = open(self.log_path, "ab")
        self.popen = subprocess.Popen(
            [str(a) for a in argv], env=env, cwd=directory, stdin=subprocess.DEVNULL,
            stdout=self.log_file, stderr=subprocess.STDOUT, start_new_session=True)

    @property
    def pid(self):
        return self.popen.pid

    def log(self):
        return self.log_path.read_text(errors="replace")

    def peak(self):
        """The most memory that it ever held, in MB."""
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) // 1024

    def signal(self, number):
        if self.popen.poll() is None:
            self.popen.send_signal(number)

    def wait(self, limit=LIMIT):
        return self.popen.wait(limit)

    def stop(self):
        """Ends it in good order, or else for sure; the exit status."""
        self.signal(signal.SIGTERM)
        try:
            return self.popen.wait(LIMIT)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
            raise AssertionError(f"{self.name} did not stop; its log ends:\n" + self.log()[-3000:])
        finally:
            self.log_file.close()


class Sandbox(Process):
    """katana-sandbox and its control API."""

    def __init__(self, directory, options=(), http="127.0.0.1:0"):
        ready = directory / "sandbox.json"
        tls = directory / "tls"
        tls.mkdir()
        super().__init__(
            "sandbox",
            [BIN / "katana-sandbox", "--http", http, "--smtp", "127.0.0.1:0", "--smtps", "127.0.0.1:0",
             "--ready-file", ready, "--tls-dir", tls, "--with-parent", "--token", USERS_TOKEN, "--token", ALERT_TOKEN, *options],
            {"PATH": os.environ["PATH"], **sanitizer_environment()}, directory)
        ports = json.loads(eventually("the sandbox is ready", lambda: ready.exists() and ready.read_text()))
        self.smtp = f"127.0.0.1:{ports['smtp']}"
        self.smtps = f"127.0.0.1:{ports['smtps']}"
        self.url = ports["url"]
        self.https_url = f"https://127.0.0.1:{ports['https']}"  # with --https
        self.ca_file = tls / "ca.pem"

    def post(self, path, **body):
        request = urllib.request.Request(self.url + "/control/" + path, json.dumps(body).encode(),
                                         {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=LIMIT) as answer:
            return json.loads(answer.read())

    def get(self, what, **query):
        with urllib.request.urlopen(self.url + "/control/" + what + "?" + urllib.parse.urlencode(query),
                                    timeout=LIMIT) as answer:
            return answer.read().decode()

    def telegram(self, method, token=USERS_TOKEN, **parameters):
        """A call to the Bot API as any other program would make it; the answer, good or not."""
        request = urllib.request.Request(f"{self.url}/bot{token}/{method}", json.dumps(parameters).encode(),
                                         {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=LIMIT) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return json.loads(error.read())

    def say(self, text, chat=USER, **more):
        return self.post("say", chat=chat, text=text, **more)

    def script(self, **how):
        return self.post("script", **how)

    def fault(self, **how):
        return self.post("fault", **how)

    def messages(self, chat=USER, bot=None):
        """The chat as it is seen now: the bot's messages that aren't deleted, oldest first."""
        query = {"id": chat} if bot is None else {"id": chat, "bot": bot}
        answer = json.loads(self.get("chat", **query))
        return [m for m in answer.get("messages", []) if m["by_bot"] and not m["deleted"]]

    def texts(self, chat=USER, bot=None):
        return [m.get("text", "") for m in self.messages(chat, bot)]

    def wait_text(self, words, chat=USER, bot=None, limit=LIMIT):
        """The bot's first message in the chat that holds `words`."""
        return eventually(f"{words!r} in chat {chat}",
                          lambda: next((t for t in self.texts(chat, bot) if words in t), None), limit)

    def mails(self):
        return json.loads(self.get("mail"))["mails"]

    def record(self, **query):
        text = self.get("record", limit=100000, **query)
        return [json.loads(line) for line in text.splitlines() if line.strip()]


def sanitizer_environment():
    return {k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")}


class Deployment:
    """A directory with a sandbox and the settings that point Katana at it."""

    def __init__(self, **settings):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="katana-"))
        self.processes = []
        self.sandbox = Sandbox(self.directory)
        self.processes.append(self.sandbox)
        self.gateway_http = f"127.0.0.1:{free_port()}"
        self.watchdog_http = f"127.0.0.1:{free_port()}"
        self.env = {
            "PATH": os.environ["PATH"],
            "KATANA_TELEGRAM_TOKEN": USERS_TOKEN,
            "KATANA_TELEGRAM_API_URL": self.sandbox.url,
            "ANTHROPIC_BASE_URL": self.sandbox.url + "/anthropic",
            "OPENAI_BASE_URL": self.sandbox.url + "/openai/v1",
            "OPENAI_API": "responses",
            "ANTHROPIC_API_KEY": "tests-anthropic-key",
            "OPENAI_API_KEY": "tests-openai-key",
            "KATANA_STATE_DIR": str(self.directory / "state"),
            "KATANA_RUN_DIR": str(self.directory / "run"),
            "KATANA_GATEWAY_HTTP": self.gateway_http,
            "KATANA_WATCHDOG_HTTP": self.watchdog_http,
            "KATANA_ALLOWED_USERS": str(USER),
            "KATANA_TELEGRAM_LIMITS": "off",
            "TELEGRAM_ALERT_BOT_TOKEN": ALERT_TOKEN,
            "TELEGRAM_ALERT_CHAT_ID": str(OPS_CHAT),
            "SMTP_URL": "smtp://" + self.sandbox.smtp,
            "SMTP_CA_FILE": str(self.sandbox.ca_file),
            "ALERT_EMAIL_FROM": "katana@localhost",
            "ALERT_EMAIL_TO": "operator@localhost",
            **sanitizer_environment(),
        }
        self.set(**settings)
        self.sandbox.post("chat", chat=USER, type="private")
        self.sandbox.post("chat", chat=OPS_CHAT, type="private", bot=ALERT_TOKEN)

    def set(self, **settings):
        """Changes settings; None takes one away."""
        for name, value in settings.items():
            if value is None:
                self.env.pop(name, None)
            else:
                self.env[name] = str(value)

    def start(self, program, *arguments, name=None, **settings):
        env = dict(self.env, **{k: str(v) for k, v in settings.items()})
        process = Process(name or program, [BIN / program, *arguments], env, self.directory)
        self.processes.append(process)
        return process

    def up(self, *arguments):
        """`katana up`, ready."""
        self.katana = self.start("katana", "up", *arguments, name="katana")
        self.wait_ready()
        return self.katana

    def up_without_openai(self):
        """`katana up` with one provider, ready."""
        self.set(OPENAI_BASE_URL=None, OPENAI_API_KEY=None, OPENAI_API=None)
        self.katana = self.start("katana", "up", name="katana")
        self.wait_ready(("claude",))
        return self.katana

    def make_directories(self):
        """What `katana up` makes for its processes, and units have made for them."""
        for name in ("state", "run"):
            (self.directory / name).mkdir(mode=0o700, exist_ok=True)

    def serve(self, *workers):
        """The gateway and these workers (`claude`, `openai`) alone, without `katana up`, ready."""
        self.make_directories()
        gateway = self.start("katana-gateway")
        for worker in workers or ("claude", "openai"):
            self.start(f"katana-{worker}")
        self.wait_ready(workers or ("claude", "openai"))
        return gateway

    def wait_ready(self, workers=("claude", "openai")):
        def ready():
            if getattr(self, "katana", None) and self.katana.popen.poll() is not None:
                raise AssertionError("katana ended by itself:\n" + self.katana.log()[-4000:])
            status, text = http_get(f"http://{self.gateway_http}/health")
            health = json.loads(text)
            return status == 200 and health.get("seconds_since_last_poll") is not None and all(
                health["workers"][w] > 0 for w in workers)
        eventually("the gateway polls and has its workers", ready)

    def health(self):
        status, text = http_get(f"http://{self.gateway_http}/health")
        return status, json.loads(text)

    def metric(self, name):
        """The gateway's sum over all series of a metric, or of the one series that is named with its labels."""
        lines = http_get(f"http://{self.gateway_http}/metrics")[1].splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines
                   if line.startswith((name + " ", name + "{") if "{" not in name else name + " "))

    def status(self):
        return json.loads(http_get(f"http://{self.watchdog_http}/api/status")[1])

    def pid_of(self, instance):
        """The process id of a component that the watchdog sees up, or None."""
        for process in self.status()["processes"]:
            if process["instance"] == instance and process["state"] == "up":
                return process["pid"]
        return None

    def command(self, *arguments, stdin=None):
        """Runs `katana …`; (status, standard output, standard error)."""
        done = subprocess.run([str(BIN / "katana"), *arguments], env=self.env, cwd=self.directory, input=stdin,
                              capture_output=True, text=True, timeout=LIMIT)
        return done.returncode, done.stdout, done.stderr

    def ask(self, text, answer, chat=USER, limit=LIMIT):
        """Says `text` and waits for the whole `answer`."""
        self.sandbox.say(text, chat=chat)
        return self.sandbox.wait_text(answer, chat=chat, limit=limit)

    def close(self):
        problems = []
        for process in reversed(self.processes):
            try:
                if process.popen.poll() is None:
                    process.stop()
            except AssertionError as error:
                problems.append(str(error))
            process.log_file.close()
        shutil.rmtree(self.directory, ignore_errors=True)
        if problems:
            raise AssertionError("\n".join(problems))


class Case(unittest.TestCase):
    """A test with one deployment, ended and cleaned up in any case. A failed test shows the end of every log."""

    settings = {}

    def setUp(self):
        self.d = Deployment(**self.settings)
        self.sandbox = self.d.sandbox
        self.addCleanup(self.d.close)
        self.addCleanup(self._show_logs)

    def _show_logs(self):
        outcome = self._outcome.result
        failed = any(self in (test, getattr(test, "test_case", None)) for test, _ in outcome.failures + outcome.errors)
        if failed:
            for process in self.d.processes:
                print(f"---- {process.name} ----\n{process.log()[-6000:]}")


def main():
    unittest.main(verbosity=2)
