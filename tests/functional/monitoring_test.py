"""What deploy/prometheus and deploy/grafana promise, asked of the programs that will read them: promtool, amtool, and a real
Prometheus that watches a real deployment."""

import json
import os
import re
import shutil
import subprocess
import tempfile
import time
import unittest
import urllib.parse
import urllib.request

from harness import LIMIT, USER, Case, Process, eventually, free_port, http_get, main, pathlib
from watching import kill, replaced, wait_up

TOP = pathlib.Path(__file__).resolve().parents[2]
PROMETHEUS = TOP / "deploy" / "prometheus"
DASHBOARD = TOP / "deploy" / "grafana" / "katana.json"
RULES = (PROMETHEUS / "alerts.yml").read_text()
ALERTS = re.findall(r"- alert: (\w+)", RULES)
# The sandbox is reached without TLS: there are no certificates to tell of.
NOT_HERE = {"katana_certificate_expiry_timestamp_seconds"}
PRICES = '[[model]]\nid = "{}"\nprice_input = 3.0\nprice_output = 15.0\n'


def panels():
    """(title, expression) of each query that a panel makes."""
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]


def as_asked(expression):
    """What Grafana makes of a panel's query with these variables."""
    return expression.replace("$__rate_interval", "1m").replace("$deployment", ".*")


class Files(unittest.TestCase):
    def accepted(self, *command):
        done = subprocess.run(command, cwd=PROMETHEUS, capture_output=True, text=True, timeout=LIMIT)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def test_prometheus_takes_its_files(self):
        self.assertNotIn("WARNING", self.accepted("promtool", "check", "config", "prometheus.yml"))
        self.assertNotIn("WARNING", self.accepted("promtool", "check", "rules", "alerts.yml"))

    def test_each_rule_fires_when_it_should_and_only_then(self):
        files = sorted(PROMETHEUS.glob("alerts*_test.yml"))
        self.accepted("promtool", "test", "rules", *files)
        cases = "".join(file.read_text() for file in files)
        for alert in ALERTS:
            self.assertIn(f"- name: {alert} fires\n", cases)
            self.assertRegex(cases, f"- name: {alert} stays quiet")

    def test_alertmanager_takes_its_file_and_knows_the_rules(self):
        self.accepted("amtool", "check-config", "alertmanager.yml")
        example = (PROMETHEUS / "alertmanager.yml").read_text()
        for name in re.findall(r"Katana[A-Z]\w+", example):
            self.assertIn(name, ALERTS)
        for secret in re.findall(r"^\s*(\w*(?:password|token|key|credentials)\w*):", example, re.M):
            self.assertTrue(secret.endswith("_file"), f"{secret}: a secret stands in a file of its own")

    def test_each_rule_says_what_to_do(self):
        anchors = set(re.findall(r"^## (\w+)$", (TOP / "docs" / "alerts.md").read_text(), re.M))
        self.assertEqual(anchors, set(ALERTS))
        for rule in RULES.split("- alert: ")[1:]:
            name = rule.split("\n", 1)[0]
            for part in ("summary: ", "description: ", f"runbook_url: docs/alerts.md#{name.lower()}\n"):
                self.assertIn(part, rule, name)
            self.assertRegex(rule, r"severity: (critical|warning), kind: (cause|symptom)", name)

    def test_the_dashboard_is_complete(self):
        dashboard = json.loads(DASHBOARD.read_text())
        ids = [panel["id"] for panel in dashboard["panels"]]
        self.assertEqual(len(ids), len(set(ids)))
        self.assertEqual([v["name"] for v in dashboard["templating"]["list"]], ["datasource", "deployment"])
        self.assertEqual(dashboard["time"], {"from": "now-1h", "to": "now"})
        places = set()
        for panel in dashboard["panels"]:
            at = panel["gridPos"]
            cells = {(column, line) for column in range(at["x"], at["x"] + at["w"])
                     for line in range(at["y"], at["y"] + at["h"])}
            self.assertFalse(places & cells, f"{panel['title']} lies over another one")
            self.assertLessEqual(at["x"] + at["w"], 24)
            places |= cells
            if panel["type"] == "row":
                continue
            self.assertEqual(panel["datasource"]["uid"], "${datasource}")
            for target in panel["targets"]:
                self.assertIn('deployment=~"$deployment"', target["expr"])
                self.assertTrue(target["legendFormat"])


