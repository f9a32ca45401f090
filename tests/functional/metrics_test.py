"""What monitors see: metrics that promtool accepts, /health, and the heartbeat file with `katana check-heartbeat`."""

import os
import re
import signal
import stat
import subprocess
import time

from harness import USER, Case, eventually, http_get, main
from watching import ALL, in_chat, in_mail, kill, told, wait_up


def promtool(text):
    """What `promtool check metrics` has to say against it."""
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, timeout=60)
    return done.stdout + done.stderr + ("" if done.returncode == 0 else f"exit status {done.returncode}")


def samples(text):
    """(name, {label: value}, value) of each sample."""
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, labels, value = re.fullmatch(r"([a-zA-Z_:]\w*)(?:\{(.*)\})? (\S+)", line).groups()
            yield name, dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', labels or "")), float(value)


class Metrics(Case):
    def test_all_pages_pass_promtool_and_name_nobody(self):
        self.d.up()
        pids = wait_up(self.d)
        for provider, command in (("anthropic", "/claude"), ("openai", "/openai")):
            self.sandbox.say(command)
            self.sandbox.script(provider=provider, answer=f"An answer of {provider}.")
            self.d.ask("A question", f"An answer of {provider}.")
        self.sandbox.script(provider="openai", error={"status": 400, "type": "invalid_request_error", "message": "no"})
        self.d.ask("A bad question", "refused the request")
        kill(pids["claude-1"])
        told(self.d, "RESOLVED", "claude-1")

        def all_there():
            text = http_get(f"http://{self.d.watchdog_http}/metrics")[1]
            told_by = {(name, labels.get("instance")): value for name, labels, value in samples(text)}
            ready = all(told_by.get(("katana_ready", name)) == 1 for name in (*ALL, "watchdog"))
            return text if ready and told_by.get(("katana_questions_total", "gateway")) == 3 else None
        merged = eventually("the watchdog's page knows all of it", all_there)
        own = http_get(f"http://{self.d.gateway_http}/metrics")[1]
        for text in (own, merged):
            self.assertEqual(promtool(text), "")
            for name, labels, _ in samples(text):
                self.assertTrue(name.startswith("katana_"), name)
                self.assertFalse({"user", "user_id", "chat", "chat_id"} & labels.keys(), labels)
                self.assertNotIn(str(USER), labels.values())
        of_all = list(samples(merged))
        self.assertEqual({labels["process"]: value for name, labels, value in of_all if name == "katana_up"},
                         {name: 1 for name in ALL})
        self.assertEqual({labels["process"]: value for name, labels, value in of_all if name == "katana_restarts_total"},
                         {"gateway": 0, "claude-1": 1, "openai-1": 0})
        self.assertTrue(all({"component", "instance"} <= labels.keys() for _, labels, _ in of_all),
                        "each sample says whose it is")

    def test_promtool_objects_to_what_is_wrong(self):
        self.assertNotEqual(promtool("katana_things 1\n"), "", "without HELP")
        self.assertNotEqual(promtool("not metrics at all\n"), "")


def figures(text, *labels):
    """{(name, value of each of these labels): value}, histograms by their count."""
    return {(name.removesuffix("_count"), *(of.get(label) for label in labels)): value
            for name, of, value in samples(text) if not name.endswith(("_bucket", "_sum"))}


