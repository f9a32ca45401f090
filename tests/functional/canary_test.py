"""No word of a user, no name and no secret in anything that the watchdog shows or sends, whatever breaks while they talk."""

import json
import pathlib
import urllib.request

from harness import ALERT_TOKEN, USERS_TOKEN, Case, eventually, http_get, main
from watching import in_chat, kill, replaced, told, wait_up

WORDS = "canary-words-of-a-user"
ANSWER = "canary-words-of-an-answer"
FIRST, LAST_NAME, USERNAME = "Canaryfirst", "Canarylast", "canary_username"
STRANGER = "canary-words-of-a-stranger"
ERROR = "canary-words-of-a-provider"


class Canary(Case):
    def everything(self):
        """All that the watchdog shows or has sent, by where."""
        at = f"http://{self.d.watchdog_http}"
        shown = {path: http_get(at + path)[1] for path in ("/", "/runbook", "/api/status", "/metrics", "/health",
                                                           "/api/history?span=1h", "/api/history?span=24h")}
        for incident in json.loads(shown["/api/status"])["history"]:
            path = f"/api/incident?id={incident['id']}"
            shown[path + " without a token"] = http_get(at + path)[1]
        shown |= {"the gateway's " + path: http_get(f"http://{self.d.gateway_http}{path}")[1] for path in ("/health", "/metrics")}
        shown["the feed"] = self.feed()
        for words in (("status",), ("status", "--json"), ("incidents",)):
            shown["katana " + " ".join(words)] = self.d.command(*words)[1]
        shown["the ops chat"] = "\n".join(in_chat(self.d))
        shown["the mails"] = json.dumps(self.sandbox.mails())
        shown["the command's input"] = self.notices.read_text()
        for path in (self.d.directory / "state" / "watchdog").rglob("*"):
            if path.is_file():
                shown[str(path.relative_to(self.d.directory))] = path.read_text(errors="replace")
        return shown

    def feed(self):
        """The first event of the live feed."""
        with urllib.request.urlopen(f"http://{self.d.watchdog_http}/api/events", timeout=20) as answer:
            text = b""
            while b"data: " not in text or not text.endswith(b"\n\n"):
                more = answer.read1()
                self.assertTrue(more, "the feed goes on")
                text += more
        return text.decode()

    def setUp(self):
        super().setUp()
        self.notices = self.d.directory / "notices.jsonl"
        self.notices.touch()
        script = self.d.directory / "alert.sh"
        script.write_text(f"#!/bin/sh\ncat >> {self.notices}\n")
        script.chmod(0o700)
        self.d.set(ALERT_COMMAND=script, KATANA_OPS_USERS="2000", KATANA_LOG_MESSAGES="full",
                   ALERT_WEBHOOK_URL="http://127.0.0.1:9/canary-of-a-secret-url")
        self.d.up()
        self.pids = wait_up(self.d)

    def say(self, text, **more):
        self.sandbox.say(text, first_name=FIRST, last_name=LAST_NAME, username=USERNAME, **more)

    def test_nothing_of_a_user_or_a_stranger_gets_out(self):
        self.sandbox.script(answer=ANSWER)
        self.say(WORDS)
        self.sandbox.wait_text(ANSWER)
        # A provider that quotes the question in its error; strangers to both bots; a worker and the gateway that die.
        self.sandbox.script(provider="anthropic", count=1, error={"status": 400, "type": "invalid_request_error",
                                                                "message": f"{ERROR}: {WORDS}"})
        self.say(WORDS)
        eventually("that failed", lambda: len(self.sandbox.messages()) >= 2)
        self.sandbox.post("chat", chat=666, type="private")
        self.say(STRANGER, chat=666)
        self.sandbox.post("chat", chat=667, type="private", bot=ALERT_TOKEN)
        self.say(STRANGER, chat=667, bot=ALERT_TOKEN)
        for name in ("claude-1", "gateway"):
            kill(self.pids[name])
            replaced(self.d, name, self.pids[name])
            told(self.d, "RESOLVED", name)
        self.sandbox.script(answer=ANSWER)
        self.say(WORDS)
        eventually("answered again", lambda: self.sandbox.texts().count(ANSWER) == 2)
        canaries = [WORDS, ANSWER, STRANGER, ERROR, FIRST, LAST_NAME, USERNAME, "canary-of-a-secret-url",
                    "tests-anthropic-key", "tests-openai-key", USERS_TOKEN.split(":")[1], ALERT_TOKEN.split(":")[1]]
        for where, text in self.everything().items():
            for canary in canaries:
                self.assertNotIn(canary, text, where)

    def test_a_canary_would_be_found(self):
        """The search itself: what is in the notices that were sent is seen by it."""
        kill(self.pids["claude-1"])
        told(self.d, "RESOLVED", "claude-1")
        shown = self.everything()
        for where in ("the ops chat", "the mails", "the command's input", "/api/status", "katana incidents", "the feed"):
            self.assertIn("claude-1 is down", shown[where].replace("\\r\\n ", " "), where)
        self.assertIn("state/watchdog/incidents.json", shown)
        self.assertTrue(pathlib.Path(self.d.directory / "state" / "watchdog" / "spool").is_dir())


if __name__ == "__main__":
    main()
