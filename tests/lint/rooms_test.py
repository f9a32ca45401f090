"""Every folder of code has a README of at most 40 lines, and the tree says nothing of the machine it was made on."""

import pathlib
import re
import subprocess
import unittest

TOP = pathlib.Path(__file__).resolve().parents[2]
MACHINE_PATH = re.compile(r"(?<![\w.$/}])/(?:work|home|root)/\w")


def tracked(*patterns):
    return subprocess.run(["git", "ls-files", *patterns], cwd=TOP, capture_output=True, text=True,
                          check=True).stdout.split()


class Rooms(unittest.TestCase):
    def test_every_room_explains_itself(self):
        folders = {str(pathlib.PurePath(f).parent) for f in tracked("*.cpp", "*.hpp", "*.proto")}
        rooms = {f for f in folders if not f.startswith("tests/") and f != "."} - {"proto/katana/v1"} | {"proto"}
        missing = [r for r in sorted(rooms) if not (TOP / r / "README.md").exists()]
        self.assertEqual(missing, [], "folders without a README")
        long = [r for r in sorted(rooms) if len((TOP / r / "README.md").read_text().splitlines()) > 40]
        self.assertEqual(long, [], "READMEs over 40 lines")

    def test_no_path_of_a_machine(self):
        found = []
        for name in tracked():
            try:
                text = (TOP / name).read_text()
            except UnicodeDecodeError:
                continue
            if name != "tests/lint/rooms_test.py" and MACHINE_PATH.search(text):
                found.append(name)
        self.assertEqual(found, [])
        self.assertTrue(MACHINE_PATH.search("see " + "/ho" + "me/me/x"))


if __name__ == "__main__":
    unittest.main()
