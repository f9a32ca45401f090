"""What people on duty can do: the ops chat's buttons and commands, silences at the command line, the dead-man switch."""

import http.server
import json
import signal
import threading

from harness import ALERT_TOKEN, OPS_CHAT, Case, eventually, main
from watching import in_chat, in_mail, kill, pid_of_program, replaced, told, wait_up

ON_DUTY = OPS_CHAT  # the ops chat of the tests is somebody's private chat
STRANGER = 666


class OpsChat(Case):
    def setUp(self):
        super().setUp()
        self.d.set(KATANA_OPS_USERS=ON_DUTY)
        self.katana = self.d.up()
        self.pids = wait_up(self.d)

    def write(self, text, user=ON_DUTY, chat=OPS_CHAT):
        self.sandbox.say(text, chat=chat, user=user, bot=ALERT_TOKEN)

    def answered(self, *words):
        return eventually(f"an answer with {words}", lambda: next(
            (t for t in in_chat(self.d) if all(w in t for w in words)), None))

    def page(self, name="claude-1", number=signal.SIGSTOP):
        """Has something to tell; the message of it, with its buttons."""
        kill(self.pids[name], number)
        told(self.d, "CRITICAL", name)
        return next(m for m in self.sandbox.messages(OPS_CHAT, ALERT_TOKEN) if "CRITICAL" in m["text"])

    def press(self, message, button, user=ON_DUTY):
        return self.sandbox.post("press", chat=OPS_CHAT, bot=ALERT_TOKEN, message_id=message["message_id"],
                                 button=button, user=user)

    def incident(self):
        return next((i for i in self.d.status()["incidents"] + self.d.status()["history"]), None)

    def test_commands_of_those_on_duty(self):
        self.write("/status")
        self.answered("claude-1: up", "gateway: up", "no open incident")
        self.write("/silence openai 2h")
        self.answered("Silenced: openai until ")
        self.write("/silence openai soon")
        self.answered("Not done: ", "30m, 2h or 7d")
        kill(self.pids["openai-1"])
        replaced(self.d, "openai-1", self.pids["openai-1"])
        self.write("/unsilence openai")
        self.answered("The silence of openai is over")
        self.write("/incidents")
        self.answered("no open incident", "openai-1 is down: killed by signal 9")
        self.assertEqual([t for t in in_chat(self.d) if "CRITICAL" in t], [], "it was silenced")
        self.write("/ack")
        self.answered("nothing waits to be acknowledged")
        self.write("/restart nobody-7")
        self.answered("Not done: there is no process nobody-7")
        self.write("/what")
        self.answered("/silence WHAT [2h]")

    def test_a_restart_by_command_is_in_good_order_and_pages_nobody(self):
        self.write("/restart claude-1")
        self.answered("Restarting claude-1")
        replaced(self.d, "claude-1", self.pids["claude-1"])
        self.assertNotIn("claude-1 is down", "".join(in_chat(self.d)))

    def test_buttons(self):
        page = self.page("gateway", signal.SIGKILL)
        self.press(page, "Status")
        self.answered("gateway: ")
        told(self.d, "RESOLVED", "gateway")
        self.press(page, "Ack")
        self.answered("Not done: that is over: gateway is down")
        self.press(page, "Restart gateway")
        self.answered("Restarting gateway")

    def test_acknowledge_and_silence_by_button(self):
        self.d.set(ANTHROPIC_API_KEY_FILE=self.d.directory / "key", ANTHROPIC_API_KEY=None)
        key = self.d.directory / "key"
        key.write_text("tests-anthropic-key")
        key.chmod(0o600)
        self.katana.stop()
        self.d.up()
        self.pids = wait_up(self.d)
        key.chmod(0o644)  # its worker refuses to start with that
        kill(self.pids["claude-1"])
        told(self.d, "CRITICAL", "claude-1 does not start, a setting is wrong")
        page = next(m for m in self.sandbox.messages(OPS_CHAT, ALERT_TOKEN) if "does not start" in m["text"])
        self.press(page, "Ack")
        self.answered("Acknowledged: claude-1 does not start")
        acknowledged = eventually("it is kept", lambda: next(
            (i for i in self.d.status()["incidents"] if i.get("acknowledged_ms")), None))
        self.press(page, "Silence 1 h")
        self.answered("Silenced: setting:claude-1 until ")
        self.assertEqual([s["what"] for s in self.d.status()["silences"]], ["setting:claude-1"])
        # Both outlive the watchdog, once they are written down.
        kept = self.d.directory / "state/watchdog/incidents.json"
        eventually("they are", lambda: (s := json.loads(kept.read_text())["silences"]) and s[0]["what"] == "setting:claude-1")
        kill(pid_of_program(self.d, "katana-watchdog"))
        told(self.d, "RESOLVED", "watchdog")
        again = eventually("its successor knows of both", lambda: next(
            (i for i in self.d.status()["incidents"] if i.get("acknowledged_ms") and i["silenced"]), None))
        self.assertEqual(again["id"], acknowledged["id"])
        key.chmod(0o600)
        status, out, err = self.d.command("restart", "claude-1")
        self.assertEqual(status, 0, out + err)
        told(self.d, "RESOLVED", "claude-1 does not start")

    def test_strangers_get_nothing_and_are_logged(self):
        self.sandbox.post("chat", chat=STRANGER, type="private", bot=ALERT_TOKEN)
        page = self.page("openai-1", signal.SIGKILL)
        told(self.d, "RESOLVED", "openai-1")
        before = len(in_chat(self.d))
        self.write("/status", user=STRANGER, chat=STRANGER)
        self.write("/restart gateway", user=STRANGER, chat=STRANGER)
        self.press(page, "Restart openai-1", user=STRANGER)
        eventually("it is in the log", lambda: f"Telegram user {STRANGER} in chat" in self.katana.log())
        self.write("/status")
        self.answered("openai-1: ")  # behind theirs: all three have been read
        self.assertEqual(len(in_chat(self.d)), before + 1)
        self.assertEqual(self.sandbox.texts(STRANGER, ALERT_TOKEN), [])
        self.assertEqual(self.sandbox.record(call="answerCallbackQuery", bot=ALERT_TOKEN), [])
        self.assertEqual(self.d.pid_of("gateway"), self.pids["gateway"])

    def test_a_second_poller_is_told_by_mail(self):
        def poll():
            return self.sandbox.telegram("getUpdates", ALERT_TOKEN, timeout=1)
        eventually("the watchdog says that somebody else polls", lambda: poll() and any(
            "the alert bot can't be asked" in s for s in self.mails()))

    def mails(self):
        return [m["data"].replace("\r\n ", " ") for m in self.sandbox.mails()]


