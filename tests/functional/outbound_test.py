"""What is shown in Telegram, and at which pace: every answer whole, once, and never faster than Telegram allows."""

import signal
import unittest

from harness import USER, Case, eventually, main

GROUP = -1001234
SHOWING = ("sendMessage", "editMessageText", "sendMessageDraft", "sendChatAction", "deleteMessage")


class Shown(Case):
    settings = {"OPENAI_BASE_URL": None, "OPENAI_API_KEY": None, "OPENAI_API": None}

    def calls(self, chat=USER, names=SHOWING):
        return [r for r in self.sandbox.record(chat=chat) if r["call"] in names]

    def final(self, text, chat=USER):
        """The whole message with this very text."""
        return eventually(f"{text[:40]!r} as a whole message", lambda: next(
            (m for m in self.sandbox.messages(chat) if m.get("text") == text), None))

    def assert_no_cursor(self, chat=USER):
        for text in self.sandbox.texts(chat):
            self.assertNotIn("▉", text)
            self.assertNotEqual(text, "…", "a placeholder was left behind")


class Growth(Shown):
    def test_placeholder_then_growth_then_the_whole(self):
        self.d.serve("claude")
        self.sandbox.script(answer="one two three four five six seven eight nine ten", tokens=10, token_ms=250, first_ms=100)
        self.sandbox.say("Count")
        seen = [h["text"] for h in self.final("one two three four five six seven eight nine ten")["history"]]
        self.assertEqual(seen[0], "…")
        self.assertGreaterEqual(len(seen), 3, "it grew")
        for shorter, longer in zip(seen[1:], seen[2:]):
            self.assertTrue(longer.startswith(shorter.rstrip("… ")), f"{shorter!r} → {longer!r}")
        edits = [c["at_ns"] for c in self.calls(names=("editMessageText",))]
        self.assertTrue(all(b - a >= 0.9e9 for a, b in zip(edits[1:-1], edits[2:-1])), "at a reader's pace")
        self.assertEqual(len(self.calls(names=("sendMessage",))), 1, "one message")

    def test_a_stop_ends_an_answer(self):
        self.d.serve("claude")
        self.sandbox.script(answer="word " * 400, tokens=400, token_ms=100, first_ms=0)
        self.sandbox.say("Never end")
        self.sandbox.wait_text("word word")
        self.d.ask("/stop", "Stopped.")
        eventually("the provider's connection is closed",
                   lambda: self.sandbox.record(call="messages")[-1]["outcome"] == "gone")
        kept = next(t for t in self.sandbox.texts() if t.startswith("word word"))
        self.assertTrue(kept.endswith("⏹ Stopped."), kept[-40:])
        self.d.ask("/stop", "There is no answer under way.")
        self.sandbox.script(answer="The next one.")
        self.d.ask("Go on", "The next one.")

    def test_code_is_never_broken(self):
        code = "```python\n" + "\n".join(f"print({i}, 'a line of code')" for i in range(90)) + "\n```"
        answer = "Words before. " * 150 + "\n\n" + code + "\n\n" + "Words after. " * 100 + "\n\nTHE-END"
        self.d.serve("claude")
        self.sandbox.script(answer=answer, tokens=60, token_ms=5)
        self.d.ask("Show me code", "THE-END")
        blocks = []
        for message in self.sandbox.messages():
            for entity in message.get("entities", []):
                if entity["type"] == "pre":
                    units = message["text"].encode("utf-16-le")
                    at, size = 2 * entity["offset"], 2 * entity["length"]
                    blocks.append((units[at:at + size].decode("utf-16-le"), entity.get("language")))
        self.assertEqual(blocks, [("\n".join(f"print({i}, 'a line of code')" for i in range(90)), "python")])
        self.assert_no_cursor()

    def test_code_longer_than_a_message_goes_on_as_code(self):
        lines = [f"line {i} of a very long program" for i in range(400)]
        self.d.serve("claude")
        self.sandbox.script(answer="```\n" + "\n".join(lines) + "\n```\n\nTHE-END", tokens=60, token_ms=5)
        self.d.ask("Show me much code", "THE-END")
        messages = self.sandbox.messages()
        self.assertGreater(len(messages), 2)
        said = "\n".join(m["text"] for m in messages)
        self.assertEqual([line for line in said.split("\n") if line.startswith("line ")], lines)
        for message in messages[:-1]:
            self.assertEqual([e["type"] for e in message["entities"]], ["pre"])

    def test_characters_outside_the_basic_plane_are_whole(self):
        self.d.serve("claude")
        self.sandbox.script(answer="🎉🧵 " * 2000 + "THE-END", tokens=50, token_ms=5)
        self.d.ask("Party", "THE-END")
        texts = self.sandbox.texts()
        self.assertEqual(sum(t.count("🎉🧵") for t in texts), 2000)
        self.assertTrue(all(len(t.encode("utf-16-le")) <= 2 * 4096 for t in texts))


