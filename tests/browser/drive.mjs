// Drives Debian's Chromium for a test that is written elsewhere: one JSON command a line comes in, one JSON answer a line
// goes out. `drive.mjs URL`; ends when its input does.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { chromium } from 'playwright-core';

const origin = new URL(process.argv[2]).origin;
const profile = mkdtempSync(join(tmpdir(), 'katana-browser-'));
const context = await chromium.launchPersistentContext(profile, {
  executablePath: process.env.KATANA_CHROMIUM || '/usr/bin/chromium',
  headless: true,
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync'],
  viewport: { width: 1280, height: 900 },
});
const page = context.pages()[0] ?? await context.newPage();

// What must not happen: an error on the page, or a word with anybody but the watchdog.
const problems = [];
page.on('pageerror', (error) => problems.push(`error: ${error.message}`));
page.on('console', (line) => { if (['error', 'warning'].includes(line.type())) problems.push(`console: ${line.text()} (${line.location().url})`); });
context.on('request', (request) => {
  const url = new URL(request.url());
  if (url.protocol !== 'data:' && url.origin !== origin) problems.push(`request to ${url.origin}`);
});

const commands = {
  open: ({ path = '/' }) => page.goto(origin + path, { waitUntil: 'load' }).then((r) => r.status()),
  eval: ({ script }) => page.evaluate(script),
  press: ({ key }) => page.keyboard.press(key),
  type: ({ text }) => page.keyboard.type(text),
  hover: ({ selector }) => page.hover(selector),
  view: ({ width, height, scheme = 'light', motion = 'no-preference' }) =>
    page.setViewportSize({ width, height }).then(() => page.emulateMedia({ colorScheme: scheme, reducedMotion: motion })),
  shot: ({ file, whole = true }) => page.screenshot({ path: file, fullPage: whole }).then(() => file),
  // As a proxy in between would that has lost its other side.
  refuse: ({ path, status = 502, times = 1 }) => page.route('**' + path, (route) => route.fulfill({ status }), { times }),
  text: () => page.evaluate(() => document.documentElement.outerHTML),
  problems: () => problems.splice(0),
};

try {
  process.stdout.write(JSON.stringify({ ready: true }) + '\n');
  for await (const line of createInterface({ input: process.stdin })) {
    const { do: name, ...rest } = JSON.parse(line);
    let answer;
    try {
      answer = { value: await commands[name](rest) ?? null };
    } catch (error) {
      answer = { error: String(error.message ?? error) };
    }
    process.stdout.write(JSON.stringify(answer) + '\n');
  }
} finally {
  await context.close();
  rmSync(profile, { recursive: true, force: true });
}
