// OpenAI's own SDK against the sandbox: Responses, Chat Completions, audio, images.
import assert from 'node:assert/strict';
import { File } from 'node:buffer';
import { after, before, beforeEach, test } from 'node:test';
import OpenAI, { toFile } from 'openai';
import { startSandbox } from './sandbox.mjs';

globalThis.File ??= File; // Debian 12's Node 18 has it only there

let sandbox;
let client;
const model = 'gpt-5.5';
const messages = [{ role: 'system', content: 'Be brief.' }, { role: 'user', content: 'How are you?' }];

before(async () => {
  sandbox = await startSandbox();
  client = new OpenAI({ apiKey: 'key-1', baseURL: `${sandbox.url}/openai/v1`, maxRetries: 0 });
});
after(async () => assert.equal(await sandbox.stop(), 0));
beforeEach(async () => {
  await sandbox.call('reset', {});
  await sandbox.call('defaults', { first_ms: 1, token_ms: 0 });
});

test('responses: a whole answer', async () => {
  await sandbox.call('script', { answer: 'Fine, thank you.' });
  const response = await client.responses.create({ model, input: 'How are you?', instructions: 'Be brief.', store: false });
  assert.equal(response.output_text, 'Fine, thank you.');
  assert.equal(response.status, 'completed');
  assert.equal(response.usage.output_tokens, 3);
  assert.match(response._request_id, /^req_/);
});

test('responses: a streamed answer, in any slices of TCP', async () => {
  const answer = 'One two three: žluťoučký 😀 "quoted" \\ and\nnew lines.';
  for (const chunk_bytes of [0, 1, 11]) {
    await sandbox.call('script', { answer, tokens: 9, token_ms: 1, chunk_bytes, chunk_gap_ms: 0.01 });
    const stream = client.responses.stream({ model, input: [{ role: 'user', content: [{ type: 'input_text', text: 'Hi' }] }] });
    let text = '';
    let sequence = -1;
    for await (const event of stream) {
      assert.equal(event.sequence_number, ++sequence);
      if (event.type === 'response.output_text.delta') text += event.delta;
    }
    const response = await stream.finalResponse();
    assert.equal(text, answer);
    assert.equal(response.output_text, answer);
  }
});

test('responses: the cap makes it incomplete', async () => {
  await sandbox.call('script', { tokens: 40 });
  const response = await client.responses.create({ model, input: 'Hi', max_output_tokens: 16 });
  assert.equal(response.status, 'incomplete');
  assert.equal(response.incomplete_details.reason, 'max_output_tokens');
});

test('responses: failures in mid-stream', async () => {
  await sandbox.call('script', { answer: 'one two three', mid_stream_error: { after: 1, type: 'response.failed', message: 'gone wrong' } });
  const kinds = [];
  for await (const event of await client.responses.create({ model, input: 'Hi', stream: true })) kinds.push(event.type);
  assert.equal(kinds.at(-1), 'response.failed');
  await sandbox.call('script', { answer: 'one two three', mid_stream_error: { after: 1, type: 'server_error', message: 'gone wrong' } });
  await assert.rejects(async () => {
    for await (const event of await client.responses.create({ model, input: 'Hi', stream: true })) {
      if (event.type === 'error') throw new Error(event.message);
    }
  }, /gone wrong/);
});

test('chat: a whole answer', async () => {
  await sandbox.call('script', { answer: 'Fine, thank you.' });
  const completion = await client.chat.completions.create({ model, messages, max_completion_tokens: 100 });
  assert.equal(completion.choices[0].message.content, 'Fine, thank you.');
  assert.equal(completion.choices[0].finish_reason, 'stop');
  assert.equal(completion.usage.completion_tokens, 3);
});

test('chat: a streamed answer with its usage', async () => {
  await sandbox.call('script', { answer: 'a b c', tokens: 5 });
  const stream = client.chat.completions.stream({ model, messages, stream_options: { include_usage: true } });
  assert.equal(await stream.finalContent(), 'a b c');
  assert.equal((await stream.totalUsage()).completion_tokens, 5);
  let last;
  await sandbox.call('script', { answer: 'a b c' });
  for await (const chunk of await client.chat.completions.create({ model, messages, stream: true, max_tokens: 2 })) last = chunk;
  assert.equal(last.choices[0].finish_reason, 'length');
});

const errors = [
  [400, OpenAI.BadRequestError, {}],
  [401, OpenAI.AuthenticationError, { code: 'invalid_api_key' }],
  [403, OpenAI.PermissionDeniedError, { code: 'unsupported_country_region_territory' }],
  [404, OpenAI.NotFoundError, { code: 'model_not_found' }],
  [429, OpenAI.RateLimitError, { code: 'rate_limit_exceeded' }],
  [429, OpenAI.RateLimitError, { code: 'insufficient_quota', type: 'insufficient_quota' }],
  [429, OpenAI.RateLimitError, { code: 'slow_down' }],
  [500, OpenAI.InternalServerError, {}],
  [503, OpenAI.InternalServerError, { code: 'server_is_overloaded' }],
];
for (const [status, kind, more] of errors) {
  test(`status ${status} ${more.code ?? ''}`, async () => {
    await sandbox.call('script', { error: { status, message: 'as scripted', ...more }, count: 2 });
    const check = (error) => {
      assert.ok(error instanceof kind);
      assert.equal(error.status, status);
      if (more.code) assert.equal(error.code, more.code);
      assert.match(error.requestID, /^req_/);
      return true;
    };
    await assert.rejects(client.responses.create({ model, input: 'Hi', stream: true }), check);
    await assert.rejects(client.chat.completions.create({ model, messages }), check);
  });
}

