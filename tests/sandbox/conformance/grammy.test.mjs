// grammY, a Bot API client, against the sandbox.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after, before, beforeEach, test } from 'node:test';
import { Bot, GrammyError, InlineKeyboard, InputFile, webhookCallback } from 'grammy';
import { startSandbox, token } from './sandbox.mjs';

let sandbox;
let api;
const chat = 77;
const newBot = () => new Bot(token, { client: { apiRoot: sandbox.url } });

before(async () => {
  sandbox = await startSandbox();
  api = newBot().api;
});
after(async () => assert.equal(await sandbox.stop(), 0));
beforeEach(async () => {
  await sandbox.call('reset', {});
  await sandbox.call('chat', { chat });
});

const shown = (contains, more = '') => sandbox.call(`wait?chat=${chat}&contains=${encodeURIComponent(contains)}${more}`);

async function withBot(set, talk) {
  const bot = newBot();
  set(bot);
  const running = bot.start({ timeout: 20 });
  try {
    await talk(bot);
  } finally {
    await bot.stop();
    await running;
  }
}

test('the bot knows itself', async () => {
  const me = await api.getMe();
  assert.equal(me.id, 1000000001);
  assert.equal(me.is_bot, true);
  assert.equal(me.can_read_all_group_messages, false);
});

test('long polling: an echo, each message once', async () => {
  await withBot((bot) => bot.on('message:text', (ctx) => ctx.reply(`echo: ${ctx.message.text}`)), async () => {
    for (const text of ['one', 'two', 'three 😀']) {
      await sandbox.call('say', { chat, text });
      await shown(`echo: ${text}`);
    }
  });
  const { messages } = await sandbox.call(`chat?id=${chat}`);
  assert.equal(messages.filter((message) => message.by_bot).length, 3);
  assert.equal((await api.getWebhookInfo()).pending_update_count, 0);
});

test('commands and mentions are entities', async () => {
  await withBot((bot) => bot.command('start', (ctx) => ctx.reply(`started with ${ctx.match}`)), async () => {
    await sandbox.call('say', { chat, text: '/start now' });
    await shown('started with now');
  });
});

test('entities and edits', async () => {
  const sent = await api.sendMessage(chat, 'a 😀 bold', { entities: [{ type: 'bold', offset: 5, length: 4 }] });
  assert.deepEqual(sent.entities, [{ type: 'bold', offset: 5, length: 4 }]);
  const edited = await api.editMessageText(chat, sent.message_id, '<b>bold</b> &amp; <a href="http://x.y/">link</a>', { parse_mode: 'HTML' });
  assert.equal(edited.text, 'bold & link');
  assert.deepEqual(edited.entities.map((entity) => entity.type), ['bold', 'text_link']);
  assert.ok(edited.edit_date);
  await assert.rejects(api.editMessageText(chat, sent.message_id, 'bold & link', { entities: edited.entities }), /message is not modified/);
  const { messages } = await sandbox.call(`chat?id=${chat}`);
  assert.equal(messages[0].edit_count, 1);
  assert.equal(messages[0].history[0].text, 'a 😀 bold');
  const pretty = await api.sendMessage(chat, '*bold* _it_ `c` ||s|| [l](http://x.y) ~d~ \\!', { parse_mode: 'MarkdownV2' });
  assert.equal(pretty.text, 'bold it c s l d !');
  assert.deepEqual(pretty.entities.map((entity) => entity.type), ['bold', 'italic', 'code', 'spoiler', 'text_link', 'strikethrough']);
});

