"""A Debian 12 machine of its own for a test: a tree made by debootstrap, booted in systemd-nspawn with a network of its own.

The tree is made once from debootstrap's default mirror and kept in the user's cache; each machine runs on a copy. Needs root.
"""

import ctypes
import hashlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "functional"))

from harness import eventually  # noqa: E402

TOP = pathlib.Path(__file__).resolve().parents[2]
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "katana-deploy"
CLONE_NEWNET = 0x40000000
BOOT_LIMIT = 120
COMMAND_LIMIT = 300


def join_network(network):
    """`network`: an open file of a network namespace. For this thread, and whatever it starts from here on."""
    if ctypes.CDLL(None, use_errno=True).setns(network.fileno(), CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def need(condition, what):
    """What this machine must be able to; where it isn't, the tests say so and are left out (ctest shows them as skipped)."""
    if not condition:
        raise unittest.SkipTest(f"left out: {what}")


def run_tests():
    """unittest's main, with status 77 where everything was left out."""
    result = unittest.main(module="__main__", verbosity=2, exit=False).result
    for _, reason in result.skipped:
        print(reason)
    if not result.wasSuccessful():
        sys.exit(1)
    sys.exit(77 if result.skipped and len(result.skipped) >= result.testsRun else 0)


def namespaces_work():
    return subprocess.run(["unshare", "--mount", "--uts", "--ipc", "--net", "--pid", "--fork", "true"], capture_output=True).returncode == 0


def tree(packages):
    """A pristine tree with these packages, made where there is none yet."""
    need(os.geteuid() == 0, "making machines needs root")
    need(namespaces_work(), "the kernel grants no namespaces here")
    name = hashlib.sha256("\n".join(sorted(packages)).encode()).hexdigest()[:16]
    ready = CACHE / name
    if ready.exists():
        return ready
    CACHE.mkdir(parents=True, exist_ok=True)
    part = pathlib.Path(tempfile.mkdtemp(prefix="part-", dir=CACHE))
    try:
        with open(CACHE / "debootstrap.log", "wb") as log:
            made = subprocess.run(["debootstrap", "--variant=minbase", *(["--include=" + ",".join(sorted(packages))] if packages else []), "bookworm", part],
                                  stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        said = (CACHE / "debootstrap.log").read_text(errors="replace")
        need("Failed getting release file" not in said, "Debian's mirror can't be reached: " + said[-300:])
        if made.returncode != 0:
            raise RuntimeError("debootstrap failed:\n" + said[-3000:])
        for archive in (part / "var/cache/apt/archives").glob("*.deb"):
            archive.unlink()
        (part / "etc/machine-id").write_text("")
        part.chmod(0o755)
        part.rename(ready)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    return ready


class Machine:
    def __init__(self, packages):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="katana-machine-"))
        self.directory.chmod(0o755)
        self.root = self.directory / "root"
        self.console = self.directory / "console.log"
        self.nspawn = None
        try:
            subprocess.run(["cp", "-a", "--reflink=auto", tree(packages), self.root], check=True)
            with open(self.console, "wb") as log:
                self.nspawn = subprocess.Popen(
                    ["systemd-nspawn", "--quiet", "--boot", "--directory", self.root, "--machine", "katana-" + os.urandom(4).hex(),
                     "--private-network", "--register=no", "--keep-unit", "--link-journal=no", "--console=pipe"],
                    stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
            self.leader = eventually("its first process", self._find_leader, BOOT_LIMIT)
            eventually("it has booted", lambda: self.run("systemctl", "is-system-running", check=False).stdout.strip()
                       in ("running", "degraded"), BOOT_LIMIT)
        except BaseException:
            self.close()
            raise

    def _find_leader(self):
        """nspawn's child that is process 1 of its own namespace."""
        if self.nspawn.poll() is not None:
            raise AssertionError("the machine did not start:\n" + self.console.read_text(errors="replace")[-3000:])
        for pid in pathlib.Path(f"/proc/{self.nspawn.pid}/task/{self.nspawn.pid}/children").read_text().split():
            if pathlib.Path(f"/proc/{pid}/comm").read_text().strip() == "systemd":
                return int(pid)
        return None

    def argv(self, *command):
        return ["nsenter", "--target", str(self.leader), "--mount", "--uts", "--ipc", "--net", "--pid", "--root",
                "env", "-i", "--chdir=/", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8",
                "DEBIAN_FRONTEND=noninteractive", *map(str, command)]

    def run(self, *command, check=True, stdin=None, limit=COMMAND_LIMIT):
        """Runs a command in the machine, as root, in no unit of its own; the completed process, with text."""
        done = subprocess.run(self.argv(*command), input=stdin, capture_output=True, text=True, errors="replace", timeout=limit,
                              **({} if stdin is not None else {"stdin": subprocess.DEVNULL}))
        if check and done.returncode != 0:
            raise AssertionError(f"{' '.join(map(str, command))}: status {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def shell(self, script, **how):
        return self.run("bash", "-c", script, **how)

    def file(self, path):
        return self.root / str(path).lstrip("/")

    def unit_pid(self, unit):
        """The process id of a unit as this machine's host sees it; None while there is none."""
        inner = self.run("systemctl", "show", "--property=MainPID", "--value", unit).stdout.strip()
        return self.host_pid(int(inner)) if inner not in ("", "0") else None

    def host_pid(self, inner):
        for status in pathlib.Path("/proc").glob("[0-9]*/status"):
            try:
                ids = next(line for line in status.read_text().splitlines() if line.startswith("NSpid:")).split()[1:]
                same = os.readlink(status.parent / "ns/pid") == os.readlink(f"/proc/{self.leader}/ns/pid")
            except (OSError, StopIteration):
                continue
            if same and ids[-1] == str(inner):
                return int(ids[0])
        return None

    def pids(self):
        """Every process of the machine, by the host's ids."""
        found = []
        for entry in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                if os.readlink(entry / "ns/pid") == os.readlink(f"/proc/{self.leader}/ns/pid"):
                    found.append(int(entry.name))
            except OSError:
                continue
        return found

    def join_network(self):
        """From here on this process, and whatever it starts, is in the machine's network."""
        with open(f"/proc/{self.leader}/ns/net") as network:
            join_network(network)

    def close(self):
        if self.nspawn is not None and self.nspawn.poll() is None:
            self.nspawn.send_signal(signal.SIGTERM)  # an orderly stop of its first process
            end = time.monotonic() + 60
            while self.nspawn.poll() is None and time.monotonic() < end:
                time.sleep(0.05)
            if self.nspawn.poll() is None:
                self.nspawn.kill()
            self.nspawn.wait()
        subprocess.run(["rm", "-rf", "--one-file-system", self.directory], check=False)
