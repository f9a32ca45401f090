// Anthropic's own SDK against the sandbox.
import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import Anthropic from '@anthropic-ai/sdk';
import { startSandbox } from './sandbox.mjs';

let sandbox;
let client;
const question = { model: 'claude-sonnet-5-5', max_tokens: 1000, messages: [{ role: 'user', content: 'How are you?' }] };

before(async () => {
  sandbox = await startSandbox();
  client = new Anthropic({ apiKey: 'key-1', baseURL: `${sandbox.url}/anthropic`, maxRetries: 0 });
});
after(async () => assert.equal(await sandbox.stop(), 0));
beforeEach(async () => {
  await sandbox.call('reset', {});
  await sandbox.call('defaults', { first_ms: 1, token_ms: 0 });
});

test('a whole answer', async () => {
  await sandbox.call('script', { answer: 'Fine, thank you.' });
  const { data, request_id } = await client.messages.create(question).withResponse();
  assert.equal(data.content[0].text, 'Fine, thank you.');
  assert.equal(data.stop_reason, 'end_turn');
  assert.equal(data.usage.output_tokens, 3);
  assert.match(request_id, /^req_/);
  const [asked] = await sandbox.call('record?call=messages');
  assert.equal(asked.authorized, true);
  assert.equal(asked.headers['anthropic-version'], '2026-10-21');
  assert.ok(!JSON.stringify(asked).includes('key-1'));
});

test('a streamed answer, in any slices of TCP', async () => {
  const answer = 'One two three: žluťoučký 😀 "quoted" \\ and\nnew lines.';
  for (const chunk_bytes of [0, 1, 7]) {
    await sandbox.call('script', { answer, tokens: 12, token_ms: 1, chunk_bytes, chunk_gap_ms: 0.01 });
    const stream = client.messages.stream(question);
    let text = '';
    stream.on('text', (piece) => { text += piece; });
    const message = await stream.finalMessage();
    assert.equal(text, answer);
    assert.equal(message.content[0].text, answer);
    assert.equal(message.usage.output_tokens, 12);
  }
});

test('events come in the order of the protocol', async () => {
  await sandbox.call('script', { answer: 'a b', thinking: 'hm', pings: 1 });
  const kinds = [];
  for await (const event of await client.messages.create({ ...question, stream: true })) kinds.push(event.type);
  assert.deepEqual(kinds, ['message_start', 'content_block_start', 'content_block_delta', 'content_block_delta', 'content_block_stop',
    'content_block_start', 'content_block_delta', 'content_block_delta', 'content_block_stop', 'message_delta', 'message_stop']);
});

test('thinking stands before the text', async () => {
  await sandbox.call('script', { answer: 'Yes.', thinking: 'Let me see.', count: 2 });
  const streamed = await client.messages.stream(question).finalMessage();
  const whole = await client.messages.create(question);
  for (const message of [streamed, whole]) {
    assert.deepEqual(message.content.map((block) => block.type), ['thinking', 'text']);
    assert.equal(message.content[0].thinking, 'Let me see.');
    assert.equal(message.content[1].text, 'Yes.');
  }
});

test('max_tokens cuts', async () => {
  await sandbox.call('script', { answer: 'one two three four' });
  const message = await client.messages.stream({ ...question, max_tokens: 2 }).finalMessage();
  assert.equal(message.stop_reason, 'max_tokens');
  assert.equal(message.content[0].text, 'one two ');
});

const errors = [
  [400, Anthropic.BadRequestError, 'invalid_request_error'],
  [401, Anthropic.AuthenticationError, 'authentication_error'],
  [403, Anthropic.PermissionDeniedError, 'permission_error'],
  [404, Anthropic.NotFoundError, 'not_found_error'],
  [429, Anthropic.RateLimitError, 'rate_limit_error'],
  [500, Anthropic.InternalServerError, 'api_error'],
  [529, Anthropic.APIError, 'overloaded_error'],
  [402, Anthropic.APIError, 'billing_error'],
  [413, Anthropic.APIError, 'request_too_large'],
  [504, Anthropic.APIError, 'timeout_error'],
];
for (const [status, kind, type] of errors) {
  test(`status ${status} is ${type}`, async () => {
    await sandbox.call('script', { error: { status, message: 'as scripted' } });
    await assert.rejects(client.messages.create(question), (error) => {
      assert.ok(error instanceof kind);
      assert.equal(error.status, status);
      assert.equal(error.type, type);
      assert.match(error.requestID, /^req_/);
      return true;
    });
  });
}

