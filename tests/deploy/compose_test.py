"""deploy/compose.yaml on a real Docker engine of the test's own: up, a conversation, more workers, a paused one, a cut network,
deaths, another version, down with drain.

The engine has its own data, socket and bridges, without iptables (so there is no way out), and the sandbox runs in a container beside
the others. The image is the second half of deploy/Dockerfile with the package of this build; KATANA_DOCKER_BUILD=1 builds all of
it as the Dockerfile says, which compiles Katana inside (some 10 min on 2 cores).
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
from harness import ALERT_TOKEN, BIN, OPS_CHAT, USER, USERS_TOKEN, Sandbox, eventually, free_port, http_get  # noqa: E402
from machine import TOP, need, run_tests, tree  # noqa: E402
from pack import package  # noqa: E402

DOCKER = "/usr/bin/docker"
SECRETS = {"KATANA_TELEGRAM_TOKEN": USERS_TOKEN, "ANTHROPIC_API_KEY": "canary-anthropic-key-8d1f", "OPENAI_API_KEY": "canary-openai-key-77ac",
           "TELEGRAM_ALERT_BOT_TOKEN": ALERT_TOKEN, "KATANA_WATCHDOG_TOKEN": "canary-page-token-51be"}
USERS = range(USER, USER + 4)
MOVER = USER + 50  # somebody whom no other test knows
LIMIT = 120


class Engine:
    """dockerd, ended by its process id."""

    def __init__(self, directory, *options):
        self.directory = directory
        self.socket = f"unix://{directory}/docker.sock"
        self.log = open(directory / "dockerd.log", "ab")
        self.process = subprocess.Popen(
            ["dockerd", "--data-root", directory / "data", "--exec-root", directory / "exec", "--pidfile", directory / "pid", "--host", self.socket,
             "--iptables=false", "--ip-masq=false", "--bridge=none", "--default-address-pool", "base=172.31.0.0/17,size=24", *options],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            eventually("the engine answers", lambda: self.process.poll() is not None or self.run("info", check=False).returncode == 0, LIMIT)
        except BaseException:
            self.close()
            raise

    def environment(self):
        return {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/root"), "DOCKER_HOST": self.socket, "DOCKER_BUILDKIT": "0",
                "LANG": "C.UTF-8"}

    def run(self, *command, check=True, stdin=None, limit=600):
        done = subprocess.run([DOCKER, *map(str, command)], env=self.environment(), input=stdin, capture_output=True, timeout=limit)
        done.stdout, done.stderr = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        if check and done.returncode != 0:
            raise AssertionError(f"docker {' '.join(map(str, command))}: status {done.returncode}\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
        return done

    def close(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.close()
        for line in pathlib.Path("/proc/mounts").read_text().splitlines():
            if line.split()[1].startswith(f"{self.directory}/"):
                subprocess.run(["umount", "--lazy", line.split()[1]], check=False)


class BesideOthers(Sandbox):
    """The sandbox in a container of the stack, asked by its published port."""

    def __init__(self, port):  # no process of ours
        self.url = f"http://127.0.0.1:{port}"


class Compose(Asking, unittest.TestCase):
    users = USERS

    @classmethod
    def setUpClass(cls):
        cls.directory = pathlib.Path(tempfile.mkdtemp(prefix="katana-docker-"))
        cls.addClassCleanup(subprocess.run, ["rm", "-rf", cls.directory])
        base = tree([])
        cls.engine = Engine(cls.directory)
        need(cls.engine.process.poll() is None, "no Docker engine runs here: " + (cls.directory / "dockerd.log").read_text(errors="replace")[-500:])
        cls.addClassCleanup(lambda: cls.engine.close())
        cls.make_images(base)
        cls.make_project()
        cls.addClassCleanup(cls.compose, "down", "--volumes", "--timeout", "5", check=False)
        cls.sandbox = BesideOthers(cls.sandbox_port)
        cls.start_afresh()

    @classmethod
    def start_afresh(cls):
        """With empty volumes, and a sandbox that knows nothing yet."""
        cls.compose("down", "--volumes", "--timeout", "5")
        cls.compose("up", "-d")
        eventually("the sandbox answers", lambda: cls.sandbox.get("stats"), LIMIT)
        for user in (*USERS, MOVER):
            cls.sandbox.post("chat", chat=user, type="private")
        cls.sandbox.post("chat", chat=OPS_CHAT, type="private", bot=ALERT_TOKEN)

    @classmethod
    def make_images(cls, base):
        base = subprocess.Popen(["tar", "-C", base, "-c", "."], stdout=subprocess.PIPE)
        subprocess.run([DOCKER, "import", "-", "debian:bookworm-slim"], stdin=base.stdout, env=cls.engine.environment(), check=True,
                       stdout=subprocess.DEVNULL)
        base.wait()
        context = cls.directory / "context"
        context.mkdir()
        text = (TOP / "deploy/Dockerfile").read_text()
        if os.environ.get("KATANA_DOCKER_BUILD"):
            began = time.monotonic()
            subprocess.run(["git", "clone", "-q", TOP, context / "clone"], check=True)
            cls.engine.run("build", "--network", "host", "--file", context / "clone/deploy/Dockerfile", "--tag", "katana:0.1.0", context / "clone",
                           limit=3600)
            TABLE.append(("docker build, all of it", f"{time.monotonic() - began:.0f} s"))
        for version in ("0.1.0", "0.1.1"):
            shutil.copy(package(version), context)
        second = text[text.index("FROM debian:bookworm-slim\n"):]
        for version in ("0.1.0", "0.1.1"):
            if version == "0.1.0" and os.environ.get("KATANA_DOCKER_BUILD"):
                continue
            (context / "Dockerfile").write_text(second.replace("COPY --from=build /katana/build/katana_*.deb", f"COPY katana_{version}_*.deb"))
            cls.engine.run("build", "--network", "host", "--tag", f"katana:{version}", context)
        shutil.copy(BIN / "katana-sandbox", context)
        subprocess.run(["strip", context / "katana-sandbox"], check=True)
        (context / "Dockerfile").write_text("FROM katana:0.1.0\nCOPY katana-sandbox /usr/bin/\n")
        cls.engine.run("build", "--tag", "katana-sandbox:test", context)

    @classmethod
    def make_project(cls):
        """A folder as an operator has it: deploy's files, settings, secrets."""
        cls.project = cls.directory / "deploy"
        shutil.copytree(TOP / "deploy", cls.project, ignore=shutil.ignore_patterns("secrets", "katana.env"))
        cls.page_port, cls.sandbox_port = free_port(), free_port()
        cls.settings = {"KATANA_TELEGRAM_API_URL": "http://sandbox:8080", "ANTHROPIC_BASE_URL": "http://sandbox:8080/anthropic",
                        "OPENAI_BASE_URL": "http://sandbox:8080/openai/v1", "OPENAI_API": "responses", "KATANA_TELEGRAM_LIMITS": "off",
                        "KATANA_ALLOWED_USERS": ",".join(map(str, (*USERS, MOVER))), "TELEGRAM_ALERT_CHAT_ID": OPS_CHAT}
        (cls.project / "katana.env").write_text("".join(f"{k}={v}\n" for k, v in cls.settings.items()))
        subprocess.run([cls.project / "secrets.sh"], check=True)
        for name, value in SECRETS.items():
            subprocess.run([cls.project / "secrets.sh", name], input=value + "\n", text=True, check=True)
        (cls.project / "sandbox.yaml").write_text(json.dumps({"services": {
            "sandbox": {"image": "katana-sandbox:test", "networks": ["katana"], "ports": [f"127.0.0.1:{cls.sandbox_port}:8080"],
                        "command": ["katana-sandbox", "--http", "0.0.0.0:8080", "--token", USERS_TOKEN, "--token", ALERT_TOKEN]}}}))
        cls.image = "katana:0.1.0"

    @classmethod
    def compose(cls, *command, check=True, limit=300):
        env = {**cls.engine.environment(), "KATANA_PAGE_PORT": str(cls.page_port), "KATANA_IMAGE": cls.image, "COMPOSE_PROJECT_NAME": "katana"}
        done = subprocess.run(["docker-compose", "--file", "compose.yaml", "--file", "sandbox.yaml", *map(str, command)], cwd=cls.project, env=env,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=limit)
        if check and done.returncode != 0:
            raise AssertionError(f"docker-compose {' '.join(map(str, command))}: status {done.returncode}\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
        return done

    def containers(self, service):
        return self.compose("ps", "-q", service).stdout.split()

    def katana(self, *words, **how):
        return self.compose("exec", "-T", "gateway", "katana", *words, **how)

    def status(self):
        return json.loads(http_get(f"http://127.0.0.1:{self.page_port}/api/status")[1])

    def states(self, component):
        return sorted(p["state"] for p in self.status()["processes"] if p["component"] == component)

    def wait_up(self, **workers):
        wanted = {"gateway": 1, "claude": 1, "openai": 1, **workers}
        eventually(f"up: {wanted}", lambda: all(self.states(c).count("up") == n for c, n in wanted.items()), LIMIT)

    def instance(self, component):
        """The name of its first container's process, and how the watchdog sees it."""
        container = self.containers(component)[0]
        return container, f"{component}-{container[:12]}"

    def state_of(self, instance):
        return next(p["state"] for p in self.status()["processes"] if p["instance"] == instance)

    def tearDown(self):
        outcome = self._outcome.result
        if any(self is test for test, _ in outcome.failures + outcome.errors):
            print(self.compose("ps", check=False).stdout + self.compose("logs", "--tail", "40", check=False).stdout)

    def setUp(self):
        self.compose("up", "-d", "--scale", "claude=1")
        self.wait_up()

    def test_a_conversation_and_the_operators_command(self):
        self.ask("Hello, container")
        self.assertIn("gateway", self.katana("status").stdout)
        eventually("healthy by its own check", lambda: all(
            json.loads(self.engine.run("inspect", "--format", "{{json .State.Health.Status}}", c).stdout) == "healthy"
            for service in ("gateway", "watchdog", "claude", "openai") for c in self.containers(service)), LIMIT)

    def test_containers_have_as_little_as_they_need(self):
        for service in ("gateway", "watchdog", "claude", "openai"):
            told = json.loads(self.engine.run("inspect", self.containers(service)[0]).stdout)[0]
            host = told["HostConfig"]
            self.assertTrue(host["ReadonlyRootfs"] and host["Init"] and host["CapDrop"] == ["ALL"], service)
            self.assertEqual(told["Config"]["User"], "10001:10001")
            self.assertEqual(host["LogConfig"]["Config"], {"max-size": "20m", "max-file": "5"})
            self.assertGreater(host["Memory"], 0)
            inside = self.compose("exec", "-T", service, "ls", "/run/secrets").stdout.split()
            self.assertEqual(set(inside) & set(SECRETS), {"gateway": {"KATANA_TELEGRAM_TOKEN"}, "claude": {"ANTHROPIC_API_KEY"},
                             "openai": {"OPENAI_API_KEY"}}.get(service, {"TELEGRAM_ALERT_BOT_TOKEN", "KATANA_WATCHDOG_TOKEN"}))
            keys = self.compose("exec", "-T", service, "find", "/keys", "-name", "*.secret").stdout.split()
            self.assertEqual([pathlib.Path(k).name for k in keys], [{"gateway": "server", "watchdog": "watchdog"}.get(service, "worker") + ".secret"])
        self.assertEqual(self.compose("exec", "-T", "claude", "sh", "-c", "ls /run/katana | grep sock || true").stdout, "", "a control socket")

    def test_more_workers_and_a_paused_one(self):
        self.compose("up", "-d", "--scale", "claude=3")
        self.wait_up(claude=3)
        paused, name = self.instance("claude")
        began = time.monotonic()
        self.engine.run("pause", paused)
        eventually("it is seen to hang", lambda: self.state_of(name) in ("hung", "down"), LIMIT)
        TABLE.append(("docker pause of a worker: seen to hang after", f"{time.monotonic() - began:.1f} s"))
        for i in range(4):
            self.ask(f"While one is paused, {i}")
        self.engine.run("unpause", paused)
        self.wait_up(claude=3)

    def test_a_cut_network_heals(self):
        worker, name = self.instance("claude")
        self.engine.run("network", "disconnect", "katana_katana", worker)
        eventually("it is missed", lambda: self.state_of(name) in ("hung", "down"), LIMIT)
        self.sandbox.script(answer="Here I am again")
        self.sandbox.say("Are you there?")
        self.engine.run("network", "connect", "--alias", "claude", "katana_katana", worker)
        self.sandbox.wait_text("Here I am again", limit=LIMIT)
        self.wait_up()

    def test_what_dies_comes_back(self):
        for service in ("claude", "gateway", "watchdog"):
            container = self.containers(service)[0]
            pid = int(self.engine.run("inspect", "--format", "{{.State.Pid}}", container).stdout)
            began = time.monotonic()
            os.kill(pid, signal.SIGKILL)  # the container's first process: docker's init
            eventually("it runs again", lambda: int(self.engine.run("inspect", "--format", "{{.State.Pid}}", container).stdout) not in (0, pid), LIMIT)
            self.wait_up()
            TABLE.append((f"kill -9 of {service}: up again after", f"{time.monotonic() - began:.1f} s"))
            self.ask(f"After the death of {service}")

    def test_all_of_them_are_back_after_the_engine_was_restarted(self):
        """As after a reboot: what was stopped in good order, too."""
        self.addCleanup(self.start_afresh)  # the sandbox has forgotten its chats
        def pids():
            return {s: [self.engine.run("inspect", "--format", "{{.State.Pid}}", c).stdout.strip() for c in self.containers(s)]
                    for s in ("gateway", "claude", "openai", "watchdog")}
        before = pids()
        self.engine.close()
        type(self).engine = Engine(self.directory)
        began = time.monotonic()
        self.wait_up()
        TABLE.append(("engine restarted: all up again after", f"{time.monotonic() - began:.1f} s"))
        self.assertFalse({pid for of in before.values() for pid in of} & {pid for of in pids().values() for pid in of})

    def test_a_provider_without_a_key_is_off_and_stays_quiet(self):
        def secret(value):
            subprocess.run([self.project / "secrets.sh", "OPENAI_API_KEY"], input=value + "\n", text=True, check=True)
        secret("")  # as one who presses Enter
        self.addCleanup(secret, SECRETS["OPENAI_API_KEY"])
        started = self.compose("run", "-d", "--no-deps", "-e", "OPENAI_BASE_URL=", "openai").stdout
        container = started.split()[-1]
        self.addCleanup(self.engine.run, "rm", "-f", container)
        eventually("it says so", lambda: "no OPENAI_API_KEY: off" in self.engine.run("logs", container).stdout, LIMIT)
        told = json.loads(self.engine.run("inspect", container).stdout)[0]
        self.assertTrue(told["State"]["Running"])

    def test_another_version_under_load_loses_nothing(self):
        def take_over():
            type(self).image = "katana:0.1.1"
            began = time.monotonic()
            self.compose("up", "-d", "--scale", "claude=1")
            TABLE.append(("another version under load took", f"{time.monotonic() - began:.1f} s"))
            self.wait_up()
        TABLE.append(("questions asked meanwhile, each answered once, in order", str(self.under_load(take_over))))
        running = self.engine.run("inspect", "--format", "{{.Config.Image}}", self.containers("gateway")[0]).stdout.strip()
        self.assertEqual(running, "katana:0.1.1")

    def test_its_state_moves_to_another_machine(self):
        """Backup, stop, restore elsewhere, start: here, elsewhere is the same project with fresh volumes."""
        def remembered():
            self.sandbox.say("Do you remember?", chat=MOVER)
            return int(re.findall(r"message (\d+) of yours", eventually("a whole answer", lambda: next(
                (t for t in reversed(self.sandbox.texts(MOVER)) if "turns so far" in t and t not in seen), None), LIMIT))[0])
        seen = []
        before = remembered()
        seen += self.sandbox.texts(MOVER)
        self.ask("And that is settled")  # its question is done: a backup holds no open one
        self.katana("backup", "/var/lib/katana/moved.db")
        backup = self.directory / "backup"
        backup.mkdir()
        self.engine.run("cp", self.containers("gateway")[0] + ":/var/lib/katana/moved.db", backup)
        os.chown(backup / "moved.db", 10001, 10001)
        backup.chmod(0o755)
        self.compose("stop", "gateway", "claude", "openai", "watchdog")
        self.compose("rm", "-f", "gateway", "claude", "openai", "watchdog", "keys")
        self.engine.run("volume", "rm", "katana_state", "katana_watchdog")
        self.compose("run", "--rm", "--no-deps", "-T", "--volume", f"{backup}:/backup:ro", "gateway", "katana", "restore", "/backup/moved.db")
        self.compose("up", "-d")
        self.wait_up()
        self.assertEqual(remembered(), before + 1)

    def test_a_stop_brings_the_answer_to_its_end(self):
        self.begin_a_long_answer()
        self.compose("stop", "gateway", "claude", "openai", "watchdog")
        self.assert_the_long_answer_is_whole()
        for service in ("gateway", "claude", "watchdog"):
            self.assertEqual(self.engine.run("inspect", "--format", "{{.State.ExitCode}}", self.compose("ps", "-aq", service).stdout.split()[0]).stdout.strip(), "0")

    def test_the_readmes_commands(self):
        """Those of deploy/README.md headed `sh compose`, as they stand, in their order, in this project's folder."""
        blocks = re.findall(r"^```sh compose\n(.*?)^```", (TOP / "deploy/README.md").read_text(), re.M | re.S)
        commands = [line for block in blocks for line in block.splitlines()]
        self.addCleanup(self.start_afresh)  # they stop the sandbox, too
        self.assertGreater(len(commands), 8)
        env = {**self.engine.environment(), "KATANA_PAGE_PORT": str(self.page_port), "COMPOSE_PROJECT_NAME": "katana",
               "COMPOSE_FILE": "compose.yaml:sandbox.yaml"}
        for command in commands:
            if command.startswith("cp "):
                continue  # the settings are there
            command = command.replace("docker-compose exec ", "docker-compose exec -T ")  # this is no terminal
            done = subprocess.run(["sh", "-c", command], cwd=self.project, env=env, input=USERS_TOKEN + "\n", capture_output=True, text=True,
                                  timeout=300)
            self.assertEqual(done.returncode, 0, f"{command}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
            if " up -d" in command:
                self.wait_up(claude=3 if "scale" in command else 1)

    def test_no_secret_is_anywhere(self):
        self.ask("A question with an answer")
        told = self.compose("logs", "--no-color", "keys", "gateway", "claude", "openai", "watchdog").stdout
        for container in self.engine.run("ps", "-aq").stdout.split():
            if "sandbox" not in self.engine.run("inspect", "--format", "{{.Name}}", container).stdout:
                told += self.engine.run("inspect", container).stdout + self.engine.run("top", container, "-eo", "pid,args", check=False).stdout
        for image in ("katana:0.1.0", "katana:0.1.1"):
            told += self.engine.run("history", "--no-trunc", image).stdout
            saved = self.directory / "image.tar"
            self.engine.run("save", "--output", saved, image)
            for name, secret in SECRETS.items():
                found = subprocess.run(["grep", "-c", "-F", "--binary-files=text", secret, saved], capture_output=True, text=True)
                self.assertEqual(found.stdout.strip(), "0", f"{name} stands in the image")
            saved.unlink()
        told += "\n".join(self.sandbox.texts(OPS_CHAT, bot=ALERT_TOKEN))
        for name, secret in SECRETS.items():
            self.assertFalse(secret in told, name)


def tearDownModule():
    print_table()


if __name__ == "__main__":
    run_tests()