class Modes(Shown):
    def test_without_streaming_the_answer_comes_whole(self):
        self.d.set(KATANA_STREAMING="off")
        self.d.serve("claude")
        self.sandbox.script(answer="All at once, at the end.", tokens=5, token_ms=100)
        self.d.ask("Say", "All at once, at the end.")
        self.assertEqual([h["text"] for h in self.sandbox.messages()[0]["history"]], ["…"], "no part of it before")
        self.assertEqual(len(self.calls(names=("sendMessage", "editMessageText", "sendMessageDraft"))), 2)

    def test_drafts_in_private_chats_messages_in_groups(self):
        self.d.set(KATANA_STREAMING="draft")
        self.d.serve("claude")
        self.sandbox.script(answer="Drafted word by word by word.", tokens=6, token_ms=300, first_ms=300)
        self.d.ask("Draft", "Drafted word by word by word.")
        drafts = self.calls(names=("sendMessageDraft",))
        self.assertGreaterEqual(len(drafts), 2)
        self.assertEqual(len({str(d["body"]["draft_id"]) for d in drafts}), 1, "one draft that grows")
        self.assertEqual(len(self.calls(names=("sendMessage",))), 1)
        self.assertEqual(self.calls()[-1]["call"], "sendMessage", "it ends with the message")
        self.assertEqual(self.calls(names=("editMessageText",)), [])

        self.sandbox.post("chat", chat=GROUP, type="supergroup", title="Test")
        self.sandbox.post("bot", can_read_all_group_messages=True)
        self.sandbox.script(answer="Edited in a group.", tokens=3, token_ms=50)
        self.sandbox.say("/start", chat=GROUP, user=USER, type="supergroup")
        mine = eventually("an answer to /start", lambda: self.sandbox.messages(GROUP))[0]
        self.sandbox.say("In a group?", chat=GROUP, user=USER, type="supergroup", reply_to=mine["message_id"])
        self.sandbox.wait_text("Edited in a group.", chat=GROUP)
        self.assertEqual(self.calls(GROUP, ("sendMessageDraft",)), [])


