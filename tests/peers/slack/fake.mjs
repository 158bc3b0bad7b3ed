// A Slack to test against: the Web API and Socket Mode, as far as Slack's own clients and Tollgate use them. The official
// clients are run against it first (certify.mjs, certify.py), so that it is Slack's side of the protocol and not ours.
//
// Prints its address. What is below /_/ is for tests: what was sent, faults to come, envelopes to send. Ends with its
// standard input.
import { createServer } from 'node:http';
import { WebSocketServer } from 'ws';

const BOT = 'Bearer xoxb-test';
const APP = 'Bearer xapp-test';
const state = { messages: [], ephemerals: [], views: [], calls: [], acks: [], greeted: 0, deleted: [], limited: 0, refused: [], early: [] };
const users = new Map();
let faults = [];
let clock = 1700000000;
const sockets = [];
// Messages of the last ten seconds by channel, once a test says that Slack counts: more than fifteen are too many.
let counts = false;
const posted = new Map();
let turn = 0;
// What was limited until when: who asks before that has not waited.
const limits = new Map();
// Answers that wait for a test to let them go.
let held = [];

// What Slack refuses of a message for its size: its documented bounds, and the one it has on all blocks together
// (slackapi/bolt-js#2509, #2867), which nothing on the client's side knows.
function tooMuch({ blocks, text }) {
  const all = blocks ?? [];
  if (all.length > 50 || all.some((one) => (one.text?.text ?? '').length > 3000)) return { ok: false, error: 'invalid_blocks' };
  if (JSON.stringify(all).length > 13200) return { ok: false, error: 'msg_blocks_too_long' };
  return (text ?? '').length > 40000 ? { ok: false, error: 'msg_too_long' } : undefined;
}

const methods = {
  'auth.test': () => ({ url: 'https://fake.slack.example/', team: 'Fake', team_id: 'T0000000001', user: 'tollgate', user_id: 'U0000000BOT', bot_id: 'B0000000001' }),
  'apps.connections.open': (_, host) => ({ url: `ws://${host}/link/?ticket=${++clock}&app_id=A1` }),
  'chat.postMessage': (body) => {
    const refused = tooMuch(body);
    if (refused) return refused;
    const ts = `${++clock}.000100`;
    state.messages.push({ ...body, ts, versions: [] });
    return { channel: body.channel, ts, message: { text: body.text, ts, blocks: body.blocks } };
  },
  'chat.delete': (body) => {
    const at = state.messages.findIndex((one) => one.ts === body.ts && one.channel === body.channel);
    if (at < 0) return { ok: false, error: 'message_not_found' };
    state.deleted.push(state.messages.splice(at, 1)[0]);
    return { channel: body.channel, ts: body.ts };
  },
  'chat.update': (body) => {
    const message = state.messages.find((one) => one.ts === body.ts && one.channel === body.channel);
    if (!message) return { ok: false, error: 'message_not_found' };
    const refused = tooMuch(body);
    if (refused) return refused;
    message.versions.push({ text: message.text, blocks: message.blocks });
    Object.assign(message, { text: body.text, blocks: body.blocks });
    return { channel: body.channel, ts: body.ts, text: body.text };
  },
  'chat.postEphemeral': (body) => {
    state.ephemerals.push(body);
    return { message_ts: `${++clock}.000200` };
  },
  'views.open': (body) => {
    if (!body.trigger_id) return { ok: false, error: 'invalid_arguments' };
    const id = `V${++clock}`;
    state.views.push({ ...body, id });
    return { view: { ...body.view, id } };
  },
  'users.info': (body) => {
    const known = { id: body.user, team_id: 'T0000000001', name: 'someone', real_name: 'Some One', deleted: false, is_bot: false, is_restricted: false, is_ultra_restricted: false, is_app_user: false };
    return { user: { ...known, ...(users.get(body.user) ?? {}) } };
  },
};

function parsed(request, text) {
  const type = request.headers['content-type'] ?? '';
  let body = {};
  if (type.startsWith('application/json')) body = JSON.parse(text || '{}');
  else {
    for (const [name, value] of new URLSearchParams(text)) {
      try { body[name] = ['blocks', 'view'].includes(name) ? JSON.parse(value) : value; } catch { body[name] = value; }
    }
  }
  return body;
}

function answer(response, status, value, headers = {}) {
  response.writeHead(status, { 'content-type': 'application/json; charset=utf-8', ...headers });
  response.end(typeof value === 'string' ? value : JSON.stringify(value));
}