class Figures(Case):
    """Each name that rules and dashboards stand on, and that it counts what it says."""

    def gateway(self, *labels):
        return figures(http_get(f"http://{self.d.gateway_http}/metrics")[1], *labels)

    def all(self, *labels):
        return figures(http_get(f"http://{self.d.watchdog_http}/metrics")[1], *labels)

    def test_a_question_is_counted_timed_and_priced(self):
        prices = self.d.directory / "models.toml"
        prices.write_text('[[model]]\nid = "claude-sonnet-5-5"\nprice_input = 3.0\nprice_output = 15.0\n')
        self.d.set(KATANA_MODELS=prices)
        self.d.up()
        self.d.ask("[[tokens=3 token_ms=200 end=DONE]] a question", "DONE")
        eventually("it is delivered", lambda: self.gateway("outcome")[("katana_answers_total", "delivered")] == 1)
        now = self.gateway()
        self.assertEqual((now[("katana_first_text_seconds",)], now[("katana_answer_seconds",)]), (1, 1))
        sums = {name: value for name, _, value in samples(http_get(f"http://{self.d.gateway_http}/metrics")[1])
                if name.endswith("_sum")}
        self.assertLess(0, sums["katana_first_text_seconds_sum"])
        self.assertLess(sums["katana_first_text_seconds_sum"] + 0.2, sums["katana_answer_seconds_sum"])
        self.assertEqual(self.gateway("kind")[("katana_updates_total", "message")], 1)
        tokens = self.gateway("provider", "model", "kind")
        used = {kind: tokens[("katana_tokens_total", "claude", "claude-sonnet-5-5", kind)]
                for kind in ("input", "output", "cache_read", "cache_write")}
        self.assertGreater(used["input"], 0)
        self.assertEqual((used["output"], used["cache_read"]), (3, 0))
        spend = self.gateway("model")
        self.assertAlmostEqual(spend[("katana_spend_usd_total", "claude-sonnet-5-5")],
                               (used["input"] * 3 + 3 * 15) / 1e6)
        self.assertNotIn(("katana_spend_usd_total", "claude-opus-5-5"), spend, "no price is known")

        def at_the_worker():
            of_each = self.all("provider", "outcome")
            return of_each[("katana_provider_requests_total", "claude", "answered")] == 1 and of_each
        of_each = eventually("the watchdog knows of it", at_the_worker)
        self.assertEqual(of_each[("katana_provider_requests_total", "claude", "overloaded")], 0, "there before it comes")
        self.assertEqual(self.all("provider")[("katana_provider_latency_seconds", "claude")], 1)
        self.assertEqual(self.all("provider")[("katana_provider_first_text_seconds", "claude")], 1)
        self.assertLess(self.all()[("katana_poll_lag_seconds",)], 60)
        self.assertGreater(self.gateway()[("katana_store_disk_size_bytes",)], 0)
        self.assertEqual(self.gateway()[("katana_store_ok",)], 1)

    def test_failures_are_counted_by_what_they_are(self):
        self.d.serve("claude")
        self.sandbox.script(error={"status": 400, "type": "invalid_request_error", "message": "no"})
        self.d.ask("A bad question", "refused the request")
        self.assertEqual(self.gateway("provider", "code")[("katana_job_failures_total", "claude", "rejected")], 1)
        before = self.gateway("code")
        self.sandbox.fault(method="sendMessage", kind="429", retry_after=2, count=1)
        self.sandbox.script(answer="After the pause.")
        self.d.ask("And now?", "After the pause.")
        self.assertEqual(self.gateway()[("katana_telegram_flood_wait_seconds_total",)], 2)
        after = self.gateway("code")
        changed = {key[1] for key in after if key[0] == "katana_telegram_errors_total" and after[key] != before[key]}
        self.assertEqual(changed, {"rate_limited"})

    def test_incidents_and_alerts(self):
        self.d.up()
        pids = wait_up(self.d)
        kill(pids["claude-1"])
        told(self.d, "RESOLVED", "claude-1")
        eventually("both notices went by both channels",
                   lambda: all(self.all("channel")[("katana_alerts_sent_total", c)] == 2 for c in ("telegram", "email")))
        by_channel = self.all("channel")
        for name in ("waiting", "failing", "dropped_total"):
            self.assertEqual([by_channel[(f"katana_alerts_{name}", c)] for c in ("telegram", "email")], [0, 0], name)
        by_severity = self.all("severity")
        self.assertEqual(sum(by_severity[("katana_incidents_total", s)] for s in ("warning", "critical")), 1)
        self.assertEqual(sum(by_severity[("katana_incidents_open", s)] for s in ("warning", "critical")), 0)
        self.assertEqual(self.all()[("katana_alert_channels",)], 2)


