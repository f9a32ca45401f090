// Starts a sandbox of the test's own and ends it; and speaks the control API.
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, existsSync, rmSync, watch } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export const token = '1000000001:ConformanceConformanceConformance01';

export async function startSandbox(...options) {
  const program = process.env.KATANA_SANDBOX;
  if (!program) throw new Error('KATANA_SANDBOX must name the program');
  const directory = mkdtempSync(join(tmpdir(), 'katana-sandbox-'));
  const readyFile = join(directory, 'ready.json');
  const appeared = new Promise((resolve, reject) => {
    const limit = setTimeout(() => reject(new Error('the sandbox did not get ready')), 20000);
    const watcher = watch(directory, () => {
      if (!existsSync(readyFile)) return;
      clearTimeout(limit);
      watcher.close();
      resolve();
    });
  });
  const child = spawn(program, ['--with-parent', '--token', token, '--ready-file', readyFile, '--tls-dir', directory, ...options], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  await appeared;
  const ready = JSON.parse(readFileSync(readyFile, 'utf8'));
  const call = async (path, body) => {
    const reply = await fetch(`${ready.url}/control/${path}`, body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) });
    const text = await reply.text();
    if (!reply.ok) throw new Error(`${path}: ${reply.status} ${text}`);
    return reply.headers.get('content-type').includes('ndjson') ? text.split('\n').filter(Boolean).map((line) => JSON.parse(line)) : JSON.parse(text);
  };
  const stop = async () => {
    const ended = new Promise((resolve) => child.once('exit', (code) => resolve(code)));
    child.kill('SIGTERM');
    const code = await ended;
    rmSync(directory, { recursive: true });
    return code;
  };
  return { ...ready, directory, call, stop };
}
