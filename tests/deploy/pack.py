"""The build's Debian package, made when a test needs it, by one test at a time."""

import contextlib
import fcntl
import functools
import json
import os
import pathlib
import shutil
import subprocess

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("KATANA_BIN", "build/bin")).resolve().parent
KEPT = BUILD / "tests-deploy"


@contextlib.contextmanager
def alone():
    KEPT.mkdir(exist_ok=True)
    with open(KEPT / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def pack(version, place):
    """Makes it, and puts it and what goes with it into `place`."""
    subprocess.run([TOP / "deploy/package.sh", "--no-build", "--version", version], check=True, stdout=subprocess.DEVNULL)
    shutil.copytree(BUILD / "package/doc", place / "doc", dirs_exist_ok=True)
    return pathlib.Path(shutil.move(BUILD / f"katana_{version}_amd64.deb", place / f"katana_{version}_amd64.deb"))


@functools.cache
def package(version):
    """As of this version. Kept for the next test of the same build."""
    kept = KEPT / f"katana_{version}_amd64.deb"
    made_of = [BUILD / "bin" / name for name in ("katana", "katana-gateway", "katana-claude", "katana-openai", "katana-watchdog")]
    made_of += [path for path in (TOP / "deploy").rglob("*") if path.is_file()]
    with alone():
        if not kept.exists() or any(path.stat().st_mtime > kept.stat().st_mtime for path in made_of):
            pack(version, KEPT).touch()
    return kept


def parts():
    """The package's list of parts (SPDX)."""
    package("0.1.0")
    return json.loads((KEPT / "doc/katana.spdx.json").read_text())


def libraries():
    """The Debian packages that ours stands on: a machine that has them needs no network to install it."""
    listed = parts()
    loaded = {r["relatedSpdxElement"] for r in listed["relationships"] if r["relationshipType"] in ("DYNAMIC_LINK", "DEPENDS_ON")}
    return {p["name"] for p in listed["packages"] if p["SPDXID"] in loaded}
