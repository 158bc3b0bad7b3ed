// Cards of ours through Slack's own clients: the Web API client posts and updates each, and Bolt takes what is pressed on
// it, with the whole message in it as Slack sends it. Reads [{blocks, text}] from the file it is given.
import { readFileSync } from 'node:fs';
import { deepStrictEqual } from 'node:assert';
import bolt from '@slack/bolt';
import { WebClient } from '@slack/web-api';

const [, , base, file] = process.argv;
const cards = JSON.parse(readFileSync(file, 'utf8'));
const slackApiUrl = `${base}api/`;
const post = (what, body) => fetch(`${base}_/${what}`, { method: 'POST', body: JSON.stringify(body) });
const web = new WebClient('xoxb-test', { slackApiUrl });
const app = new bolt.App({ token: 'xoxb-test', appToken: 'xapp-test', socketMode: true, clientOptions: { slackApiUrl }, logLevel: bolt.LogLevel.ERROR });
let taken;
const pressed = new Promise((resolve) => { taken = resolve; });
let count = 0;
app.action(/^tollgate_/, async ({ ack, action, body }) => {
  await ack();
  deepStrictEqual(body.message.blocks, cards[Number(action.action_ts)].blocks);
  count += 1;
  if (count === cards.length) taken();
});
app.error(async (error) => { console.error(error); process.exit(1); });
await app.start();
let bytes = 0;
for (const [at, { blocks, text }] of cards.entries()) {
  const posted = await web.chat.postMessage({ channel: 'C00000000', text, blocks });
  await web.chat.update({ channel: posted.channel, ts: posted.ts, text, blocks });
  bytes += Buffer.byteLength(JSON.stringify(blocks));
  const message = { type: 'message', ts: posted.ts, text, blocks };
  const buttons = blocks.flatMap((block) => block.elements ?? []).filter((one) => one.type === 'button');
  const action = { type: 'button', block_id: 'tollgate_decide', action_id: buttons[0].action_id, value: buttons[0].value, action_ts: String(at) };
  const payload = {
    type: 'block_actions', user: { id: 'U1', username: 'someone', team_id: 'T0000000001' }, team: { id: 'T0000000001', domain: 'fake' }, trigger_id: `t${at}`, api_app_id: 'A1',
    container: { type: 'message', message_ts: posted.ts, channel_id: 'C00000000' }, channel: { id: 'C00000000', name: 'c' }, message, actions: [action], response_url: 'http://127.0.0.1:1/',
  };
  await post('send', { envelope: { type: 'interactive', envelope_id: `card-${at}`, payload, accepts_response_payload: false } });
}
await pressed;
console.log(JSON.stringify({ taken: count, bytes }));
process.exit(0);
