"""What the operator gets to see: notices in the ops chat and in the mailbox, and what runs on the machine."""

import email
import email.policy
import os
import pathlib
import signal

from harness import ALERT_TOKEN, LIMIT, OPS_CHAT, eventually

ALL = ("gateway", "claude-1", "openai-1")  # what the watchdog watches; it isn't in its own list


def parse_mail(data):
    """A mail as a client sees it, from its bytes or text."""
    if isinstance(data, str):
        data = data.encode("utf-8", "surrogateescape")
    return email.message_from_bytes(data, policy=email.policy.default)


def in_chat(d):
    """The notices in the ops chat, oldest first."""
    return d.sandbox.texts(OPS_CHAT, ALERT_TOKEN)


def in_mail(d):
    """The subjects of the notices that the sandbox's mail server took, oldest first."""
    return [parse_mail(m["data"])["Subject"] for m in d.sandbox.mails()]


def told(d, *words, limit=LIMIT):
    """Waits for a notice with all these words in both channels; gives the chat's."""
    def among(texts):
        return next((t for t in texts if all(w in t for w in words)), None)
    # The two of one notice: a subject is the first line of the chat's text.
    eventually(f"a mail with {words}", lambda: among(in_mail(d)), limit)
    return eventually(f"a message in the ops chat with {words}", lambda: among(in_chat(d)), limit)


def wait_up(d, names=ALL):
    """Waits until the watchdog sees all of them up; their process ids by name."""
    def pids():
        seen = {name: d.pid_of(name) for name in names}
        return seen if all(seen.values()) else None
    return eventually(f"{', '.join(names)} are up", pids)


def replaced(d, name, old, limit=LIMIT):
    """Waits until another process than `old` is up under this name; its id."""
    def fresh():
        pid = d.pid_of(name)
        return pid if pid and pid != old else None
    return eventually(f"{name} is replaced", fresh, limit)


def processes_of(d):
    """{pid: program} of everything that runs with this deployment's run directory, from the kernel."""
    mark = f"KATANA_RUN_DIR={d.env['KATANA_RUN_DIR']}".encode()
    found = {}
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                state = (entry / "stat").read_text().rsplit(")", 1)[1].split()[0]
                if state not in "ZX":
                    found[int(entry.name)] = pathlib.Path(os.readlink(entry / "exe")).name
        except OSError:
            pass  # it has just ended
    return found


def pid_of_program(d, program):
    """The id of the one process that runs this program."""
    pids = [pid for pid, name in processes_of(d).items() if name == program]
    return pids[0] if len(pids) == 1 else None


def kill(pid, number=signal.SIGKILL):
    os.kill(pid, number)