class Refusals(Shown):
    def test_refused_formatting_comes_plain_once(self):
        self.d.serve("claude")
        self.sandbox.fault(method="editMessageText", kind="status", status=400, count=1,
                           description="Bad Request: can't parse entities: unsupported entity")
        self.sandbox.script(answer="Some **bold** words", first_ms=0, token_ms=1)
        self.sandbox.say("Bold?")
        message = self.final("Some **bold** words")
        self.assertEqual(message.get("entities", []), [])
        self.assertEqual(len(self.calls(names=("editMessageText",))), 2, "tried once, plain once")

    def test_not_modified_means_done(self):
        self.d.serve("claude")
        self.sandbox.fault(method="editMessageText", kind="close_after", count=1)  # shown, but nobody was told
        self.sandbox.script(answer="Shown already.", first_ms=0, token_ms=1)
        self.sandbox.say("Show")
        self.final("Shown already.")
        eventually("delivered", lambda: self.d.metric('katana_answers_total{outcome="delivered"}') == 1)
        self.assertEqual([c["status"] for c in self.calls(names=("editMessageText",))][-1], 400)
        self.assertEqual(self.sandbox.texts(), ["Shown already."])

    def test_a_lost_reply_to_the_placeholder_shows_the_answer_once(self):
        self.d.serve("claude")
        self.sandbox.fault(method="sendMessage", kind="close_after", count=1)
        self.sandbox.script(answer="Only once, please.", tokens=4, token_ms=50)
        self.sandbox.say("Once?")
        self.final("Only once, please.")
        eventually("delivered", lambda: self.d.metric('katana_answers_total{outcome="delivered"}') == 1)
        texts = self.sandbox.texts()
        self.assertEqual(texts.count("Only once, please."), 1)
        self.assertLessEqual(len(texts), 2, "at most one stray placeholder")

    def test_trouble_with_every_kind_of_call_leaves_the_answer_whole(self):
        self.d.serve("claude")
        for kind in ({"kind": "status", "status": 502}, {"kind": "close_before"}, {"kind": "malformed_json"},
                     {"kind": "bad_gateway_html"}, {"kind": "429", "retry_after": 1}):
            for method in ("sendMessage", "editMessageText"):
                with self.subTest(method=method, **kind):
                    words = f"Whole after {method} met {kind['kind']} {kind.get('status', '')}."
                    self.sandbox.script(answer=words, tokens=4, token_ms=20)
                    self.sandbox.fault(method=method, count=1, **kind)
                    self.sandbox.say("And now?")
                    self.final(words)
                    self.assertEqual(self.sandbox.texts().count(words), 1)

    def test_a_429_in_mid_answer_is_obeyed(self):
        self.d.serve("claude")
        self.sandbox.script(answer="slow and steady wins the race in the end", tokens=9, token_ms=300)
        self.sandbox.fault(method="editMessageText", kind="429", retry_after=4, skip=1, count=1)
        self.sandbox.say("Race")
        self.final("slow and steady wins the race in the end")
        calls = self.calls()
        hit = next(i for i, c in enumerate(calls) if c["status"] == 429)
        self.assertGreaterEqual((calls[hit + 1]["at_ns"] - calls[hit]["answered_ns"]) / 1e9, 3.99,
                                "nothing goes to that chat before its time")
        self.assertEqual(sum(c["status"] == 429 for c in calls), 1)

    def test_a_user_who_blocks_the_bot_is_left_alone(self):
        self.d.serve("claude")
        self.sandbox.script(answer="word " * 30, tokens=30, token_ms=100)
        self.sandbox.say("Talk")
        self.sandbox.wait_text("word word")
        self.sandbox.post("chat", chat=USER, blocked=True)
        eventually("it is abandoned", lambda: self.d.metric('katana_answers_total{outcome="abandoned"}') == 1)
        self.assertEqual(sum(c["status"] == 403 for c in self.calls()), 1, "asked once, not again")
        self.sandbox.post("chat", chat=USER, blocked=False)
        self.sandbox.script(answer="Welcome back.")
        self.d.ask("I am back", "Welcome back.")

    def test_a_group_that_became_a_supergroup_is_followed(self):
        self.d.serve("claude")
        old, new = -777, -100777
        self.sandbox.post("chat", chat=old, type="group", title="Old")
        self.sandbox.script(answer="word " * 19 + "THE-END", tokens=20, token_ms=150)
        self.sandbox.say("/start", chat=old, user=USER, type="group")
        mine = eventually("a welcome", lambda: self.sandbox.messages(old))[0]
        self.sandbox.say("Where are you?", chat=old, user=USER, type="group", reply_to=mine["message_id"])
        eventually("the placeholder", lambda: len(self.sandbox.messages(old)) > 1)
        self.sandbox.post("chat", chat=new, type="supergroup", title="New")
        self.sandbox.post("chat", chat=old, migrated_to=new, announced=False)  # only the next call's refusal tells
        self.sandbox.wait_text("THE-END", chat=new)
        self.assertEqual(sum("THE-END" in t for t in self.sandbox.texts(new)), 1)

    def test_a_supergroup_remembers_what_its_group_said(self):
        self.d.serve("claude")
        old, new = -778, -100778
        self.sandbox.post("chat", chat=old, type="group", title="Old")
        self.sandbox.say("/start", chat=old, user=USER, type="group")
        mine = eventually("a welcome", lambda: self.sandbox.messages(old))[0]
        self.sandbox.say("[[tokens=2 token_ms=0 end=FIRST!]] my cat is Tom", chat=old, user=USER, reply_to=mine["message_id"])
        self.sandbox.wait_text("FIRST!", chat=old)
        self.sandbox.post("chat", chat=old, migrated_to=new)
        self.sandbox.say("/start", chat=new, user=USER)
        mine = eventually("a welcome", lambda: self.sandbox.messages(new))[0]
        self.sandbox.say("[[tokens=2 token_ms=0 end=SECOND!]] who?", chat=new, user=USER, reply_to=mine["message_id"])
        self.sandbox.wait_text("SECOND!", chat=new)
        self.assertIn("my cat is Tom", str(self.sandbox.record(call="messages")[-1]["body"]["messages"]))
        self.assertEqual([t for t in self.sandbox.texts(new) if "understand" in t], [], "the service messages aren't answered")


