"""A scripted conversation through the whole system, with both providers, streaming."""

import json

from harness import Case, USER, eventually, http_get, main


class Conversation(Case):
    def test_both_providers_stream_and_the_choice_stays(self):
        self.d.up()
        self.sandbox.script(provider="anthropic", answer="Blue is **short** waves, says Claude.", tokens=6, token_ms=120)
        self.sandbox.say("Why is the sky blue?")
        answer = eventually("a whole answer", lambda: next(
            (m for m in self.sandbox.messages() if m.get("text") == "Blue is short waves, says Claude."), None))
        history = [h.get("text", "") for h in answer["history"]]
        self.assertEqual(history[0], "…", "a placeholder comes first")
        self.assertGreater(len(history), 1, "the answer grew before it was whole")
        self.assertEqual([e["type"] for e in answer["entities"]], ["bold"])

        self.d.ask("/openai", "OpenAI answers from now on")
        self.sandbox.script(provider="openai", answer="And I am the other one.")
        self.d.ask("Who are you?", "And I am the other one.")
        asked = self.sandbox.record(call="responses")[-1]["body"]
        said = json.dumps(asked)
        self.assertIn("Why is the sky blue?", said, "the conversation is remembered across providers")
        self.assertIn("short", said)

        self.d.ask("/new", "A new conversation")
        self.sandbox.script(provider="openai", answer="Fresh start.")
        self.d.ask("Hello again", "Fresh start.")
        self.assertNotIn("sky blue", json.dumps(self.sandbox.record(call="responses")[-1]["body"]))

        self.d.ask("/claude", "Claude answers from now on")
        self.assertEqual([r for r in self.sandbox.record() if r["unknown_fields"]], [])

    def test_a_conversation_survives_a_restart(self):
        katana = self.d.up()
        self.sandbox.script(answer="I will remember.")
        self.d.ask("My name is Mellow.", "I will remember.")
        self.assertEqual(katana.stop(), 0)
        self.d.up()
        self.sandbox.script(provider="anthropic", answer="You are Mellow.")
        self.d.ask("Who am I?", "You are Mellow.")
        self.assertIn("My name is Mellow.", json.dumps(self.sandbox.record(call="messages")[-1]["body"]))

    def test_what_came_while_it_was_down_is_answered_once(self):
        self.sandbox.script(answer="Sorry for the wait.")
        self.sandbox.say("Anybody there?")
        self.d.up()
        self.sandbox.wait_text("Sorry for the wait.")
        self.assertEqual(self.sandbox.texts().count("Sorry for the wait."), 1)

    def test_long_answers_come_in_parts(self):
        paragraph = "word " * 150
        self.sandbox.script(answer="\n\n".join(f"{i}. {paragraph}" for i in range(16)) + "\n\nTHE-END", tokens=40, token_ms=5)
        self.d.up()
        self.sandbox.say("Tell me everything")
        self.sandbox.wait_text("THE-END")
        texts = self.sandbox.texts()
        self.assertGreaterEqual(len(texts), 3)
        self.assertTrue(all(len(t.encode("utf-16-le")) // 2 <= 4096 for t in texts))
        self.assertEqual(sum(t.count("word") for t in texts), 16 * 150, "nothing is lost or said twice")

    def test_a_group_is_answered_when_it_asks(self):
        self.d.up()
        group = -5005
        self.sandbox.post("chat", chat=group, type="supergroup", title="Test")
        self.sandbox.post("bot", can_read_all_group_messages=True)
        self.sandbox.say("just talking", chat=group, user=USER, type="supergroup")
        self.sandbox.script(answer="Here I am.")
        name = json.loads(self.sandbox.get("bots"))["bots"][0]["username"]
        asked = self.sandbox.say(f"@{name} are you there?", chat=group, user=USER, type="supergroup")
        self.sandbox.wait_text("Here I am.", chat=group)
        message = self.sandbox.messages(group)[0]
        self.assertEqual(len(self.sandbox.messages(group)), 1, "the talk before wasn't answered")
        self.assertEqual(message["reply_to_message"]["message_id"], asked["message_id"], "the answer is threaded to its question")

    def test_health_metrics_and_logs_tell_what_happens(self):
        katana = self.d.up()
        self.sandbox.script(answer="Fine.")
        self.d.ask("How are you?", "Fine.")
        status, health = self.d.health()
        self.assertEqual(status, 200)
        self.assertTrue(health["polling_active"])
        self.assertEqual(health["workers"], {"claude": 1, "openai": 1})
        eventually("the answer is counted", lambda: 'katana_answers_total{outcome="delivered"} 1' in http_get(
            f"http://{self.d.gateway_http}/metrics")[1])
        self.assertEqual(http_get(f"http://{self.d.gateway_http}/live")[0], 200)
        self.assertEqual(http_get(f"http://{self.d.gateway_http}/ready")[0], 200)
        log = katana.log()
        for words in ("Initializing katana-gateway", "(masked: 100...:000)", "Attempting to start polling",
                      "Polling started", f"Message received: ChatID={USER}, UserID={USER}, Text=How are you?"):
            self.assertIn(words, log)
        for line in (r"gateway\.gateway - INFO - Claude: on, \S+",
                     r"claude\.provider - INFO - claude \S+ answered job \S+ in \d+\.\d\d s \(first text \d+\.\d\d s\), tokens "
                     r"\d+ in \d+ out, request \S+: \"How are you\?\""):
            self.assertRegex(log, r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} - " + line)
        self.sandbox.script(error={"status": 400, "message": "no such thing"})
        self.d.ask("And now?", "refused the request")
        self.assertRegex(katana.log(), r"ERROR - claude \S+ gave no answer to job \S+ after \d+\.\d\d s and 0 retries: rejected: "
                                       r"HTTP 400: invalid_request_error: no such thing; tokens 0 in 0 out, request \S+: \"And now\?\"")
        for secret in (self.d.env["KATANA_TELEGRAM_TOKEN"], "TESTS-users-bot-token", "tests-anthropic-key",
                       "tests-openai-key", "TESTS-alert-bot-token"):
            self.assertNotIn(secret, log, "a secret stands in the log")


if __name__ == "__main__":
    main()
