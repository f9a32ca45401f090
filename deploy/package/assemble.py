"""Makes what the Debian package holds beside the programs: manual pages, completion, default settings, licences, and the
list of parts (SPDX).

    assemble.py SOURCE BUILD
"""

import pathlib
import re
import shutil
import subprocess
import sys

import parts

PROCESSES = {
    "katana-gateway": ("Telegram, the store, and who answers what",
                       "The gateway polls Telegram for the users' bot, keeps every question in its store until it is answered,"
                       " hands it to a worker, and sends what the worker writes. It is the only process with the store."),
    "katana-claude": ("a worker that asks Claude",
                      "The worker takes questions from the gateway and asks Anthropic's API. It keeps nothing: as many of them"
                      " as are needed run beside each other."),
    "katana-openai": ("a worker that asks OpenAI",
                      "The worker takes questions from the gateway and asks OpenAI's API, or a server that speaks like it. It"
                      " keeps nothing: as many of them as are needed run beside each other."),
    "katana-watchdog": ("tells people what broke, and when it is over",
                        "The watchdog hears the heartbeats of all processes, judges, and tells those on duty by e\\-mail, Telegram,"
                        " a command or a webhook. It serves the status page."),
}

# The units say these themselves, each its own: one line for all of them would break some.
NOT_FOR_UNITS = ("KATANA_STATE_DIR", "KATANA_RUN_DIR", "KATANA_INSTANCE", "KATANA_CLAUDE_WORKERS", "KATANA_OPENAI_WORKERS")

SETTINGS_HEAD = """\
# Katana's settings and their defaults, explained. What you set, write into /etc/katana/local.env beside this file: it wins, and no
# upgrade asks about it. Then: systemctl restart katana.target
#
# No secrets in here: put each into a file of its own, /etc/credstore/katana.NAME (root's, mode 0600), and systemd hands it to
# the process that needs it and to no other; or run: katana init --system
#
# What stands after a # is the default, or an example in <brackets>. `katana check-config` tells every mistake.

"""


def settings(example):
    """The example's sections; its head is about `.env`."""
    return SETTINGS_HEAD + "\n".join(for_units(example)) + "\n"


def for_units(example):
    """Without its head, and without the settings that aren't for units, each with what is said before it."""
    out, said = [], []
    for line in example[example.index("# ---- "):].replace("=ipc:///run/katana/", "=ipc:///run/katana/bus/").splitlines():
        if line.startswith("# ") and not line.startswith("# ---- "):
            said.append(line)
            continue
        if not line.startswith(tuple(f"#{name}=" for name in NOT_FOR_UNITS)):
            out += [*said, line]
        said = []
    return out


def man_text(text):
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return "\\&" + text if text.startswith((".", "'")) else text


def settings_manual(example, version):
    """katana.env(5): sections, and each setting with what is said before it."""
    out = [f'.TH KATANA.ENV 5 "" "Katana {version}" "Katana"', ".SH NAME", "katana.env \\- Katana's settings", ".SH DESCRIPTION",
           "A line is NAME=value. What a secret's name names can also come from a file, by NAME_FILE=PATH, or from the file NAME in",
           "systemd's credentials directory. Each is shown with its default, or with an example in <brackets>."]
    said = []
    for line in for_units(example):
        if section := re.match(r"# -{4} (.*?) -+$", line):
            out += [".SH " + section[1].upper()]
        elif setting := re.match(r"#([A-Z_]+=.*)$", line):
            out += [".TP", ".B " + man_text(setting[1]), man_text(" ".join(said)) or "\\&"]
            said = []
        elif line.startswith("# "):
            said.append(line[2:])
    return "\n".join(out + [".SH SEE ALSO", ".BR katana (1)", ""])


def main(source, build):
    made = build / "package"
    shutil.rmtree(made, ignore_errors=True)
    for section in ("man1", "man5", "man8"):
        (made / "man" / section).mkdir(parents=True)
    (made / "doc").mkdir()
    katana = build / "bin" / "katana"

    def say(verb):
        return subprocess.run([katana, verb], check=True, capture_output=True, text=True).stdout

    version = say("version").split()[1]
    example = (source / "deploy" / "katana.env.example").read_text()
    (made / "katana.env").write_text(settings(example))
    (made / "katana.bash").write_text(say("completion-bash"))
    (made / "_katana").write_text(say("completion-zsh"))
    (made / "man/man1/katana.1").write_text(say("manual"))
    (made / "man/man5/katana.env.5").write_text(settings_manual(example, version))
    page = (source / "deploy" / "package" / "process.8.in").read_text()
    for name, (purpose, description) in PROCESSES.items():
        text = page
        for key, value in {"{NAME}": name.upper(), "{name}": name.replace("-", "\\-"), "{version}": version,
                           "{purpose}": purpose, "{description}": description}.items():
            text = text.replace(key, value)
        (made / f"man/man8/{name}.8").write_text(text)
    for page in (made / "man").rglob("*.[158]"):
        # Without a name and a time in it, the same text gives the same file.
        subprocess.run(["gzip", "-9n", page], check=True)
    programs = [build / "bin" / name for name in ("katana", *PROCESSES)]
    parts.write(programs, version, made / "doc")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve())
