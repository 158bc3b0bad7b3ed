// Slack's own clients (Bolt for JavaScript in Socket Mode, the Web API client) against the stand-in: what they accept and
// do there is what Tollgate is tested with. Prints what was seen.
import bolt from '@slack/bolt';
import { WebClient } from '@slack/web-api';

const base = process.argv[2];
const slackApiUrl = `${base}api/`;
const post = (what, body) => fetch(`${base}_/${what}`, { method: 'POST', body: JSON.stringify(body) });
const until = async (what) => {
  for (;;) {
    const found = await what();
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
};

const web = new WebClient('xoxb-test', { slackApiUrl });
const seen = {};
seen.team = (await web.auth.test()).team_id;
const blocks = [{ type: 'section', text: { type: 'plain_text', text: 'one' } }];
const posted = await web.chat.postMessage({ channel: 'C00000000', text: 'one', blocks });
await web.chat.update({ channel: posted.channel, ts: posted.ts, text: 'two', blocks });
await web.chat.postEphemeral({ channel: 'C00000000', user: 'U1', text: 'three' });
seen.user = (await web.users.info({ user: 'U1' })).user.team_id;
seen.missing = await web.chat.update({ channel: 'C0', ts: '1.1', text: 'x' }).catch((error) => error.data?.error);
await post('fault', { method: 'chat.postMessage', kind: '429' });
seen.retried = (await web.chat.postMessage({ channel: 'C00000000', text: 'again' })).ok;

const app = new bolt.App({ token: 'xoxb-test', appToken: 'xapp-test', socketMode: true, clientOptions: { slackApiUrl }, logLevel: bolt.LogLevel.ERROR });
const taken = [];
app.action(/.*/, async ({ ack, body, client }) => {
  await ack();
  await client.views.open({ trigger_id: body.trigger_id, view: { type: 'modal', title: { type: 'plain_text', text: 't' }, blocks } });
  taken.push(body.actions[0].action_id);
});
app.view('tollgate_refuse', async ({ ack, view }) => { await ack(); taken.push(view.state.values.reason.reason.value); });
await app.start();
const user = { id: 'U1', username: 'someone', team_id: 'T0000000001' };
const team = { id: 'T0000000001', domain: 'fake' };
const about = { type: 'message', message_ts: posted.ts, channel_id: 'C00000000' };
const pressed = { type: 'block_actions', user, team, trigger_id: '1.2.3', api_app_id: 'A1', container: about, channel: { id: 'C00000000', name: 'c' }, actions: [{ type: 'button', action_id: 'tollgate_approve', block_id: 'b', value: 'v', action_ts: '1.1' }], response_url: 'http://127.0.0.1:1/' };
await post('send', { envelope: { type: 'interactive', envelope_id: 'e1', payload: pressed, accepts_response_payload: false } });
await until(() => taken.length === 1);
const view = { id: 'V1', type: 'modal', callback_id: 'tollgate_refuse', private_metadata: '', state: { values: { reason: { reason: { type: 'plain_text_input', value: 'no' } } } } };
await post('send', { envelope: { type: 'interactive', envelope_id: 'e2', payload: { type: 'view_submission', user, team, view }, accepts_response_payload: true } });
await until(() => taken.length === 2);
const state = await until(async () => { const now = await (await fetch(`${base}_/state`)).json(); return now.acks.length >= 2 && now; });
seen.acks = state.acks.map((ack) => ack.envelope_id);
seen.taken = taken;
seen.views = state.views.length;
await post('disconnect', {});
await until(async () => (await (await fetch(`${base}_/state`)).json()).greeted >= 2);
seen.came_back = true;
console.log(JSON.stringify(seen));
process.exit(0);