const refusals = [
  ['empty text', () => api.sendMessage(chat, ''), 400, 'Bad Request: message text is empty'],
  ['only spaces', () => api.sendMessage(chat, ' \n '), 400, 'Bad Request: message text is empty'],
  ['4097 units', () => api.sendMessage(chat, '😀'.repeat(2048) + 'x'), 400, 'Bad Request: message is too long'],
  ['no such chat', () => api.sendMessage(99, 'x'), 400, 'Bad Request: chat not found'],
  ['no such message', () => api.editMessageText(chat, 999, 'x'), 400, 'Bad Request: message to edit not found'],
  ['no message to delete', () => api.deleteMessage(chat, 999), 400, 'Bad Request: message to delete not found'],
  ['broken HTML', () => api.sendMessage(chat, '<b>x', { parse_mode: 'HTML' }), 400, "Bad Request: can't parse entities: Can't find end tag corresponding to start tag \"b\""],
  ['unescaped', () => api.sendMessage(chat, 'a.b', { parse_mode: 'MarkdownV2' }), 400, "Bad Request: can't parse entities: Character '.' is reserved and must be escaped with the preceding '\\'"],
  ['entity outside', () => api.sendMessage(chat, 'abc', { entities: [{ type: 'bold', offset: 1, length: 3 }] }), 400, 'Bad Request: entity beginning at UTF-16 offset 1 ends after the end of the text at UTF-16 offset 4'],
  ['half a character', () => api.sendMessage(chat, '😀x', { entities: [{ type: 'bold', offset: 1, length: 2 }] }), 400, 'Bad Request: entity beginning at UTF-16 offset 1 begins in a middle of a UTF-16 symbol'],
  ['reply to nothing', () => api.sendMessage(chat, 'x', { reply_parameters: { message_id: 500 } }), 400, 'Bad Request: message to be replied not found'],
  ['long callback data', () => api.sendMessage(chat, 'x', { reply_markup: new InlineKeyboard().text('b', 'x'.repeat(65)) }), 400, 'Bad Request: BUTTON_DATA_INVALID'],
];
for (const [name, call, code, description] of refusals) {
  test(`refused: ${name}`, async () => {
    await assert.rejects(call(), (error) => {
      assert.ok(error instanceof GrammyError, String(error));
      assert.equal(error.error_code, code);
      assert.equal(error.description, description);
      return true;
    });
  });
}

test('4096 units go through, and a reply that may do without', async () => {
  assert.equal((await api.sendMessage(chat, '😀'.repeat(2048))).text.length, 4096);
  const sent = await api.sendMessage(chat, 'x', { reply_parameters: { message_id: 500, allow_sending_without_reply: true } });
  assert.equal(sent.reply_to_message, undefined);
  const reply = await api.sendMessage(chat, 'y', { reply_parameters: { message_id: sent.message_id } });
  assert.equal(reply.reply_to_message.message_id, sent.message_id);
});

test('buttons', async () => {
  await withBot((bot) => {
    bot.on('callback_query:data', async (ctx) => {
      await ctx.answerCallbackQuery({ text: 'got it' });
      await ctx.editMessageText(`pressed ${ctx.callbackQuery.data}`);
    });
  }, async () => {
    const sent = await api.sendMessage(chat, 'Choose', { reply_markup: new InlineKeyboard().text('Stop', 'stop:1').text('Go', 'go:2') });
    await sandbox.call('press', { chat, message_id: sent.message_id, button: 'Go' });
    await shown('pressed go:2');
  });
  await assert.rejects(api.answerCallbackQuery('123'), /query is too old/);
});

test('drafts', async () => {
  assert.equal(await api.raw.sendMessageDraft({ chat_id: chat, draft_id: 5, text: 'so far', can_stop: true }), true);
  await assert.rejects(api.raw.sendMessageDraft({ chat_id: chat, draft_id: 0, text: 'x' }), /draft_id/);
  await sandbox.call('chat', { chat: -100500, type: 'supergroup' });
  await assert.rejects(api.raw.sendMessageDraft({ chat_id: -100500, draft_id: 1, text: 'x' }), /private/);
  await sandbox.call('stop', { chat, draft_id: 5 });
  const [update] = await api.getUpdates({ allowed_updates: ['stopped_message_generation'] });
  assert.equal(update.stopped_message_generation.draft_id, 5);
});

test('rich messages', async () => {
  const sent = await api.raw.sendRichMessage({ chat_id: chat, rich_message: { markdown: '# Title\n\ntext' } });
  assert.ok(sent.rich_message);
  await api.raw.editMessageText({ chat_id: chat, message_id: sent.message_id, rich_message: { markdown: '# Other' } });
});

