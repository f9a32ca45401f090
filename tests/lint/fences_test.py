"""The include fences: a library's headers appear only in its adapter, and arrows between our folders point down only."""

import pathlib
import re
import subprocess
import unittest

TOP = pathlib.Path(__file__).resolve().parents[2]

# Pattern of an included header -> folders that may include it. Unit tests of an adapter count as the adapter.
LIBRARY_FENCES = {
    r"^curl/": ["common/net"],
    r"^zmq|^zmq_addon": ["common/bus"],
    r"\.pb\.h$": ["common/bus"],
    r"^uv\.h$": ["common/loop"],
    r"^(sqlite3|libpq-fe)\.h$": ["common/db"],
    r"^microhttpd\.h$": ["common/net"],
    r"^(spdlog|fmt)/": ["common/log"],
    r"^prometheus/": ["common/service"],
    r"^toml\+\+|^toml\.hpp": ["common/config"],
    r"^CLI/": ["common/config", "watchdog/cli"],
    r"^md4c": ["gateway/outbound"],
}
# Folder -> folders of ours that it may not include.
LAYER_FENCES = {
    "common": ["gateway", "workers", "watchdog", "tests"],
    "gateway": ["workers", "watchdog", "tests"],
    "workers": ["gateway", "watchdog", "tests"],
    "watchdog": ["gateway", "workers", "tests"],
    "tests/sandbox": ["common", "gateway", "workers", "watchdog"],
}
# What one library does and another may not: simdjson reads JSON, nlohmann only writes it.
READS_BY_THE_WRITER = re.compile(r"\b[Jj]son::(parse|accept|sax_parse)\b")
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', re.M)


def trespasses(path, text):
    """What `text`, standing at `path`, includes and may not."""
    found = []
    at_home = path.startswith("tests/unit/")
    if not path.startswith("tests/") and READS_BY_THE_WRITER.search(text):
        found.append(f"{path} reads JSON with nlohmann's library, which only writes it here: simdjson reads")
    for header in INCLUDE.findall(text):
        if not path.startswith("tests/"):
            for pattern, homes in LIBRARY_FENCES.items():
                if re.search(pattern, header) and not any(path.startswith(h + "/") for h in homes):
                    found.append(f"{path} includes <{header}>, which only {' and '.join(homes)} may")
        if at_home:
            continue
        for layer, forbidden in LAYER_FENCES.items():
            if path.startswith(layer + "/"):
                for other in forbidden:
                    if header.startswith(other + "/") and not header.startswith("tests/sandbox/"):
                        found.append(f"{path} includes {header}: {layer} may not use {other}")
    return found


class Fences(unittest.TestCase):
    def test_the_tree_keeps_them(self):
        files = subprocess.run(["git", "ls-files", "*.cpp", "*.hpp", "*.h"], cwd=TOP, capture_output=True, text=True,
                               check=True).stdout.split()
        self.assertGreater(len(files), 50)
        found = [t for f in files for t in trespasses(f, (TOP / f).read_text())]
        self.assertEqual(found, [], "\n".join(found))

    def test_a_trespass_is_seen(self):
        for path, line in [
            ("gateway/chat/a.cpp", "#include <curl/curl.h>"),
            ("gateway/chat/a.cpp", "auto j = nlohmann::json::parse(text);"),
            ("common/core/a.hpp", "#include <zmq.hpp>"),
            ("workers/a.cpp", '#include "katana/v1/job.pb.h"'),
            ("common/net/a.cpp", "#include <uv.h>"),
            ("gateway/store/a.cpp", "# include <sqlite3.h>"),
            ("common/bus/a.cpp", '#include "gateway/gateway.hpp"'),
            ("workers/a.cpp", '#include "gateway/gateway.hpp"'),
            ("watchdog/a.cpp", '#include "workers/worker.hpp"'),
            ("tests/sandbox/a.cpp", '#include "common/core/text.hpp"'),
        ]:
            self.assertEqual(len(trespasses(path, line)), 1, path + " " + line)
        self.assertEqual(trespasses("common/net/a.cpp", '#include <curl/curl.h>\n#include "common/core/text.hpp"'), [])


if __name__ == "__main__":
    unittest.main()