class Silences(unittest.TestCase):
    """Debian's Alertmanager with our example: what it keeps to itself while something else is told."""

    def test_symptoms_wait_behind_their_cause(self):
        directory = pathlib.Path(tempfile.mkdtemp(prefix="katana-"))
        self.addCleanup(shutil.rmtree, directory, ignore_errors=True)
        example = (PROMETHEUS / "alertmanager.yml").read_text()
        self.assertIn("group_wait: 10s", example)
        (directory / "alertmanager.yml").write_text(example.replace("group_wait: 10s", "group_wait: 1h"))  # nothing is sent
        address = f"127.0.0.1:{free_port()}"
        process = Process("alertmanager", ["prometheus-alertmanager", "--config.file", directory / "alertmanager.yml",
                                           "--storage.path", directory / "data", "--web.listen-address", address,
                                           "--cluster.listen-address", ""], {"PATH": os.environ["PATH"]}, directory)
        self.addCleanup(process.stop)
        eventually("Alertmanager is ready", lambda: http_get(f"http://{address}/-/ready")[0] == 200)

        def told(*alerts, role="gateway"):
            """The names of those that would be told, of these `(name, deployment)`; `role` is that of what is down."""
            body = [{"labels": {"alertname": name, "deployment": where, **labels_of(name),
                                **({"role": role} if name == "KatanaProcessDown" else {})}} for name, where in alerts]
            request = urllib.request.Request(f"http://{address}/api/v2/alerts", json.dumps(body).encode(),
                                             {"Content-Type": "application/json"})
            urllib.request.urlopen(request, timeout=LIMIT).close()
            wanted = {(name, where): labels_of(name)["severity"] for name, where in alerts}

            def judged():
                known = {(a["labels"]["alertname"], a["labels"]["deployment"]): a["status"]
                         for a in json.loads(http_get(f"http://{address}/api/v2/alerts")[1])}
                return known if all(known.get(a, {}).get("state") in ("active", "suppressed") for a in wanted) else None
            known = eventually("all are judged", judged)
            return {a for a in wanted if not known[a]["inhibitedBy"]}

        far = [("KatanaQueueOld", "far")]
        self.assertEqual(told(*far, ("KatanaChannelFailing", "a")), {*far, ("KatanaChannelFailing", "a")})
        down = [("KatanaProcessDown", "b"), ("KatanaDeadLetters", "b")]
        self.assertEqual(told(*far, *down, ("KatanaQueueOld", "b"), ("KatanaNoAnswers", "b"), ("KatanaIncidentOpen", "b")),
                         {*far, *down})
        worker = [("KatanaProcessDown", "d"), ("KatanaNoAnswers", "d")]
        self.assertEqual(told(*far, *worker, role="claude"), {*far, *worker}, "another provider's askers may wait for another reason")
        unheard = [("KatanaNobodyIsTold", "e"), ("KatanaIncidentOpen", "e"), ("KatanaProcessUnhealthy", "e")]
        self.assertEqual(told(*far, *unheard), {*far, *unheard}, "then Prometheus is the one that tells")
        gone = [("KatanaWatchdogAbsent", "c")]
        self.assertEqual(told(*far, *gone, ("KatanaProcessDown", "c"), ("KatanaQueueOld", "c")), {*far, *gone})


def labels_of(alert):
    severity, kind = re.search(rf"- alert: {alert}\n(?:.*\n)*?.*severity: (\w+), kind: (\w+)", RULES).groups()
    return {"severity": severity, "kind": kind}


