"""What can be said of deploy's files without running them."""

import configparser
import hashlib
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "functional"))

from pack import KEPT, TOP, alone, pack, parts  # noqa: E402

DEPLOY = TOP / "deploy"
# Older spellings of others in the list, and what nothing obeys yet.
NOT_HANDED_OUT = {"TELEGRAM_BOT_TOKEN_ALERT", "KATANA_WEBHOOK_SECRET"}
READERS = {"kGateway": {"gateway"}, "kClaude": {"claude"}, "kOpenAi": {"openai"}, "kWatchdog": {"watchdog"}, "kWorkers": {"claude", "openai"}}


def secrets():
    """Program -> its secrets, as common/config says."""
    out = {}
    for name, readers in re.findall(r'\{"(\w+)", kSecret, ([\w |]+?)(?:, kInert)?\}', (TOP / "common/config/names.cpp").read_text()):
        for reader in readers.split(" | "):
            for program in READERS[reader]:
                if name not in NOT_HANDED_OUT:
                    out.setdefault(program, set()).add(name)
    return out


class Files(unittest.TestCase):
    def project(self):
        directory = pathlib.Path(tempfile.mkdtemp(prefix="katana-files-"))
        self.addCleanup(shutil.rmtree, directory)
        shutil.copytree(DEPLOY, directory / "deploy", ignore=shutil.ignore_patterns("secrets", "katana.env"))
        shutil.copy(DEPLOY / "katana.env.example", directory / "deploy/katana.env")
        subprocess.run([directory / "deploy/secrets.sh"], check=True)
        return directory / "deploy"

    def composed(self, *options):
        project = self.project()
        done = subprocess.run(["docker-compose", "--file", project / "compose.yaml", *options, "config"], capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout

    def test_compose_takes_its_file(self):
        text = self.composed("--profile", "monitoring")
        for service in ("keys", "watchdog", "gateway", "claude", "openai", "prometheus", "alertmanager", "grafana"):
            self.assertIn(f"\n  {service}:\n", text)
        self.assertEqual(text.count("dockerfile: deploy/Dockerfile"), 5)
        self.assertEqual(text.count("image: katana:0.1.0"), 5)

    def test_every_program_is_handed_its_own_secrets_in_every_way(self):
        self.assertEqual(set(secrets()), {"gateway", "claude", "openai", "watchdog"})
        compose = (DEPLOY / "compose.yaml").read_text()
        for program, own in secrets().items():
            unit = (DEPLOY / "systemd" / f"katana-{program}{'@' if program in ('claude', 'openai') else ''}.service").read_text()
            loaded = set(re.findall(r"^LoadCredential=(\w+):katana\.\1$", unit, re.M))
            self.assertEqual(loaded, own, program)
            listed = re.search(rf"\n  {program}:.*?\n    secrets: \[(.*?)\]", compose, re.S)[1].split(", ")
            self.assertEqual(set(listed), own, program)

    def test_monitoring_has_files_that_are_there_and_that_prometheus_takes(self):
        project = self.project()
        shutil.copy(project / "prometheus/alerts.yml", project / "monitoring")
        done = subprocess.run(["promtool", "check", "config", project / "monitoring/prometheus.yml"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        for path in re.findall(r"- (\./[\w./-]+):", (DEPLOY / "compose.yaml").read_text()):
            self.assertTrue((DEPLOY / path).exists(), path)

    def test_supervisor_has_one_program_a_process(self):
        parsed = configparser.RawConfigParser(inline_comment_prefixes=None)
        parsed.read(DEPLOY / "supervisor/katana.conf")
        programs = parsed["group:katana"]["programs"].split(",")
        self.assertEqual(sorted(s.split(":")[1] for s in parsed.sections() if s.startswith("program:")), sorted(programs))
        for program in programs:
            self.assertEqual(parsed[f"program:{program}"]["stopwaitsecs"], "30")

    def test_the_same_build_gives_the_same_package(self):
        hashes = set()
        with alone():
            for _ in range(2):
                with tempfile.TemporaryDirectory(prefix="katana-files-") as place:
                    hashes.add(hashlib.sha256(pack("0.1.0", pathlib.Path(place)).read_bytes()).hexdigest())
        self.assertEqual(len(hashes), 1)

    def test_the_list_of_parts_is_whole(self):
        listed = parts()
        self.assertEqual((listed["spdxVersion"], listed["dataLicense"]), ("SPDX-2.3", "CC0-1.0"))
        ids = {p["SPDXID"] for p in listed["packages"]}
        self.assertEqual({r["relatedSpdxElement"] for r in listed["relationships"]}, ids)
        for part in listed["packages"]:
            self.assertNotIn(part["licenseDeclared"], ("", "NOASSERTION"), part["name"])
            self.assertRegex(part["versionInfo"], r"^[0-9]", part["name"])
        names = {p["name"] for p in listed["packages"]}
        self.assertTrue({"katana", "libzmq5", "libcurl4", "libprotobuf32", "cppzmq-dev", "nlohmann-json3-dev"} <= names, names)
        notices = (KEPT / "doc/copyright").read_text()
        for word in ("Apache License", "cppzmq-dev", "nlohmann-json3-dev"):
            self.assertIn(word, notices)


if __name__ == "__main__":
    unittest.main(verbosity=2)
