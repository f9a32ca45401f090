"""Who is let in: closed to strangers from the start, opened by the operator alone."""

import re

from harness import USER, Case, eventually, main

STRANGER, SECOND = 4711, 4712


class Access(Case):
    settings = {"OPENAI_BASE_URL": None, "OPENAI_API_KEY": None, "OPENAI_API": None, "KATANA_ALLOWED_USERS": None}

    def code_of(self, stranger):
        text = self.sandbox.wait_text("katana allow", chat=stranger)
        return re.search(r"katana allow (\S+)", text)[1]

    def assert_unanswered(self, chat, question):
        """The question came, and nothing was said to it."""
        replies = len(self.sandbox.texts(chat))
        seen = self.d.metric("katana_updates_ignored_total")
        self.sandbox.say(question, chat=chat)
        eventually("it is counted", lambda: self.d.metric("katana_updates_ignored_total") > seen)
        self.assertEqual(len(self.sandbox.texts(chat)), replies)

    def test_a_stranger_is_let_in_by_code_and_the_first_is_the_admin(self):
        gateway = self.d.serve("claude")
        self.sandbox.say("Hello, who are you?", chat=STRANGER)
        code = self.code_of(STRANGER)
        self.assert_unanswered(STRANGER, "Hello? Hello?")
        self.assertEqual(self.sandbox.record(call="messages"), [], "no stranger's words go to a provider")
        status, out, _ = self.d.command("users")
        self.assertEqual(status, 0)
        self.assertRegex(out, rf"{STRANGER} +waiting +{code}")

        status, out, err = self.d.command("allow", code.upper())
        self.assertEqual((status, err), (0, ""))
        self.assertIn(f"User {STRANGER} is let in as an admin. There was no admin yet", out)
        self.sandbox.wait_text("You are in, and you are this bot's admin", chat=STRANGER)
        self.sandbox.script(answer="Welcome, stranger.")
        self.d.ask("And now?", "Welcome, stranger.", chat=STRANGER)

        self.sandbox.say("Me too", chat=SECOND)
        status, out, _ = self.d.command("allow", self.code_of(SECOND))
        self.assertEqual((status, out), (0, f"User {SECOND} is let in.\n"))
        self.sandbox.wait_text("You are in. Write me anything.", chat=SECOND)
        _, out, _ = self.d.command("users")
        self.assertRegex(out, rf"{STRANGER} +admin")
        self.assertRegex(out, rf"{SECOND} +allowed")

        status, out, _ = self.d.command("deny", str(SECOND))
        self.assertEqual((status, out), (0, f"User {SECOND} is shut out.\n"))
        self.assert_unanswered(SECOND, "Still there?")

        gateway.stop()
        self.d.start("katana-gateway", name="gateway-again")
        self.d.wait_ready(("claude",))
        self.assert_unanswered(SECOND, "After a restart?")
        self.sandbox.script(answer="Still friends.")
        self.d.ask("Do you know me?", "Still friends.", chat=STRANGER)

    def test_a_code_is_for_one_person_and_once(self):
        self.d.serve("claude")
        self.sandbox.say("Hi", chat=STRANGER)
        self.sandbox.say("Hi", chat=SECOND)
        first, second = self.code_of(STRANGER), self.code_of(SECOND)
        self.assertNotEqual(first, second)
        self.assertEqual(self.d.command("allow", first)[0], 0)
        status, _, err = self.d.command("allow", first)
        self.assertEqual(status, 1)
        self.assertIn("no such pairing code", err)
        status, _, err = self.d.command("deny", "neither")
        self.assertEqual(status, 1)
        self.assertIn("no such pairing code or user id", err)

    def test_an_id_is_enough_and_admins_can_be_made(self):
        self.d.set(KATANA_ADMINS=USER)
        self.d.serve("claude")
        self.assertEqual(self.d.command("allow", str(STRANGER))[1], f"User {STRANGER} is let in.\n")
        self.assertIn("as an admin", self.d.command("allow", str(SECOND), "--admin")[1])
        self.sandbox.script(answer="Come in.")
        self.d.ask("Hello", "Come in.", chat=STRANGER)

    def test_anybody_may_ask_for_the_ids(self):
        self.d.serve("claude")
        self.d.ask("/id", f"User: {STRANGER}\nChat: {STRANGER}", chat=STRANGER)

    def test_an_allowlist_names_no_code(self):
        self.d.set(KATANA_ACCESS="allowlist", KATANA_ALLOWED_USERS=USER)
        self.d.serve("claude")
        self.d.ask("Hello", "you are not on its list", chat=STRANGER)
        self.assertNotIn("katana allow", self.sandbox.texts(STRANGER)[0])
        self.sandbox.script(answer="You are.")
        self.d.ask("Am I?", "You are.")

    def test_open_is_open_but_for_those_shut_out(self):
        self.d.set(KATANA_ACCESS="open")
        self.d.serve("claude")
        self.sandbox.script(answer="Everybody may.", count=-1)
        self.d.ask("May I?", "Everybody may.", chat=STRANGER)
        self.d.command("deny", str(STRANGER))
        self.assert_unanswered(STRANGER, "And now?")


if __name__ == "__main__":
    main()