class Watched(Case):
    """A deployment with people in it, and Debian's Prometheus, set up by our files but for addresses and pace."""

    def prometheus(self):
        place = self.d.directory / "prometheus"
        place.mkdir()
        for name in ("prometheus.yml", "alerts.yml"):
            shutil.copy(PROMETHEUS / name, place)
        ours = (place / "prometheus.yml").read_text()
        for of_the_file, here in (("127.0.0.1:9780", self.d.watchdog_http), ("_interval: 15s", "_interval: 1s"),
                                  ("127.0.0.1:9093", f"127.0.0.1:{free_port()}")):
            self.assertIn(of_the_file, ours)
            ours = ours.replace(of_the_file, here)
        (place / "prometheus.yml").write_text(ours)
        self.address = f"127.0.0.1:{free_port()}"
        process = Process("prometheus", ["prometheus", "--config.file", place / "prometheus.yml",
                                         "--storage.tsdb.path", place / "data", "--web.listen-address", self.address,
                                         "--log.level", "warn"], {"PATH": self.d.env["PATH"]}, self.d.directory)
        self.d.processes.append(process)  # ended with the others
        eventually("Prometheus is ready", lambda: http_get(f"http://{self.address}/-/ready")[0] == 200)

    def api(self, path, **query):
        status, text = http_get(f"http://{self.address}/api/v1/{path}?" + urllib.parse.urlencode(query))
        answer = json.loads(text)
        self.assertEqual((status, answer["status"]), (200, "success"), f"{query}: {text}")
        return answer["data"]

    def query(self, expression):
        return self.api("query", query=expression)["result"]

    def conversation(self):
        """Something of everything that the panels show."""
        self.sandbox.script(answer="From one.", match="To one", count=-1)
        for command in ("/claude", "/openai"):
            self.sandbox.say(command)
            asked = self.d.metric("katana_answers_total")
            self.sandbox.say("To one")
            eventually("answered", lambda before=asked: self.d.metric("katana_answers_total") > before)
        self.sandbox.script(provider="openai", error={"status": 400, "type": "invalid_request_error", "message": "no"})
        self.d.ask("A bad one", "refused the request")
        self.sandbox.say("Let me in", chat=USER + 1)

    def test_panels_and_rules_have_what_they_ask_for(self):
        table = self.d.directory / "models.toml"
        table.write_text(PRICES.format("claude-sonnet-5-5") + PRICES.format("gpt-6.1-terra"))
        self.d.set(KATANA_MODELS=table)
        self.d.up()
        pids = wait_up(self.d)
        self.prometheus()
        eventually("it has looked", lambda: len(self.query("katana_up")) == len(pids))
        self.conversation()

        def without_data():
            left = sorted({title for title, expression in panels() if not self.query(as_asked(expression))})
            return not left or fail(left)

        def fail(left):
            raise ValueError(f"no data: {left}")
        eventually("each panel has data", without_data)
        names = set(self.api("label/__name__/values"))
        for text in (RULES, DASHBOARD.read_text()):
            self.assertEqual(set(re.findall(r"\bkatana_\w+", text)) - names - NOT_HERE, set(), "nobody tells these")

        rules = [rule for group in self.api("rules")["groups"] for rule in group["rules"]]
        self.assertEqual(sorted(rule["name"] for rule in rules if rule["type"] == "alerting"), sorted(ALERTS))
        eventually("each rule was judged", lambda: all(
            rule["health"] == "ok" for group in self.api("rules")["groups"] for rule in group["rules"]))
        for rule in rules:
            self.query(rule["query"])
        # The disk of whoever runs this is none of our business here.
        self.assertEqual(self.query('ALERTS{alertstate="firing", alertname!~"KatanaDisk.*"}'), [])
        self.deaths(pids["claude-1"])

    def deaths(self, pid):
        """One death is mended before anybody looks; the third takes the worker away for a second or two."""
        for _ in range(4):
            kill(pid)
            pid = replaced(self.d, "claude-1", pid)
        of_it = '{process="claude-1", deployment="main"}'
        eventually("its restarts are seen", lambda: self.query(f"increase(katana_restarts_total{of_it}[1m]) > 2"))
        eventually("its absence is seen", lambda: self.query(f"min_over_time(katana_up{of_it}[1m]) == 0"))
        eventually("its return is seen", lambda: self.query(f"katana_up{of_it} == 1"))
        self.assertEqual(self.query('min_over_time(katana_up{process="gateway"}[1m]) == 0'), [])
        eventually("the incidents are seen", lambda: self.query("sum(increase(katana_incidents_total[1m])) > 0"))
        samples = self.api("query_range", query=f"katana_up{of_it}", start=time.time() - 60, end=time.time(), step=1)
        self.assertEqual({value for _, value in samples["result"][0]["values"]}, {"0", "1"})


if __name__ == "__main__":
    main()