class CommandLine(Case):
    def test_silence_ack_and_restart(self):
        self.d.up()
        pids = wait_up(self.d)
        status, out, err = self.d.command("silence", "all", "--for", "10m")
        self.assertEqual((status, err), (0, ""))
        self.assertRegex(out, r"^Silenced: all until \d{4}-\d\d-\d\d")
        kill(pids["claude-1"])
        pids["claude-1"] = replaced(self.d, "claude-1", pids["claude-1"])
        self.assertIn("silenced until", self.d.command("status")[1])
        self.assertEqual(self.d.command("unsilence", "all")[0], 0)
        self.assertEqual(self.d.command("unsilence", "all")[0], 1)
        self.assertEqual(self.d.command("silence", "all", "--for", "ever")[0], 1)
        self.assertEqual(self.d.command("ack", "nothing")[0], 1)
        self.assertEqual(self.d.command("restart", "claude-1")[0], 0)
        replaced(self.d, "claude-1", pids["claude-1"])
        self.assertEqual(in_chat(self.d), [], "silenced, and in good order")

    def test_status_is_watched_until_it_is_ended(self):
        self.d.up()
        wait_up(self.d)
        watch = self.d.start("katana", "status", "--watch", name="watch")
        eventually("it is shown again", lambda: watch.log().count("PROCESS") >= 2)
        self.assertIn("claude-1  up", watch.log())
        self.assertIn("no dead-man URL is set", watch.log())
        self.d.set(TELEGRAM_ALERT_BOT_TOKEN=None, TELEGRAM_ALERT_CHAT_ID=None, SMTP_URL=None, SMTP_CA_FILE=None,
                   ALERT_EMAIL_FROM=None, ALERT_EMAIL_TO=None)
        self.d.katana.stop()
        self.d.up()
        eventually("nobody will be told", lambda: "nobody will be told" in watch.log())
        watch.signal(signal.SIGINT)
        watch.wait()

    def test_outside_katana_up_the_answer_is_what_to_type(self):
        self.d.serve()
        self.d.start("katana-watchdog", KATANA_EXPECT="gateway,claude:1,openai:1")
        wait_up(self.d, ("gateway", "claude", "openai"))
        status, out, err = self.d.command("restart", "claude")
        self.assertEqual((status, out), (1, ""))
        self.assertIn("systemctl restart katana-claude", err)
        self.assertIn("docker-compose restart claude", err)


class Earlier(Case):
    def test_what_was_told_of_things_that_are_no_longer_set_is_over(self):
        katana = self.d.up()
        kill(wait_up(self.d)["claude-1"])
        told(self.d, "RESOLVED", "claude-1")
        katana.stop()
        kept = self.d.directory / "state/watchdog/incidents.json"
        book = json.loads(kept.read_text())
        for key in ("dead-man", "channel:webhook", "ops-chat"):
            name = "earlier" + key.replace(":", "")
            incident = {**book["history"][0], "id": name, "thread": name, "key": key, "title": f"earlier: {key}", "except": "",
                        "component": "channel" if ":" in key or key == "ops-chat" else "watchdog", "where": key.split(":")[-1]}
            del incident["resolved_ms"]
            book["open"].append(incident)
        kept.write_text(json.dumps(book))
        self.d.set(TELEGRAM_ALERT_BOT_TOKEN=None, TELEGRAM_ALERT_CHAT_ID=None)
        self.d.up()
        for key in ("dead-man", "channel:webhook", "ops-chat"):
            eventually(f"the end of {key} is told", lambda: any(
                subject.startswith(f"[katana] RESOLVED earlier: {key}") for subject in in_mail(self.d)))
        self.assertEqual(self.d.status()["incidents"], [])