test('what the real service refuses is refused', async () => {
  const refused = (call, param, status = 400) => assert.rejects(call, (error) => error.status === status && (!param || error.param === param));
  await refused(client.responses.create({ model, input: 'Hi', surprise: 1 }), 'surprise');
  await refused(client.responses.create({ model }), 'input');
  await refused(client.responses.create({ model, input: [] }), 'input');
  await refused(client.responses.create({ model, input: 'word '.repeat(200_000) }), 'input');
  for (const wrong of [{ instructions: 1 }, { temperature: 'warm' }, { temperature: 3 }, { store: 'no' }, { tools: {} },
    { max_output_tokens: 1e9 }, { max_output_tokens: 'many' }, { max_output_tokens: 1 }]) {
    await refused(client.responses.create({ model, input: 'Hi', ...wrong }), Object.keys(wrong)[0]);
  }
  await client.responses.create({ model, input: 'Hi', instructions: null, temperature: 1, store: false, tools: [], max_output_tokens: 16 });
  for (const wrong of [{ temperature: 'warm' }, { top_p: 2 }, { n: 'two' }, { max_tokens: 0 }, { max_completion_tokens: 1e9 }]) {
    await refused(client.chat.completions.create({ model, messages, ...wrong }), Object.keys(wrong)[0]);
  }
  await refused(client.chat.completions.create({ model, messages: [{ role: 'user', content: 'word '.repeat(200_000) }] }), 'messages');
  await refused(client.responses.create({ model, input: [{ role: 'robot', content: 'x' }] }), 'input[0].role');
  await refused(client.responses.create({ model, input: [{ role: 'user', content: [{ type: 'sound', text: 'x' }] }] }), 'input[0].content[0].type');
  const said = (role, type) => [{ role, content: [{ type, text: 'x' }] }];
  const asked = { role: 'user', content: 'x' };
  await refused(client.responses.create({ model, input: said('user', 'text') }), 'input[0].content[0].type');
  await refused(client.responses.create({ model, input: [...said('assistant', 'input_text'), asked] }), 'input[0].content[0].type');
  await client.responses.create({ model, input: [...said('user', 'input_text'), ...said('assistant', 'output_text'), asked] });
  await refused(client.chat.completions.create({ model, messages: said('user', 'input_text') }), 'messages[0].content[0].type');
  await client.chat.completions.create({ model, messages: [...said('user', 'text'), ...said('assistant', 'text'), asked] });
  await refused(client.responses.create({ model: 'gpt-nonsense', input: 'x' }), null, 404);
  await refused(client.chat.completions.create({ model, messages, surprise: 1 }), 'surprise');
  await refused(client.chat.completions.create({ model, messages: [] }), 'messages');
  await refused(client.chat.completions.create({ model, messages: [{ role: 'robot', content: 'x' }] }), 'messages[0].role');
  await refused(client.chat.completions.create({ model, messages, max_tokens: 1, max_completion_tokens: 1 }), 'max_tokens');
  await sandbox.call('switch', { keys: ['good'] });
  await refused(client.responses.create({ model, input: 'Hi' }), null, 401);
  await new OpenAI({ apiKey: 'good', baseURL: `${sandbox.url}/openai/v1` }).responses.create({ model, input: 'Hi' });
});

test('retries until it works', async () => {
  const patient = new OpenAI({ apiKey: 'k', baseURL: `${sandbox.url}/openai/v1`, maxRetries: 2 });
  await sandbox.call('script', { error: { status: 429, retry_after_ms: 20 } });
  await sandbox.call('script', { error: { status: 503 } });
  await sandbox.call('script', { answer: 'At last.' });
  assert.equal((await patient.responses.create({ model, input: 'Hi' })).output_text, 'At last.');
  assert.deepEqual((await sandbox.call('record?call=responses')).map((call) => call.status), [429, 503, 200]);
});

test('a connection cut in mid-stream', async () => {
  await sandbox.call('script', { answer: 'one two three', token_ms: 20, cut_after: 2 });
  await assert.rejects(async () => {
    for await (const event of await client.responses.create({ model, input: 'Hi', stream: true })) assert.ok(event.type);
  });
});

test('rate limits are told', async () => {
  const { response } = await client.responses.create({ model, input: 'Hi' }).withResponse();
  assert.ok(Number(response.headers.get('x-ratelimit-limit-requests')) > 0);
  assert.match(response.headers.get('x-ratelimit-reset-requests'), /^\d+ms$/);
});

test('a scripted header takes the place of the usual one', async () => {
  await sandbox.call('script', { error: { status: 429, headers: { 'x-ratelimit-remaining-requests': '0' } } });
  await assert.rejects(client.responses.create({ model, input: 'Hi' }),
    (error) => error.headers.get('x-ratelimit-remaining-requests') === '0');
});

test('voice, pictures, models', async () => {
  const file = await toFile(Buffer.from('OggS-and-so-on'), 'voice.oga');
  const spoken = await client.audio.transcriptions.create({ file, model: 'whisper-1' });
  assert.match(spoken.text, /14 bytes/);
  const drawn = await client.images.generate({ model: 'gpt-image-1', prompt: 'a sword' });
  assert.equal(Buffer.from(drawn.data[0].b64_json, 'base64').subarray(1, 4).toString(), 'PNG');
  const names = [];
  for await (const one of client.models.list()) names.push(one.id);
  assert.ok(names.includes(model));
});