test('what the real service refuses is refused', async () => {
  const refused = async (changes, status = 400, options = {}) => {
    const body = { ...question, ...changes };
    for (const key of Object.keys(body)) if (body[key] === undefined) delete body[key];
    await assert.rejects(client.messages.create(body, options), (error) => error.status === status, JSON.stringify(changes));
  };
  await refused({ max_tokens: undefined });
  await refused({ max_tokens: 0 });
  await refused({ messages: [] });
  await refused({ messages: [{ role: 'assistant', content: 'I begin' }] });
  await refused({ messages: [{ role: 'robot', content: 'x' }] });
  await refused({ messages: [{ role: 'user', content: '' }] });
  await refused({ messages: [{ role: 'user', content: [{ type: 'text', text: '' }] }] });
  await refused({ messages: [{ role: 'user', content: [{ type: 'text', text: ' \n' }] }] });
  await refused({ messages: [{ role: 'user', content: ' ' }] });
  await refused({ surprise: 1 });
  await refused({ max_tokens: 1e9, stream: true });
  await refused({ messages: [{ role: 'user', content: 'word '.repeat(200_000) }] });
  await refused({ stop_sequences: 'X' });
  await refused({ system: 1 });
  await refused({ metadata: 'me' });
  await refused({ cache_control: 'ephemeral' });
  await refused({ cache_control: { type: 'ephemeral', ttl: '2h' } });
  await refused({ messages: [{ role: 'user', content: [{ type: 'text', text: 'Hi', cache_control: { type: 'eternal' } }] }] });
  await refused({ system: [{ type: 'text', text: 'Be brief.', cache_control: true }] });
  await refused({ temperature: 0.5 });
  await refused({ model: 'claude-nonsense' }, 404);
  const older = { headers: { 'anthropic-version': '2023-06-01' } };
  await client.messages.create({ ...question, temperature: 0.5 }, older);
  await refused({ temperature: 1.5 }, 400, older);
  await refused({ temperature: 'warm' }, 400, older);
  await refused({}, 400, { headers: { 'anthropic-version': '1999-01-01' } });
  const keyless = await fetch(`${sandbox.url}/anthropic/v1/messages`, { method: 'POST', body: JSON.stringify(question) });
  assert.equal(keyless.status, 401);
  assert.equal((await keyless.json()).error.type, 'authentication_error');
  await sandbox.call('switch', { keys: ['another'] });
  await refused({}, 401);
});

test('fields that the real service knows are taken', async () => {
  await client.messages.create({
    ...question, system: [{ type: 'text', text: 'Be brief.', cache_control: { type: 'ephemeral' } }], stop_sequences: ['X'],
    thinking: { type: 'adaptive' }, output_config: { effort: 'low' }, metadata: { user_id: 'u' }, service_tier: 'auto', tools: [],
    cache_control: { type: 'ephemeral', ttl: '1h' },
  });
});

test('retries wait as long as they are told, and no longer', async () => {
  const patient = new Anthropic({ apiKey: 'k', baseURL: `${sandbox.url}/anthropic`, maxRetries: 2 });
  await sandbox.call('script', { error: { status: 529 }, count: 1 });
  await sandbox.call('script', { error: { status: 429, retry_after_ms: 30, retry_after: 9 }, count: 1 });
  await sandbox.call('script', { answer: 'At last.' });
  const message = await patient.messages.create(question);
  assert.equal(message.content[0].text, 'At last.');
  const calls = await sandbox.call('record?call=messages');
  assert.deepEqual(calls.map((call) => call.status), [529, 429, 200]);
  const wait = (calls[2].at_ns - calls[1].answered_ns) / 1e6;
  assert.ok(wait >= 25 && wait < 5000, `waited ${wait} ms`);
});

test('x-should-retry: false ends it', async () => {
  const patient = new Anthropic({ apiKey: 'k', baseURL: `${sandbox.url}/anthropic`, maxRetries: 2 });
  await sandbox.call('script', { error: { status: 429, should_retry: 'false', code: 'enforced_spend_limit_reached' }, count: -1 });
  await assert.rejects(patient.messages.create(question), (error) => error.errorCode === 'enforced_spend_limit_reached');
  assert.equal((await sandbox.call('record?call=messages')).length, 1);
});

test('an error in mid-stream', async () => {
  await sandbox.call('script', { answer: 'one two three', mid_stream_error: { after: 2, type: 'overloaded_error', message: 'Overloaded' } });
  let text = '';
  await assert.rejects(async () => {
    for await (const event of await client.messages.create({ ...question, stream: true })) {
      if (event.type === 'content_block_delta') text += event.delta.text;
    }
  }, (error) => error instanceof Anthropic.APIError && error.type === 'overloaded_error');
  assert.equal(text, 'one two ');
});

test('a connection cut in mid-stream', async () => {
  for (const cut_by_reset of [true, false]) {
    await sandbox.call('script', { answer: 'one two three', token_ms: 20, cut_after: 2, cut_by_reset });
    await assert.rejects(client.messages.stream(question).finalMessage());
  }
});

test('rate limits are told', async () => {
  const { response } = await client.messages.create(question).withResponse();
  for (const kind of ['requests', 'tokens', 'input-tokens', 'output-tokens']) {
    assert.ok(Number(response.headers.get(`anthropic-ratelimit-${kind}-limit`)) > 0);
    assert.ok(!Number.isNaN(Date.parse(response.headers.get(`anthropic-ratelimit-${kind}-reset`))));
  }
});

test('models are listed', async () => {
  const names = [];
  for await (const model of client.models.list()) names.push(model.id);
  assert.ok(names.includes('claude-opus-5-5'));
});

test('an abort is seen', async () => {
  await sandbox.call('script', { tokens: 1000, token_ms: 5 });
  const stream = await client.messages.create({ ...question, stream: true });
  for await (const event of stream) if (event.type === 'content_block_delta') break;
  for (let tries = 0; ; ++tries) {
    const [call] = await sandbox.call('record?call=messages');
    if (call.outcome === 'gone') break;
    assert.ok(tries < 200, `still ${call.outcome}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  assert.equal((await sandbox.call('stats')).answers_running, 0);
});
