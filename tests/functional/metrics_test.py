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
