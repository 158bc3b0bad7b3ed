// An OpenID-certified provider (oidc-provider) at which `tollgate login` is a public client: authorization
// code and device flows, rotating refresh tokens with reuse detection, revocation (on a free loopback port).
//
// Prints one line, {"ready": "<issuer>"}, when it listens; ends when its standard input ends.
// What is under /test/ is for the tests alone:
//   /test/browser?url=                    a browser in small: from an authorization address to its callback
//   /test/type?address=&code=[&no=1]      a person who types a device code and agrees, or does not
//   /test/counts                          how often each grant was used, and tokens were revoked
import { randomBytes } from 'node:crypto';
import http from 'node:http';
import { exportJWK, generateKeyPair } from 'jose';
import { Provider } from 'oidc-provider';

const CLIENT = 'tollgate-login';
const SCOPE = 'mcp:read';
const PERSON = { sub: 'alice', groups: ['analysts'] };
const counts = { authorization_code: 0, refresh_token: 0, 'urn:ietf:params:oauth:grant-type:device_code': 0, revoked: 0 };

let issuer;
let provider;

async function newProvider() {
  const { privateKey } = await generateKeyPair('ES256', { extractable: true });
  const instance = new Provider(issuer, {
    clients: [{
      client_id: CLIENT,
      application_type: 'native',
      token_endpoint_auth_method: 'none',
      grant_types: ['authorization_code', 'refresh_token', 'urn:ietf:params:oauth:grant-type:device_code'],
      response_types: ['code'],
      redirect_uris: ['http://127.0.0.1/callback'],
      id_token_signed_response_alg: 'ES256',
    }],
    jwks: { keys: [{ ...(await exportJWK(privateKey)), kid: 'es', alg: 'ES256', use: 'sig' }] },
    cookies: { keys: [randomBytes(16).toString('hex')] },
    scopes: ['openid', 'offline_access'],
    findAccount: (_ctx, id) => (id === PERSON.sub ? { accountId: id, claims: () => PERSON } : undefined),
    extraTokenClaims: () => ({ groups: PERSON.groups }),
    interactions: { url: (_ctx, interaction) => `/test/interaction/${interaction.uid}` },
    issueRefreshToken: async (_ctx, client) => client.grantTypeAllowed('refresh_token'),
    rotateRefreshToken: true,
    features: {
      devInteractions: { enabled: false },
      revocation: { enabled: true },
      deviceFlow: { enabled: true },
      resourceIndicators: {
        enabled: true,
        useGrantedResource: () => true,
        getResourceServerInfo: (_ctx, resource) => ({
          scope: SCOPE, audience: resource, accessTokenFormat: 'jwt', accessTokenTTL: 600, jwt: { sign: { alg: 'ES256' } },
        }),
      },
    },
  });
  instance.on('server_error', (_ctx, error) => console.error(error));
  instance.on('grant.success', (ctx) => { counts[ctx.oidc.params.grant_type] += 1; });
  instance.on('grant.revoked', () => { counts.revoked += 1; });
  return instance;
}

async function finishInteraction(req, res) {
  const { params } = await provider.interactionDetails(req, res);
  const grant = new provider.Grant({ accountId: PERSON.sub, clientId: CLIENT });
  grant.addOIDCScope('openid offline_access');
  if (params.resource) grant.addResourceScope(params.resource, SCOPE);
  const consent = { grantId: await grant.save() };
  await provider.interactionFinished(req, res, { login: { accountId: PERSON.sub }, consent });
}

// Cookies and redirects, as long as they stay at the provider; then the callback, which is somebody else's.
class Browser {
  jar = new Map();

  async open(address, init = {}) {
    let next = address;
    let options = init;
    for (let hop = 0; hop < 12; hop += 1) {
      const ours = next.startsWith(`${issuer}/`);
      const cookie = [...this.jar].map(([name, value]) => `${name}=${value}`).join('; ');
      const headers = ours ? { ...options.headers, cookie } : {};
      const answer = await fetch(next, { ...options, redirect: 'manual', headers });
      for (const line of answer.headers.getSetCookie()) {
        const [name, value] = line.split(';')[0].split('=');
        this.jar.set(name, value);
      }
      if (!answer.headers.has('location')) return { status: answer.status, text: await answer.text() };
      next = new URL(answer.headers.get('location'), next).href;
      options = {};
    }
    throw new Error(`too many redirects: ${address}`);
  }
}

async function type({ address, code, no }) {
  const browser = new Browser();
  const form = async (fields) => browser.open(address, {
    method: 'POST',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: new URLSearchParams(fields),
  });
  const xsrf = (text) => /name="xsrf"[^>]*value="([^"]+)"/.exec(text)?.[1];
  const asked = await browser.open(address);
  const shown = await form({ xsrf: xsrf(asked.text), user_code: code });
  const fields = { xsrf: xsrf(shown.text), user_code: code };
  return form(no ? { ...fields, abort: 'yes' } : { ...fields, confirm: 'yes' });
}

const TESTS = {
  browser: ({ url }) => new Browser().open(url),
  type,
  counts: () => counts,
};

const server = http.createServer(async (req, res) => {
  const url = new URL(req.url, issuer);
  try {
    if (url.pathname.startsWith('/test/interaction/')) return await finishInteraction(req, res);
    const test = url.pathname.startsWith('/test/') && TESTS[url.pathname.slice(6)];
    if (test) {
      const answer = await test(Object.fromEntries(url.searchParams));
      res.setHeader('content-type', 'application/json');
      return res.end(JSON.stringify(answer));
    }
    return provider.callback()(req, res);
  } catch (error) {
    res.statusCode = 500;
    return res.end(String(error.stack));
  }
});

server.listen(0, '127.0.0.1', async () => {
  issuer = `http://127.0.0.1:${server.address().port}`;
  provider = await newProvider();
  console.log(JSON.stringify({ ready: issuer }));
});
process.stdin.on('end', () => process.exit(0)).resume();
