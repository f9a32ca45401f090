"""Every named step stands once in the code, in a program that can be killed there, and in STEPS; and nothing else does."""

import pathlib
import re
import unittest

from steps import STEPS

TOP = pathlib.Path(__file__).resolve().parents[2]
ROOMS = {"gateway": "gateway", "worker": "workers"}


class Steps(unittest.TestCase):
    def test_code_and_table_agree(self):
        for program, room in ROOMS.items():
            found = [step for path in (TOP / room).rglob("*.cpp")
                     for step in re.findall(r'\bfail_point\("(\w+)"\)', path.read_text())]
            self.assertEqual(sorted(found), sorted(STEPS[program]), program)


if __name__ == "__main__":
    unittest.main()