class Canaries(Case):
    """What people write, who they are, and what is secret stands in no metric, whatever way it took."""

    ASKER, STRANGER, GROUP = 7_351_942_681, 7_351_942_682, -1_007_351_942_683
    settings = {"KATANA_ALLOWED_USERS": ASKER}

    def test_nobody_and_no_word_is_named(self):
        words = iter(f"canary{n}" for n in range(100))
        people = {"first_name": next(words), "username": next(words), "language": "en"}
        self.d.up()
        pids = wait_up(self.d)
        say = self.sandbox.say
        self.sandbox.script(answer=f"An answer with {next(words)}.", count=1)
        say(f"A question with {next(words)}", chat=self.ASKER, **people)
        self.sandbox.wait_text("An answer with", chat=self.ASKER)
        # A provider that repeats what it was asked, one that breaks off, commands, buttons, strangers, groups.
        for error in ({"status": 400, "type": next(words), "message": f"no {next(words)}"},
                      {"status": 429, "type": "rate_limit_error", "message": next(words)}):
            self.sandbox.script(error=error)
            say(f"Another with {next(words)}", chat=self.ASKER)
        say(f"/model {next(words)}", chat=self.ASKER)
        say(f"/{next(words)} {next(words)}", chat=self.ASKER)
        say(f"A stranger's {next(words)}", chat=self.STRANGER, first_name=next(words), username=next(words))
        say(f"/new {next(words)}", chat=self.GROUP, user=self.ASKER, type="supergroup", title=next(words))
        say(f"Talk of {next(words)}", chat=self.GROUP, user=self.STRANGER)
        self.sandbox.post("update", kind=next(words), payload={"id": next(words)})
        self.sandbox.post("update", kind="callback_query", payload={
            "id": "1", "data": next(words), "from": {"id": self.ASKER, "is_bot": False, "first_name": next(words)}})
        kill(pids["claude-1"])
        told(self.d, "RESOLVED", "claude-1")
        eventually("all of it has come to something", lambda: (
            self.d.metric("katana_updates_ignored_total") >= 2 and
            self.d.metric("katana_answers_total") == 3 and
            self.d.metric('katana_updates_total{kind="unknown"}') >= 1 and
            self.d.metric("katana_jobs_in_flight") == 0))
        asked = self.d.metric("katana_questions_total")

        def told_of_all():
            text = http_get(f"http://{self.d.watchdog_http}/metrics")[1]
            return text if figures(text).get(("katana_questions_total",)) == asked else None
        pages = (eventually("the watchdog knows of it", told_of_all),
                 http_get(f"http://{self.d.gateway_http}/metrics")[1])
        secrets = [value for name, value in self.d.env.items() if name.endswith(("_TOKEN", "_KEY"))]
        for page in pages:
            self.assertNotIn("canary", page.lower())
            for word in (self.ASKER, self.STRANGER, abs(self.GROUP), *secrets):
                self.assertNotIn(str(word), page)
            for part in (secret.split(":")[-1] for secret in secrets):
                self.assertNotIn(part, page)
        self.assertEqual(promtool(pages[0]), "")


class Health(Case):
    def test_a_refused_token_is_unhealthy_told_and_resolved(self):
        self.d.up()
        pids = wait_up(self.d)
        self.assertEqual(self.d.health()[0], 200)
        self.sandbox.post("bot", bot=self.d.env["KATANA_TELEGRAM_TOKEN"], revoked=True)
        self.sandbox.script(answer="Late, but here.")
        self.sandbox.say("Anybody there?")
        # The send and the poll are refused each for itself, in either order.
        health = eventually("/health says 503 and why", lambda: (h := self.d.health())[0] == 503 and not h[1]["polling_active"] and h[1])
        self.assertFalse(health["healthy"])
        self.assertIn("KATANA_TELEGRAM_TOKEN", health["reason"])
        self.assertEqual(http_get(f"http://{self.d.gateway_http}/live")[0], 200, "its loop turns")
        told(self.d, "CRITICAL", "gateway is unhealthy", "Telegram refuses the token (401)")
        self.assertEqual(wait_up(self.d)["gateway"], pids["gateway"], "a restart would mend nothing")

        self.sandbox.post("bot", bot=self.d.env["KATANA_TELEGRAM_TOKEN"], revoked=False)
        kill(pids["gateway"], signal.SIGHUP)
        eventually("/health says 200", lambda: self.d.health()[0] == 200)
        told(self.d, "RESOLVED", "gateway is unhealthy", "lasted")
        self.sandbox.wait_text("Late, but here.")
        for texts in (in_chat(self.d), in_mail(self.d)):
            self.assertEqual(len(texts), 2, texts)

    def test_check_process_tells_up_from_not(self):
        katana = self.d.up()
        wait_up(self.d)
        for name in (*ALL, "claude", "watchdog"):
            status, out, err = self.d.command("check-process", name)
            self.assertEqual((status, err), (0, ""), name)
            self.assertRegex(out, r"^OK: ")
        status, out, err = self.d.command("check-process", "claude-7")
        self.assertEqual((status, out), (1, ""))
        self.assertRegex(err, "^CRITICAL: claude-7")
        self.assertEqual(katana.stop(), 0)