test('files both ways', async () => {
  const sent = await api.sendDocument(chat, new InputFile(Buffer.from('col1,col2\n'), 'table.csv'), { caption: 'a table' });
  assert.equal(sent.document.file_name, 'table.csv');
  assert.equal(sent.caption, 'a table');
  await sandbox.call('say', { chat, text: 'look', media: { kind: 'photo', text: 'pretend pixels' } });
  const [update] = await api.getUpdates();
  assert.equal(update.message.caption, 'look');
  const file = await api.getFile(update.message.photo.at(-1).file_id);
  const bytes = await fetch(`${sandbox.url}/file/bot${token}/${file.file_path}`);
  assert.equal(await bytes.text(), 'pretend pixels');
  await sandbox.call('say', { chat, media: { kind: 'document', size: 21 * 1024 * 1024 } });
  const [, big] = await api.getUpdates({ offset: update.update_id });
  await assert.rejects(api.getFile(big.message.document.file_id), /file is too big/);
});

test('an update is confirmed by a higher offset only', async () => {
  for (const text of ['a', 'b', 'c']) await sandbox.call('say', { chat, text });
  const all = await api.getUpdates();
  assert.equal(all.length, 3);
  assert.equal((await api.getUpdates({ limit: 2 })).length, 2);
  const rest = await api.getUpdates({ offset: all[0].update_id + 1 });
  assert.deepEqual(rest.map((update) => update.message.text), ['b', 'c']);
  assert.equal((await api.getWebhookInfo()).pending_update_count, 2);
  assert.deepEqual((await api.getUpdates({ offset: -1 })).map((update) => update.message.text), ['c']);
});

test('a second poll ends the first with 409', async () => {
  const first = api.getUpdates({ timeout: 30 });
  const refused = assert.rejects(first, (error) => error.error_code === 409 && /terminated by other getUpdates/.test(error.description));
  while (!(await sandbox.call('bots')).bots[0].polling) await new Promise((resolve) => setTimeout(resolve, 5));
  const second = api.getUpdates({ timeout: 30 });
  await refused;
  await sandbox.call('say', { chat, text: 'for the second' });
  assert.equal((await second)[0].message.text, 'for the second');
});

test('a webhook gets updates, and keeps pollers out', async () => {
  const bot = newBot();
  bot.on('message:text', (ctx) => ctx.reply(`hook: ${ctx.message.text}`));
  const server = createServer(webhookCallback(bot, 'http', { secretToken: 'sesame' }));
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  await api.setWebhook(`http://127.0.0.1:${server.address().port}/hook`, { secret_token: 'sesame' });
  await assert.rejects(api.getUpdates(), (error) => error.error_code === 409 && /webhook is active/.test(error.description));
  await sandbox.call('say', { chat, text: 'one' });
  await sandbox.call('say', { chat, text: 'two' });
  await shown('hook: two');
  assert.equal((await api.getWebhookInfo()).url.endsWith('/hook'), true);
  await api.deleteWebhook();
  await new Promise((resolve) => { server.close(resolve); server.closeAllConnections(); });
  assert.deepEqual(await api.getUpdates(), []);
});

test('groups: Group Privacy', async () => {
  const group = -1001234567890;
  const say = async (text, more = {}) => (await sandbox.call('say', { chat: group, user: 5, text, type: 'supergroup', ...more })).delivered;
  assert.equal(await say('plain'), false);
  assert.equal(await say('@sandbox_1000000001_bot hello'), false);
  assert.equal(await say('/ask me'), true);
  assert.equal(await say('/ask@other_bot me'), false);
  const mine = await api.sendMessage(group, 'mine');
  assert.equal(await say('a reply', { reply_to: mine.message_id }), true);
  await sandbox.call('bot', { can_read_all_group_messages: true });
  assert.equal(await say('plain again'), true);
  assert.equal((await api.getMe()).can_read_all_group_messages, true);
  await sandbox.call('bot', { can_read_all_group_messages: false });
});

