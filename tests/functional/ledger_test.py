"""What became of a question: traces, dead letters, questions that came late, and a queue that is full."""

import re
import signal

from harness import Case, eventually, main
from watching import told


class DeadLetters(Case):
    """Nobody knows whether the question kills its workers: after two it isn't given to a third."""

    settings = {"OPENAI_BASE_URL": None, "OPENAI_API_KEY": None, "OPENAI_API": None}

    def kill_a_worker_under(self, number):
        worker = self.d.start("katana-claude", name=f"worker-{number}")
        eventually("the answer has begun", lambda: len(self.sandbox.record(call="messages")) == number)
        eventually("text came", lambda: self.sandbox.texts()[-1:] not in ([], ["…"]))
        worker.signal(signal.SIGKILL)
        worker.wait()

    def test_two_deaths_and_an_operators_word(self):
        self.d.make_directories()
        self.d.start("katana-gateway")
        self.d.start("katana-watchdog")
        self.d.wait_ready(())
        self.sandbox.say("[[tokens=100 token_ms=50 first_ms=0 end=OVER]]")
        self.kill_a_worker_under(1)
        self.kill_a_worker_under(2)
        words = self.sandbox.wait_text("(id ")
        job = re.search(r"\(id (\S+)\)", words)[1]
        told(self.d, "dead-letters")

        status, text, _ = self.d.command("dead-letters")
        self.assertEqual(status, 0)
        self.assertIn(job, text)
        number = text.split()[0]
        status, trace, _ = self.d.command("trace", job)
        self.assertEqual(status, 0)
        self.assertIn("among the dead letters", trace)
        self.assertRegex(trace, r"attempt 1 +claude, \S+, worker \S+, leased .* ended .* \(its worker died\)")
        self.assertRegex(trace, r"attempt 2 +claude, ")
        self.assertNotIn("tokens=100", trace)
        self.assertEqual(self.d.health()[1]["dead_letters"], 1)

        self.d.start("katana-claude", name="worker-3")
        status, text, _ = self.d.command("dead-letters", "--retry", number)
        self.assertEqual(status, 0, text)
        self.sandbox.wait_text("OVER")
        self.assertIn("no dead letters", self.d.command("dead-letters")[1])
        self.assertRegex(self.d.command("trace", job)[1], r"; asked again as \d+\n")
        told(self.d, "RESOLVED", "dead letters")
        self.assertEqual(self.d.command("dead-letters", "--retry", number)[0], 1, "once")
        self.assertEqual(self.d.command("dead-letters", "--drop", "12345678")[0], 1)

    def test_a_trace_of_an_answer(self):
        prices = self.d.directory / "models.toml"
        prices.write_text('[[model]]\nid = "claude-sonnet-5-5"\nprovider = "claude"\ndefault = true\n'
                          "price_input = 3.0\nprice_output = 15.0\n")
        self.d.set(KATANA_MODELS=prices)
        self.d.serve("claude")
        self.d.ask("[[tokens=3 token_ms=60 end=DONE]] private words", "DONE")
        eventually("it is delivered", lambda: self.d.metric("katana_answers_total") == 1)
        status, trace, _ = self.d.command("trace", "1")
        self.assertEqual(status, 0)
        self.assertRegex(trace, r"^Question 1: delivered\n")
        self.assertRegex(trace, r"attempt 1 .* leased .*, accepted .*, first text .*, ended .*, request id \S+")
        message = self.sandbox.messages()[-1]["message_id"]
        self.assertRegex(trace, rf"messages +{message}\n")
        self.assertRegex(trace, r"used +70 tokens in .*, 3 out; 0\.000255 USD")
        self.assertNotIn("private", trace)
        prices.write_text(prices.read_text().replace("3.0", "6.0"))
        self.assertEqual(self.d.command("reload")[0], 0)
        self.assertRegex(self.d.command("trace", "1")[1], r"0\.000465 USD", "the table was read again")
        prices.write_text("[[model]")
        self.assertEqual(self.d.command("reload")[0], 0)
        self.assertRegex(self.d.command("trace", "1")[1], r"0\.000465 USD", "a broken one changes nothing")
        status, _, error = self.d.command("trace", "77777")
        self.assertEqual(status, 1)
        self.assertIn("Nothing is known", error)


class Late(Case):
    settings = {"KATANA_MAX_AGE": "1h"}

    def test_one_note_a_chat_and_an_answer_at_the_button(self):
        self.d.serve("claude", "openai")
        for n in range(3):
            self.sandbox.say(f"[[tokens=2 token_ms=0 end=LATE-{n}!]]", age=7200)
        self.d.ask("[[tokens=2 token_ms=0 end=FRESH!]]", "FRESH!")
        texts = self.sandbox.texts()
        self.assertEqual(sum("late" in t for t in texts), 1, texts)
        self.assertFalse([t for t in texts if "LATE-" in t])
        note = next(m for m in self.sandbox.messages() if "late" in m["text"])
        self.sandbox.post("press", chat=1000, message_id=note["message_id"], button="Answer now")
        for n in range(3):
            self.sandbox.wait_text(f"LATE-{n}!")
        order = [re.search(r"LATE-\d", t)[0] for t in self.sandbox.texts() if "LATE-" in t]
        self.assertEqual(order, ["LATE-0", "LATE-1", "LATE-2"])
        before = len(self.sandbox.record(call="answerCallbackQuery"))
        self.sandbox.post("press", chat=1000, message_id=note["message_id"], button="Answer now")
        pressed = eventually("the second press is answered",
                             lambda: self.sandbox.record(call="answerCallbackQuery")[before:])
        self.assertIn("Nothing", str(pressed[0]["body"]))


class FullQueue(Case):
    settings = {"KATANA_QUEUE": "2", "KATANA_ACCESS": "open", "OPENAI_BASE_URL": None, "OPENAI_API_KEY": None,
                "OPENAI_API": None}

    def test_who_finds_no_room_is_told_so_and_the_others_are_answered(self):
        self.d.make_directories()
        self.d.start("katana-gateway")
        self.d.wait_ready(())
        chats = range(5001, 5006)
        for chat in chats:
            self.sandbox.say("[[tokens=2 token_ms=0 end=DONE!]]", chat=chat)
        for chat in chats[2:]:
            self.sandbox.wait_text("Too many questions", chat=chat)
        self.d.start("katana-claude")
        for chat in chats[:2]:
            self.sandbox.wait_text("DONE!", chat=chat)
        self.d.ask("[[tokens=2 token_ms=0 end=AGAIN!]]", "AGAIN!", chat=chats[4])
        self.assertEqual(len(self.sandbox.record(call="messages")), 3)


if __name__ == "__main__":
    main()