class Heartbeat(Case):
    def check(self, *options):
        return self.d.command("check-heartbeat", *options)

    def test_the_file_is_fresh_while_the_gateway_gets_on_and_only_then(self):
        self.d.up()
        pids = wait_up(self.d)
        file = self.d.directory / "state" / "katana_heartbeat.txt"
        eventually("the heartbeat file", file.exists)
        self.assertLess(abs(int(file.read_text()) - time.time()), 30)
        self.assertEqual(stat.S_IMODE(file.stat().st_mode), 0o644)
        status, out, err = self.check()
        self.assertEqual((status, err), (0, ""))
        self.assertRegex(out, r"^OK: .*\d+ seconds old \(threshold 120\)\n$")
        before = file.stat().st_mtime_ns
        eventually("it is written again", lambda: file.stat().st_mtime_ns > before)
        kill(pids["gateway"], signal.SIGSTOP)
        os.utime(file, (0, 0))
        file.write_text(str(int(time.time()) - 121))
        self.assertEqual(self.check()[0], 1)
        eventually("another gateway mends it", lambda: self.check()[0] == 0)

    def test_a_file_that_cannot_be_written_is_told_once_and_is_ill(self):
        place = self.d.directory / "beats"
        place.mkdir()
        self.d.set(KATANA_HEARTBEAT_FILE=place / "beat.txt")
        self.d.up()
        eventually("the heartbeat file", (place / "beat.txt").exists)
        (place / "beat.txt").unlink()
        aside = place.rename(self.d.directory / "aside")
        words = "the heartbeat file can't be written"
        eventually("it is ill", lambda: words in http_get(f"http://{self.d.gateway_http}/health")[1])
        self.assertEqual(http_get(f"http://{self.d.gateway_http}/health")[0], 503)
        aside.rename(place)
        eventually("it is well", lambda: http_get(f"http://{self.d.gateway_http}/health")[0] == 200)
        log = self.d.katana.log()
        self.assertEqual((log.count("Health: " + words), log.count("heartbeat file is written again")), (1, 1))

    def test_the_file_can_be_elsewhere(self):
        file = self.d.directory / "elsewhere.txt"
        self.d.set(KATANA_HEARTBEAT_FILE=file)
        self.d.up()
        eventually("the heartbeat file", file.exists)
        self.assertEqual(self.check()[0], 0)

    def test_each_way_of_being_critical(self):
        file = self.d.directory / "beat.txt"
        now = int(time.time())

        def critical(words, content=None):
            if content is not None:
                file.write_text(content)
            status, out, err = self.check("--file", str(file))
            self.assertEqual((status, out), (1, ""))
            self.assertRegex(err, rf"\ACRITICAL: [^\n]*{words}[^\n]*\n\Z")
            self.assertIn(str(file), err, "it names the file")

        critical("is not there")
        critical("is empty", "")
        critical("is empty", " \n")
        critical("holds no timestamp", "alive\n")
        critical("holds no timestamp", f"{now} seconds\n")
        critical("holds no timestamp", "-5\n")
        critical("is stale", f"{now - 1000}\n")
        critical("in the future", f"{now + 1000}\n")
        critical("can't be read", "9" * 100_000)
        file.unlink()
        file.mkdir()
        critical("can't be read")
        file.rmdir()

        file.write_text(f"{now - 200}\n")
        self.assertEqual(self.check("--file", str(file), "--threshold", "3600")[0], 0)
        self.assertEqual(self.check("--file", str(file), "--threshold", "100")[0], 1)
        file.write_text(f"{now}.25\n")
        self.assertEqual(self.check("--file", str(file))[0], 0, "a fraction of a second is no harm")
        self.assertEqual(self.check("--threshold", "soon")[0], 2)
        self.assertEqual(in_chat(self.d) + in_mail(self.d), [], "without --alert nobody is told")

    def test_alert_tells_through_the_channels_itself(self):
        status, _, err = self.check("--alert")
        self.assertEqual(status, 1)
        self.assertIn("CRITICAL", err)
        notice = told(self.d, "CRITICAL", "heartbeat file", "is not there")
        self.assertIn("check-heartbeat", notice)


if __name__ == "__main__":
    main()
