"""Chromium, as a test sees it: tests/browser/drive.mjs does what it is told, and says what the page did wrong."""

import json
import os
import pathlib
import select
import subprocess

from harness import LIMIT, eventually

TOP = pathlib.Path(__file__).resolve().parents[2]
PLACE = pathlib.Path(os.environ.get("KATANA_BROWSER", TOP / "build/tests/browser/npm"))


def install():
    """The driver's package, unless the same one is there."""
    subprocess.run([TOP / "tests/sandbox/conformance/install.sh", TOP / "tests/browser", PLACE], check=True,
                   stdout=subprocess.DEVNULL)


class Browser:
    """One page in a browser of its own, with a profile of its own."""

    def __init__(self, url):
        install()
        self.popen = subprocess.Popen(["node", PLACE / "drive.mjs", url], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      text=True, bufsize=1)
        try:
            self._answer()
        except BaseException:
            self.close()
            raise

    def _answer(self):
        if not select.select([self.popen.stdout], [], [], LIMIT)[0]:
            raise AssertionError(f"the browser says nothing for {LIMIT:.0f} s")
        line = self.popen.stdout.readline()
        if not line:
            raise AssertionError("the browser has ended")
        answer = json.loads(line)
        if "error" in answer:
            raise AssertionError("the browser: " + answer["error"])
        return answer.get("value")

    def do(self, name, **how):
        self.popen.stdin.write(json.dumps({"do": name, **how}) + "\n")
        return self._answer()

    def eval(self, script):
        return self.do("eval", script=script)

    def press(self, *keys):
        for key in keys:
            self.do("press", key=key)

    def text_of(self, selector):
        """The text as it is seen; empty where there is no such element, or it isn't shown."""
        return self.eval(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''")

    def wait(self, what, script):
        return eventually(what, lambda: self.eval(script))

    def tab_to(self, selector, most=120):
        """As somebody without a mouse gets there."""
        for _ in range(most):
            if self.eval(f"document.activeElement?.matches({json.dumps(selector)}) ?? false"):
                return
            self.press("Tab")
        raise AssertionError(f"{selector} can't be reached by Tab; the focus is on " +
                             str(self.eval("document.activeElement?.outerHTML.slice(0, 200)")))

    def close(self):
        self.popen.stdin.close()
        try:
            self.popen.wait(LIMIT)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
        self.popen.stdout.close()