function api(request, response, method, text) {
  state.calls.push(method);
  const limit = method === 'chat.postMessage' ? `${method} ${parsed(request, text).channel}` : method;
  if ((limits.get(limit) ?? 0) > Date.now() + 20) state.early.push(limit);
  const fault = faults.find((one) => one.times > 0 && [method, '*'].includes(one.method) && text.includes(one.match ?? ''));
  if (fault) {
    fault.times -= 1;
    state.refused.push(method);
    if (fault.kind === '429') limits.set(limit, Date.now() + 1000 * Number(fault.after ?? '1'));
    if (fault.kind === '429') return answer(response, 429, { ok: false, error: 'ratelimited' }, { 'retry-after': fault.after ?? '1' });
    if (fault.kind === '500') return answer(response, 500, 'upstream');
    if (fault.kind === 'garbage') return answer(response, 200, '<html>\u0000');
    if (fault.kind === 'nothing') return request.socket.destroy();
    // It takes the message, and nobody hears that it did.
    if (fault.kind === 'taken') {
      methods[method](parsed(request, text), request.headers.host);
      return request.socket.destroy();
    }
    // It takes the message, and says so when the test lets it.
    if (fault.kind === 'held') {
      const said = { ok: true, ...methods[method](parsed(request, text), request.headers.host) };
      return held.push(() => answer(response, 200, said));
    }
    return answer(response, 200, { ok: false, error: fault.kind });
  }
  if (counts && method === 'chat.postMessage' && isTooFast(parsed(request, text).channel)) {
    state.limited += 1;
    return answer(response, 429, { ok: false, error: 'ratelimited' }, { 'retry-after': '5' });
  }
  const wanted = method === 'apps.connections.open' ? APP : BOT;
  if ((request.headers.authorization ?? '') !== wanted) return answer(response, 200, { ok: false, error: 'invalid_auth' });
  const does = methods[method];
  if (!does) return answer(response, 200, { ok: false, error: 'unknown_method' });
  answer(response, 200, { ok: true, ...does(parsed(request, text), request.headers.host) });
}

function isTooFast(channel) {
  const now = Date.now();
  const recent = (posted.get(channel) ?? []).filter((at) => now - at < 10000);
  if (recent.length >= 15) return true;
  posted.set(channel, [...recent, now]);
  return false;
}

function control(response, what, body) {
  if (what === 'state') return answer(response, 200, { ...state, connected: sockets.length });
  if (what === 'fault') faults.push({ times: 1, ...body });
  if (what === 'count') counts = true;
  if (what === 'forget') faults = [];
  if (what === 'release') held.splice(0).forEach((goes) => goes());
  if (what === 'user') users.set(body.id, body);
  if (what === 'send') {
    // Each envelope goes to one connection, in turn; `again` sends the very same to the next one.
    for (let i = 0; i < (body.times ?? 1); i++) sockets[turn++ % sockets.length]?.send(body.raw ?? JSON.stringify(body.envelope));
  }
  if (what === 'disconnect') {
    for (const socket of [...sockets]) {
      socket.send(JSON.stringify({ type: 'disconnect', reason: 'refresh_requested', debug_info: { host: 'fake' } }));
      socket.close();
    }
  }
  answer(response, 200, {});
}

const server = createServer((request, response) => {
  const chunks = [];
  request.on('data', (chunk) => chunks.push(chunk));
  request.on('end', () => {
    const text = Buffer.concat(chunks).toString();
    const path = new URL(request.url, 'http://x').pathname;
    try {
      if (path.startsWith('/api/')) return api(request, response, path.slice(5), text);
      if (path.startsWith('/_/')) return control(response, path.slice(3), text ? JSON.parse(text) : {});
      answer(response, 404, {});
    } catch (error) { answer(response, 200, { ok: false, error: 'invalid_json' }); }
  });
});
const accepting = new WebSocketServer({ server });
accepting.on('connection', (socket) => {
  sockets.push(socket);
  socket.on('close', () => sockets.splice(sockets.indexOf(socket), 1));
  socket.on('message', (data) => state.acks.push(JSON.parse(data.toString())));
  socket.send(JSON.stringify({ type: 'hello', num_connections: sockets.length, debug_info: { host: 'fake', build_number: 1, approximate_connection_time: 18060 }, connection_info: { app_id: 'A1' } }));
  state.greeted += 1;
  const beat = setInterval(() => socket.ping(), 1000);
  socket.on('close', () => clearInterval(beat));
});
server.listen(0, '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}/`));
process.stdin.on('end', () => process.exit(0)).resume();