test('blocked, kicked, moved', async () => {
  await sandbox.call('member', { chat, status: 'kicked' });
  await assert.rejects(api.sendMessage(chat, 'x'), (error) => error.error_code === 403 && error.description === 'Forbidden: bot was blocked by the user');
  const [update] = await api.getUpdates();
  assert.equal(update.my_chat_member.new_chat_member.status, 'kicked');
  await sandbox.call('chat', { chat: -55, type: 'group', migrated_to: -100055 });
  await assert.rejects(api.sendMessage(-55, 'x'), (error) => error.parameters.migrate_to_chat_id === -100055);
});

test('flood limits, when they are on', async () => {
  await sandbox.call('switch', { limits: true });
  let refusal;
  for (let i = 0; i < 10 && !refusal; ++i) refusal = await api.sendMessage(chat, `m${i}`).then(() => null, (error) => error);
  assert.equal(refusal.error_code, 429);
  assert.ok(refusal.parameters.retry_after >= 1);
  const again = await api.sendChatAction(chat, 'typing').catch((error) => error);
  assert.ok(again.parameters.retry_after > refusal.parameters.retry_after);
});

test('scripted faults', async () => {
  await sandbox.call('fault', { method: 'sendMessage', kind: '429', retry_after: 7 });
  await assert.rejects(api.sendMessage(chat, 'x'), (error) => error.parameters.retry_after === 7);
  await sandbox.call('fault', { method: 'sendMessage', kind: 'status', status: 500 });
  await assert.rejects(api.sendMessage(chat, 'x'), (error) => error.error_code === 500);
  for (const kind of ['close_before', 'close_after', 'malformed_json', 'bad_gateway_html']) {
    await sandbox.call('fault', { method: 'sendMessage', kind });
    await assert.rejects(api.sendMessage(chat, kind));
  }
  const { messages } = await sandbox.call(`chat?id=${chat}`);
  assert.deepEqual(messages.map((message) => message.text), ['close_after', 'malformed_json']);
  await sandbox.call('fault', { method: 'sendMessage', delay_ms: 50 });
  const began = performance.now();
  await api.sendMessage(chat, 'late');
  assert.ok(performance.now() - began >= 45);
});

test('a wrong token, an unknown method', async () => {
  await assert.rejects(new Bot('1000000001:wrong', { client: { apiRoot: sandbox.url } }).api.getMe(), (error) => error.error_code === 401);
  await sandbox.call('bot', { revoked: true });
  await assert.rejects(api.getMe(), (error) => error.error_code === 401 && error.description === 'Unauthorized');
  await sandbox.call('bot', { revoked: false });
  await assert.rejects(api.raw.noSuchMethod({}), (error) => error.error_code === 404);
});

test('nothing that grammY sends is unknown here', async () => {
  await api.setMyCommands([{ command: 'start', description: 'Begin' }]);
  assert.equal((await api.getMyCommands())[0].command, 'start');
  await api.sendChatAction(chat, 'typing', { message_thread_id: 3 });
  const sent = await api.sendMessage(chat, 'x', { link_preview_options: { is_disabled: true }, message_thread_id: 3, disable_notification: true });
  assert.equal(sent.message_thread_id, 3);
  await api.setMessageReaction(chat, sent.message_id, [{ type: 'emoji', emoji: '👍' }]);
  await api.editMessageReplyMarkup(chat, sent.message_id, { reply_markup: new InlineKeyboard().text('a', 'b') });
  assert.equal((await api.getChat(chat)).type, 'private');
  await api.deleteMessage(chat, sent.message_id);
  for (const call of await sandbox.call('record')) assert.deepEqual(call.unknown_fields, [], call.call);
  await api.raw.sendMessage({ chat_id: chat, text: 'x', surprise: 1 });
  const calls = await sandbox.call('record?call=sendMessage');
  assert.deepEqual(calls.at(-1).unknown_fields, ['surprise']);
});
