"""What a provider's trouble comes to in the chat, and the dialects that providers speak."""

import json
import re

from harness import Case, eventually, main


class Errors(Case):
    """What a provider's trouble comes to in the chat."""

    def serve(self, *workers):
        self.d.serve(*(workers or ("claude",)))

    settings = {"OPENAI_BASE_URL": None, "OPENAI_API_KEY": None, "OPENAI_API": None}

    def asked(self, call="messages"):
        return self.sandbox.record(call=call)

    def text_with_id(self, words):
        """The message that says so, with the id that stands in the log too."""
        text = self.sandbox.wait_text(words)
        number = re.search(r"\(id (\S+)\)$", text)
        self.assertTrue(number, f"no id in {text!r}")
        self.assertTrue(any(number[1] in p.log() and "ERROR" in p.log() for p in self.d.processes), "the id is in the log")
        return text

    def test_a_refused_key_is_told_with_an_id_and_shows_in_the_heartbeat(self):
        self.d.up_without_openai()
        self.sandbox.script(error={"status": 401, "type": "authentication_error", "message": "invalid x-api-key"}, count=-1)
        self.sandbox.say("Hello?")
        text = self.text_with_id("refuses this bot's key")
        self.assertNotIn("x-api-key", text, "the provider's words are for the log")
        self.assertEqual(len(self.asked()), 1, "a refused key isn't tried again")
        eventually("the watchdog knows", lambda: any(
            p["instance"] == "claude-1" and p["state"] != "down" and "key" in json.dumps(p)
            for p in self.d.status()["processes"]))

    def test_429_529_and_500_are_retried_before_the_first_text(self):
        self.serve()
        for error in ({"status": 429, "type": "rate_limit_error", "retry_after": 1},
                      {"status": 529, "type": "overloaded_error"}, {"status": 500, "type": "api_error"},
                      {"status": 502, "html": True}):
            with self.subTest(**error):
                before = len(self.asked())
                words = f"Answered after {error['status']}."
                self.sandbox.script(error=error)
                self.sandbox.script(answer=words, first_ms=0)
                self.d.ask("Please", words)
                tries = self.asked()[before:]
                self.assertEqual([t["status"] for t in tries], [error["status"], 200])
                if "retry_after" in error:
                    self.assertGreaterEqual((tries[1]["at_ns"] - tries[0]["answered_ns"]) / 1e9, 0.99)

    def test_a_lasting_overload_is_told(self):
        self.serve()
        self.sandbox.script(error={"status": 529, "type": "overloaded_error"}, count=-1)
        self.sandbox.say("Please")
        self.text_with_id("overloaded")
        self.assertEqual(len(self.asked()), 3, "two retries, as the vendors' SDKs do")

    def test_what_can_not_be_mended_by_asking_again_is_not_asked_again(self):
        self.serve()
        for status, kind, words in ((400, "invalid_request_error", "refused the request"), (402, "billing_error", "credit"),
                                    (403, "permission_error", "refuses this bot's key")):
            with self.subTest(status=status):
                before = len(self.asked())
                self.sandbox.script(error={"status": status, "type": kind})
                self.sandbox.say(f"Please {status}")
                self.text_with_id(words)
                self.assertEqual(len(self.asked()) - before, 1)

    def test_an_error_in_mid_stream_keeps_what_was_said(self):
        self.serve()
        self.sandbox.script(answer="one two three four five six", tokens=6, token_ms=50,
                            mid_stream_error={"after": 3, "type": "overloaded_error", "message": "Overloaded"})
        self.sandbox.say("Count")
        text = self.text_with_id("broke off")
        self.assertTrue(text.startswith("one two three"), text)
        self.assertNotIn("four", text)
        self.assertEqual(len(self.asked()), 1, "never asked again once there is text")

    def test_a_cut_connection_in_mid_stream_keeps_what_was_said(self):
        self.serve()
        for reset in (False, True):
            with self.subTest(reset=reset):
                self.sandbox.script(answer=f"{reset} two three four five six", tokens=6, token_ms=50, cut_after=3,
                                    cut_by_reset=reset)
                self.sandbox.say("Count")
                eventually("it is told", lambda: any(
                    t.startswith(f"{reset} two three") and "broke off" in t for t in self.sandbox.texts()))

    def test_a_stream_broken_inside_an_event_keeps_what_was_said(self):
        self.serve()
        self.sandbox.script(answer="one two three four", tokens=4, token_ms=50, broken_json_after=2)
        self.sandbox.say("Count")
        self.assertTrue(self.text_with_id("broke off").startswith("one two"))

    def test_any_slicing_of_the_stream_gives_the_same_answer(self):
        self.serve()
        words = "Größe 🎉 and **bold** – whole, in any slices."
        for size in (1, 7, 100):
            with self.subTest(bytes=size):
                self.sandbox.script(answer=f"{size}: {words}", tokens=9, token_ms=1, first_ms=0, chunk_bytes=size, pings=2,
                                    thinking="hm, let me see")
                self.d.ask("Slice it", f"{size}: " + words.replace("**", ""))
        self.assertFalse(any("let me see" in t for t in self.sandbox.texts()), "thinking isn't shown")

    def test_stop_reasons_are_told(self):
        self.serve()
        self.sandbox.script(answer="As far as it goes", stop_reason="max_tokens")
        self.sandbox.say("A long one")
        self.assertIn("length limit", self.sandbox.wait_text("As far as it goes\n"))
        self.sandbox.script(answer="", stop_reason="refusal")
        self.d.ask("A bad one", "declined to answer")
        self.sandbox.script(match="half a bad one", answer="Well begun", stop_reason="refusal")
        self.sandbox.say("half a bad one")
        self.assertIn("rules ended", self.sandbox.wait_text("Well begun\n"))


class Dialects(Case):
    def test_chat_completions_for_compatible_servers(self):
        self.d.set(OPENAI_API="chat", ANTHROPIC_BASE_URL=None, ANTHROPIC_API_KEY=None)
        self.d.serve("openai")
        self.sandbox.script(provider="openai", answer="By Chat Completions.", tokens=4, token_ms=50)
        self.d.ask("Hello", "By Chat Completions.")
        asked = self.sandbox.record(call="chat")
        self.assertEqual(len(asked), 1)
        self.assertEqual(asked[0]["unknown_fields"], [])
        self.assertTrue(asked[0]["body"]["stream_options"]["include_usage"], "or nobody knows what it cost")
        self.d.ask("/claude", "Claude isn't set up")

    def test_another_provider_answers_when_the_first_refuses(self):
        self.d.set(KATANA_FALLBACK="claude,openai")
        self.d.serve()
        self.sandbox.script(provider="anthropic", error={"status": 401, "type": "authentication_error"}, count=-1)
        self.sandbox.script(provider="openai", answer="OpenAI stands in.", count=-1)
        text = self.d.ask("Anybody?", "OpenAI stands in.")
        self.assertIn("OpenAI", text)
        self.assertEqual(len(self.sandbox.record(call="responses")), 1)
        self.assertEqual(len([t for t in self.sandbox.texts() if "stands in" in t]), 1)

    def test_several_keys_are_tried_in_turn(self):
        self.d.set(ANTHROPIC_API_KEY="tests-refused-key,tests-anthropic-key")
        self.sandbox.post("switch", keys=["tests-anthropic-key", "tests-openai-key"])
        self.d.serve("claude")
        self.sandbox.script(answer="By the second key.")
        self.d.ask("Hello", "By the second key.")
        self.assertEqual([r["status"] for r in self.sandbox.record(call="messages")], [401, 200])


if __name__ == "__main__":
    main()
