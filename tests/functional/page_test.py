"""The status page in a real browser: what it shows while processes die, and who can do what there."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import unittest
import urllib.error
import urllib.request

from browser import Browser
from harness import BIN, LIMIT, Case, eventually, free_port, http_get, main
from watching import kill, replaced, wait_up

TOKEN = "the-pages-token-of-the-tests"
CANARY = "cormorant-9317"
SHOTS = pathlib.Path(os.environ.get("KATANA_ARTEFACTS", BIN.parent / "artefacts")) / "page"

STATE = """[...document.querySelectorAll('#processes tbody tr')]
    .map(r => r.querySelector('th .v').textContent + ' ' + r.querySelector('.pill').textContent).join(', ')"""
ALL_UP = "claude-1 up, gateway up, openai-1 up"
ACTIONS_SEEN = "[...document.querySelectorAll('.act')].filter(b => b.checkVisibility()).length"


def status_of(url, method="GET", body=None, **headers):
    request = urllib.request.Request(url, json.dumps(body).encode() if body is not None else None, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=LIMIT) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


class PageCase(Case):
    def setUp(self):
        super().setUp()
        self.d.up()
        self.pids = wait_up(self.d)
        self.url = f"http://{self.d.watchdog_http}"
        self.page = Browser(self.url)
        self.addCleanup(self.page.close)
        self.page.do("open")
        self.page.wait("all are up on the page", f"{STATE} === {ALL_UP!r}")

    def shoot(self, name, width=1280, height=900, scheme="light", whole=True):
        SHOTS.mkdir(parents=True, exist_ok=True)
        self.page.do("view", width=width, height=height, scheme=scheme, motion="reduce")
        self.assertLessEqual(self.page.eval("document.documentElement.scrollWidth"), width, f"{name} scrolls sideways")
        self.page.do("shot", file=str(SHOTS / f"{name}.png"), whole=whole)

    def nothing_odd(self):
        self.assertEqual(self.page.do("problems"), [])


class Watched(PageCase):
    settings = {"KATANA_WATCHDOG_TOKEN": TOKEN}

    def test_a_death_and_a_hang_are_seen_live(self):
        self.page.eval("window.stillTheSame = 1")
        self.assertEqual(self.page.text_of("#said"), "All is well")
        self.d.ask(f"What of the {CANARY}?", CANARY)
        self.shoot("up")

        kill(self.pids["claude-1"])
        self.page.wait("the death is among the past incidents",
                       "document.querySelector('#past').innerText.includes('claude-1 is down: killed by signal 9')")
        replaced(self.d, "claude-1", self.pids["claude-1"])
        self.page.wait("its replacement is seen", f"{STATE} === {ALL_UP!r}")

        self.page.eval(f"""{{ window.seen = new Set();
            new MutationObserver(() => window.seen.add({STATE} + ' | ' + document.querySelector('#said').textContent))
                .observe(document.body, {{subtree: true, childList: true, characterData: true}}); }}""")
        kill(self.pids["openai-1"], signal.SIGSTOP)
        self.page.wait("the hang is seen", "[...window.seen].some(s => s.includes('openai-1 hung') && s.includes('openai-1 hangs'))")
        self.page.wait("and its end", f"{STATE} === {ALL_UP!r} && document.querySelector('#said').textContent === 'All is well'")
        self.page.wait("as a past incident", "document.querySelector('#past').innerText.includes('openai-1 hangs')")

        self.page.wait("the first point is plotted", "!!document.querySelector('#plots svg path[d^=M]')")
        self.shoot("light")
        self.shoot("dark", scheme="dark")
        self.shoot("phone", 390, 844)
        self.shoot("phone-dark", 390, 844, "dark")
        self.assertEqual(self.page.eval("window.stillTheSame"), 1, "it was loaded again")
        everything = self.page.do("text") + "".join(
            http_get(self.url + path)[1] for path in ("/api/status", "/api/history?span=1h", "/metrics"))
        self.assertNotIn(CANARY, everything)
        self.nothing_odd()

    def test_plots_are_read_by_keyboard_and_as_a_table(self):
        self.d.ask("hello", "hello")
        self.page.wait("a point", "!!document.querySelector('#plots svg path[d^=M]')")
        self.page.tab_to("#plots .chart")
        self.page.press("ArrowLeft")
        self.page.wait("the readout", "document.activeElement.getAttribute('aria-valuetext')?.includes('waiting')")
        self.page.press("Tab", "Enter")
        self.page.wait("the table", "document.querySelector('#plots details').open && document.querySelector('#plots tbody td')")
        self.page.tab_to("[data-span='24h']", most=60)
        self.page.press("Enter")
        self.page.wait("the day", "document.querySelector(\"[data-span='24h']\").getAttribute('aria-pressed') === 'true'")
        self.page.wait("spend beside its budget", "document.querySelector('#plots').innerText.includes('0 % of a day\\'s budget of 2 M')")
        self.nothing_odd()

    def test_the_feed_comes_back_after_a_refusal_and_silence_is_told(self):
        self.page.do("refuse", path="/api/events", times=2)
        self.page.do("open")
        self.page.wait("all are up on the page, in spite of it", f"{STATE} === {ALL_UP!r}")
        self.assertEqual([p for p in self.page.do("problems") if "502" not in p], [])
        self.d.katana.stop()
        self.page.wait("that nobody tells anything is said", "document.querySelector('#said').textContent.includes('No news')")
        self.assertEqual(self.page.eval("document.querySelector('#verdict').className"), "warn")
        self.d.up()
        self.page.wait("all are up again", f"{STATE} === {ALL_UP!r} && document.querySelector('#said').textContent === 'All is well'")

    def test_what_stays_in_a_list_keeps_the_focus(self):
        kept = self.page.eval("""(() => {
            const list = document.createElement('ul'), item = () => { const li = document.createElement('li');
                li.append(document.createElement('button')); return li; };
            document.body.append(list);
            const fill = keys => sync(list, keys, k => k, item, () => {});
            fill(['a', 'b', 'c']); list.children[1].firstChild.focus(); fill(['b', 'c', 'd']);
            const kept = document.activeElement === list.children[0].firstChild, count = list.children.length;
            list.remove(); return [kept, count]; })()""")
        self.assertEqual(kept, [True, 3])

    def test_histories_survive_a_restart(self):
        def memory():
            text = json.loads(http_get(self.url + "/api/history?span=1h")[1])
            return [v for v in text["processes"].get("gateway", {}).get("memory", []) if v is not None]
        eventually("a point", memory)
        self.d.katana.stop()
        before = json.loads((self.d.directory / "state/watchdog/history.json").read_text())
        kept = [v for v in before["spans"][0]["processes"]["gateway"]["memory"] if v is not None]
        self.d.up()
        self.assertEqual(memory()[:len(kept)], kept)
        self.page.wait("the page goes on by itself", f"{STATE} === {ALL_UP!r}")


class Duty(PageCase):
    settings = {"KATANA_WATCHDOG_TOKEN": TOKEN, "SMTP_URL": f"smtp://127.0.0.1:{free_port()}"}

    def unlock(self, token):
        self.page.tab_to("#key")
        self.page.press("Enter")
        self.page.wait("the dialog", "document.activeElement?.id === 'token'")
        self.page.do("type", text=token)
        self.page.press("Enter")

    def test_acknowledges_and_silences_by_keyboard(self):
        kill(self.pids["claude-1"])  # a notice, which the mail server that isn't there doesn't take
        self.page.wait("an open incident", "document.querySelector('#incidents h3')?.textContent.includes('email')")
        self.assertEqual(self.page.eval(ACTIONS_SEEN), 0)
        self.unlock("a-wrong-token-of-16")
        self.page.wait("the refusal", "document.querySelector('#unlock-error').textContent !== ''")
        self.page.press("Escape")
        self.page.wait("Escape closes", "!document.querySelector('#unlock').open")
        self.assertEqual(self.page.eval(ACTIONS_SEEN), 0)
        self.unlock(TOKEN)
        self.page.wait("unlocked", f"!document.querySelector('#unlock').open && {ACTIONS_SEEN} > 0")

        self.page.wait("it is told", "document.querySelector('#incidents .ack').checkVisibility()")
        self.page.tab_to("#incidents .ack")
        self.page.press("Enter")
        self.page.wait("acknowledged", "document.querySelector('#incidents .acked')?.checkVisibility()")
        self.page.tab_to("#incidents .quiet")
        self.page.press("Enter")
        self.page.wait("the dialog", "document.querySelector('#silence').open")
        self.page.tab_to("#silence-for")
        self.page.press("ArrowDown")  # from an hour to four
        self.page.tab_to("#silence button.main")
        self.page.press("Enter")
        self.page.wait("silenced", "document.querySelector('#incidents .silenced')?.checkVisibility()")
        self.page.wait("the silence, with its end", "/until .* 3 h 59 min more/.test(document.querySelector('#silences').innerText)")
        self.page.tab_to("#incidents .details")
        self.page.press("Enter")
        self.page.wait("the details", "document.querySelector('#detail-facts').innerText.includes('runbook') || "
                       "document.querySelector('#detail-facts').innerText.includes('what it means')")
        self.assertFalse(self.page.eval("document.querySelector('#detail-ack').checkVisibility()"), "it is done")
        self.shoot("details", whole=False)
        self.page.press("Escape")
        self.page.wait("the focus is back", "document.activeElement?.matches('#incidents .details')")
        self.page.tab_to("#silences .act")
        self.page.press("Enter")
        self.page.wait("no silence", "document.querySelector('#silences').innerText.includes('None')")

        problems = [p for p in self.page.do("problems") if "401" not in p]  # of the wrong token
        self.assertEqual(problems, [])
        log = self.d.katana.log()
        self.assertIn("a wrong token for the status page from 127.0.0.1", log)
        self.assertNotIn(TOKEN, log)
        self.assertNotIn("a-wrong-token-of-16", log)

    def test_last_words_and_a_restart_take_the_token(self):
        kill(self.pids["claude-1"])
        self.page.wait("it is over", "document.querySelector('#past').innerText.includes('claude-1 is down')")
        incident = next(i for i in self.d.status()["history"] if i["where"] == "claude-1")
        where = f"{self.url}/api/incident?id={incident['id']}"
        self.assertEqual(status_of(where)[0], 401)
        code, text = status_of(where, Authorization=f"Bearer {TOKEN}")
        self.assertEqual(code, 200)
        words = json.loads(text)["last_words"]
        self.assertEqual(words[0]["process"], "claude-1")
        self.assertTrue(words[0]["lines"])

        old = wait_up(self.d)["openai-1"]
        json_type = {"Content-Type": "application/json"}
        wish = {"instance": "openai-1"}
        self.assertEqual(status_of(self.url + "/api/restart", "POST", wish, **json_type)[0], 401)
        self.assertEqual(status_of(self.url + "/api/restart", "POST", wish, Origin="http://evil.example",
                                   Authorization=f"Bearer {TOKEN}", **json_type)[0], 403)
        self.assertEqual(status_of(self.url + "/api/restart", "POST", wish, Host="evil.example",
                                   Authorization=f"Bearer {TOKEN}", **json_type)[0], 421)
        self.assertEqual(self.d.pid_of("openai-1"), old)
        code, text = status_of(self.url + "/api/restart", "POST", wish, Authorization=f"Bearer {TOKEN}", **json_type)
        self.assertEqual((code, json.loads(text)), (200, {"done": "Restarting openai-1"}))
        replaced(self.d, "openai-1", old)


class ReadOnly(PageCase):
    def test_without_a_token_no_button_works(self):
        self.page.wait("it says so", "document.querySelector('#only-shows').checkVisibility()")
        self.assertEqual(self.page.eval(ACTIONS_SEEN), 0)
        self.page.eval("document.querySelectorAll('.act').forEach(b => { b.hidden = false; b.click(); })")
        for path in ("acknowledge", "silence", "unsilence", "restart"):
            code, _ = status_of(f"{self.url}/api/{path}", "POST", {"id": "x", "what": "all", "instance": "claude-1"},
                                **{"Content-Type": "application/json", "Authorization": "Bearer "})
            self.assertEqual(code, 403)
        self.assertEqual(self.d.status()["silences"], [])
        self.assertEqual(self.d.pid_of("claude-1"), self.pids["claude-1"])

    def test_the_runbook_is_there(self):
        self.assertEqual(self.page.do("open", path="/runbook#crash-loop"), 200)
        self.assertTrue(self.page.eval("document.querySelector(':target').innerText.includes('again and again')"))
        self.page.do("view", width=390, height=844)
        self.assertLessEqual(self.page.eval("document.documentElement.scrollWidth"), 390)
        self.nothing_odd()


@unittest.skipUnless(os.geteuid() == 0 and shutil.which("ip"), "another host is a network namespace, which takes root and iproute2")
class AnotherHost(Case):
    """A stranger's machine on the same network: a network namespace and a pair of virtual cables."""

    def setUp(self):
        super().setUp()
        self.name = f"katana{os.getpid()}"
        self.net = f"10.213.{os.getpid() % 251}"  # runs side by side don't meet
        self.addCleanup(subprocess.run, ["ip", "netns", "delete", self.name], check=False, stderr=subprocess.DEVNULL)
        if subprocess.run(["ip", "netns", "add", self.name], check=False).returncode != 0:
            self.skipTest("no network namespace can be made here")
        self.ip("link", "add", f"k{os.getpid()}", "type", "veth", "peer", "name", "eth0", "netns", self.name)
        self.ip("address", "add", f"{self.net}.1/30", "dev", f"k{os.getpid()}")
        self.ip("link", "set", f"k{os.getpid()}", "up")
        self.ip("-n", self.name, "address", "add", f"{self.net}.2/30", "dev", "eth0")
        self.ip("-n", self.name, "link", "set", "eth0", "up")

    @staticmethod
    def ip(*words):
        subprocess.run(["ip", *words], check=True)

    def stranger(self, path, *options):
        """(status, body) as that machine gets them; status 0 without an answer."""
        port = self.d.watchdog_http.rsplit(":", 1)[1]
        done = subprocess.run(["ip", "netns", "exec", self.name, "curl", "-s", "-m", "10", "-w", "\n%{http_code}", *options,
                               f"http://{self.net}.1:{port}{path}"], capture_output=True, text=True, check=False)
        body, _, status = done.stdout.rpartition("\n")
        return int(status or 0), body

    def test_by_default_nobody_gets_in(self):
        self.d.up()
        self.assertEqual(self.stranger("/")[0], 0)

    def test_opened_to_all_it_only_shows_and_what_is_tried_is_logged(self):
        port = self.d.watchdog_http.rsplit(":", 1)[1]
        self.d.set(KATANA_WATCHDOG_HTTP=f"0.0.0.0:{port}", KATANA_WATCHDOG_TOKEN="tests-page-token-0123456789")
        katana = self.d.up()
        pids = wait_up(self.d)
        self.assertIn("the status page is open to whoever reaches 0.0.0.0", katana.log())
        self.assertEqual(self.stranger("/")[0], 200)
        for path, body in (("/api/restart", {"instance": "gateway"}), ("/api/silence", {"what": "all", "for": "1h"})):
            tried = ("-H", "Content-Type: application/json", "-d", json.dumps(body))
            self.assertEqual(self.stranger(path, *tried)[0], 401)
            self.assertEqual(self.stranger(path, *tried, "-H", "Authorization: Bearer a-wrong-token-of-theirs")[0], 401)
            self.assertEqual(self.stranger(path, *tried, "-H", "Origin: http://evil.example.org", "-H",
                                           "Authorization: Bearer tests-page-token-0123456789")[0], 403)
        self.assertEqual(self.stranger("/", "-H", "Host: rebound.example.org")[0] // 100, 4)
        self.assertEqual(wait_up(self.d), pids)
        self.assertEqual(self.d.status()["silences"], [])
        eventually("it is logged", lambda: "wrong token" in katana.log() and f"{self.net}.2" in katana.log())
        self.assertIn("somebody asked for something on duty without a token", katana.log())
        self.assertNotIn("a-wrong-token-of-theirs", katana.log())


if __name__ == "__main__":
    main()