class Drill(Case):
    def test_it_shows_page_answer_and_resolution(self):
        self.d.up()
        wait_up(self.d)
        self.sandbox.script(provider="anthropic", match="story", count=2, tokens=60, token_ms=50, answer="A long story. The end.")
        self.sandbox.say("Tell me a long story")
        status, out, err = self.d.command("drill")
        self.assertEqual((status, err), (0, ""), out)
        self.assertIn("telegram: sent: ", out)
        for line in (r"0\.000 s  claude-1 \(process \d+\) was killed while it wrote the answer of 1-", r" s  incident \w+: claude-1 is down: killed by signal 9",
                     r" s  the page was taken by telegram", r" s  the page was taken by email", r" s  claude-1 is back, as process \d+",
                     r" s  incident \w+ is resolved", r" s  its resolution was taken by telegram", r" s  the answer of 1-\w+ is delivered whole"):
            self.assertRegex(out, line)
        self.assertEqual(self.sandbox.texts(), ["A long story. The end."])
        announced = next(t for t in in_chat(self.d) if "TEST a drill: claude-1 will be killed" in t)
        self.assertEqual(in_chat(self.d).index(announced), 0, "announced before it happens")

    def test_what_was_announced_to_nobody_is_not_done(self):
        self.d.set(TELEGRAM_ALERT_BOT_TOKEN=None, TELEGRAM_ALERT_CHAT_ID=None, SMTP_URL=None, SMTP_CA_FILE=None,
                   ALERT_EMAIL_FROM=None, ALERT_EMAIL_TO=None)
        self.d.up()
        pids = wait_up(self.d)
        self.sandbox.script(provider="anthropic", match="story", tokens=60, token_ms=50, answer="A long story. The end.")
        self.sandbox.say("Tell me a long story")
        status, out, err = self.d.command("drill")
        self.assertEqual(status, 1, out)
        self.assertIn("announced to nobody, and nothing was killed; see katana alert-test", err)
        self.sandbox.wait_text("A long story. The end.")
        self.assertEqual(wait_up(self.d), pids)

    def test_where_somebody_else_restarts_it_kills_by_itself(self):
        self.d.serve()
        self.d.start("katana-watchdog", KATANA_EXPECT="gateway,claude:1,openai:1")
        wait_up(self.d, ("gateway", "claude", "openai"))
        self.sandbox.script(provider="anthropic", match="story", count=2, tokens=60, token_ms=50, answer="A long story. The end.")
        self.sandbox.say("Tell me a long story")
        drill = self.d.start("katana", "drill", name="drill")
        claude = next(p for p in self.d.processes if p.name == "katana-claude")
        claude.wait()
        self.d.start("katana-claude", name="successor")
        self.assertEqual(drill.wait(), 0, drill.log())
        self.assertIn("claude is back", drill.log())


class Monitor(http.server.ThreadingHTTPServer):
    """Whoever owns a dead-man URL; counts how often it is asked."""

    def __init__(self):
        self.asked = 0
        monitor = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                monitor.asked += self.path == "/ping/s3cret"
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_):
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}/ping/s3cret"

    def close(self):
        self.shutdown()
        self.server_close()


class DeadMan(Case):
    def setUp(self):
        super().setUp()
        self.monitor = Monitor()
        self.addCleanup(self.monitor.close)
        self.d.set(ALERT_DEADMAN_URL=self.monitor.url)

    def test_it_is_asked_when_the_whole_chain_works(self):
        katana = self.d.up()
        eventually("the monitor is asked", lambda: self.monitor.asked >= 1)
        eventually("the status says so", lambda: "dead-man URL: asked" in self.d.command("status")[1])
        self.assertNotIn("s3cret", katana.log() + self.d.command("status", "--json")[1])
        self.assertEqual(in_chat(self.d), [])
        self.assertNotIn("self-check", [p["instance"] for p in self.d.status()["processes"]])

    def test_it_is_not_asked_when_no_channel_lets_us_in(self):
        self.sandbox.post("bot", token=ALERT_TOKEN, revoked=True)
        self.sandbox.post("smtp", stage="ehlo", code=421, text="4.3.2 closing", count=-1)
        self.d.up()
        why = eventually("the status says why", lambda: self.d.status()["dead_man"]["last_error"])
        self.assertIn("no channel would take a notice", why)
        self.assertIn("telegram: ", why)
        self.assertIn("email: ", why)
        self.assertEqual(self.monitor.asked, 0)

    def test_one_channel_is_enough(self):
        self.sandbox.post("bot", token=ALERT_TOKEN, revoked=True)
        self.d.up()
        eventually("the monitor is asked", lambda: self.monitor.asked >= 1)


if __name__ == "__main__":
    main()