class Pace(Shown):
    """With Telegram's limits on both sides."""

    settings = {**Shown.settings, "KATANA_TELEGRAM_LIMITS": None, "KATANA_ACCESS": "open"}

    def test_20_chats_at_once_provoke_no_429(self):
        self.sandbox.post("switch", limits=True)
        self.sandbox.post("defaults", answer="All of it, word by word, to the very end. " * 4 + "THE-END",
                          tokens=30, token_ms=150, first_ms=100)
        self.d.serve("claude")
        chats = [5000 + i for i in range(20)]
        for chat in chats:
            self.sandbox.say("Everybody asks", chat=chat)
        for chat in chats:
            self.sandbox.wait_text("THE-END", chat=chat)
        record = self.sandbox.record()
        self.assertEqual([r["call"] for r in record if r["status"] == 429], [])
        for chat in chats:
            self.assertEqual(len(self.sandbox.texts(chat)), 1)
        grew = sum(len(self.sandbox.messages(chat)[0]["history"]) > 2 for chat in chats)
        self.assertGreaterEqual(grew, 15, "answers are seen growing all the same")

    def test_a_busy_group_is_kept_within_its_minute(self):
        self.sandbox.post("switch", limits=True)
        self.sandbox.post("chat", chat=GROUP, type="supergroup", title="Busy")
        self.sandbox.post("bot", can_read_all_group_messages=True)
        self.d.serve("claude")
        self.sandbox.post("defaults", answer="An answer in a busy group. THE-END", tokens=12, token_ms=150)
        self.sandbox.say("/start", chat=GROUP, user=USER, type="supergroup")
        mine = eventually("a welcome", lambda: self.sandbox.messages(GROUP))[0]
        for i in range(3):
            self.sandbox.say(f"Question {i}", chat=GROUP, user=USER, type="supergroup", reply_to=mine["message_id"])
        eventually("all three answers", lambda: sum("THE-END" in t for t in self.sandbox.texts(GROUP)) == 3)
        self.assertEqual([r["call"] for r in self.sandbox.record() if r["status"] == 429], [])


class Stopping(Shown):
    def test_an_answer_under_way_is_finished_before_the_end(self):
        gateway = self.d.serve("claude")
        self.sandbox.script(answer="to be or not to be, that is the question", tokens=10, token_ms=200)
        self.sandbox.say("Recite")
        self.sandbox.wait_text("to be")
        gateway.signal(signal.SIGTERM)
        self.assertEqual(gateway.wait(), 0)
        self.assertIn("to be or not to be, that is the question", self.sandbox.texts())
        self.assert_no_cursor()


if __name__ == "__main__":
    main()
