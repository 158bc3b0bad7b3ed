// An OpenID-certified provider (oidc-provider) for the identity tests, on a free loopback port.
//
// Prints one line, {"ready": "<issuer>"}, when it listens; ends when its standard input ends.
// What is under /test/ is for the tests alone:
//   /test/login?user=&client=&resource=   a real authorization code flow with PKCE; the token answer
//   /test/service?resource=[&dpop=1]      a real client credentials grant, bound to a DPoP key or not
//   /test/sign?header=&claims=[&with=]    signs any header and claims text; `with` says how (below)
//   /test/visit?url=&to=&user=[&acr=]     a browser in small: where it ends, having signed in as this user
//   /test/dismiss?user=                   the account is no more
//   /test/log-out?client=&user=&sid=      the logout token that the provider really sends to this client
//   /test/revoke?token=[&client=]         takes a token back (RFC 7009)
//   /test/issued                          every token that a grant gave, with its kind
//   /test/rotate                          new keys; the old ones are published no more
//   /test/counts                          how often discovery and key set were read
import { createHash, createHmac, createPublicKey, randomBytes, sign as rawSign } from 'node:crypto';
import http from 'node:http';
import { CompactSign, exportJWK, generateKeyPair, importJWK, SignJWT } from 'jose';
import { Provider } from 'oidc-provider';

const USERS = {
  alice: { groups: ['analysts', 'unmapped'] },
  gina: { groups: ['analysts'] },
  dora: { groups: ['analysts', 'dba'] },
  bob: {}, // no groups claim at all
  carol: { groups: Array.from({ length: 100 }, (_, n) => `group-${n}`) },
  dave: { groups: Array.from({ length: 1001 }, () => 'g') },
  erin: { _claim_names: { groups: 'src1' }, _claim_sources: { src1: { endpoint: 'https://example.com' } } },
  frank: { groups: 'analysts' },
};
const ALGORITHMS = ['RS256', 'PS256', 'ES256', 'EdDSA'];
const REDIRECT = 'http://127.0.0.1/callback';
const SCOPE = 'mcp:read';
// The client of the people's side; on loopback any port will do.
const CONTROL = 'tollgate-control';
// Clients of Tollgate as a relying party, by how they prove themselves.
const GATES = { 'gate-none': 'none', 'gate-basic': 'client_secret_basic', 'gate-post': 'client_secret_post' };
const GATE_REDIRECT = 'http://127.0.0.1/oauth/callback/corp';

let generation = 0;
let issuer;
let keys; // private JWKs the provider signs with now
let retired = [];
let provider;
let logoutToken;
const counts = { discovery: 0, jwks: 0 };
const issued = [];

async function freshKeys() {
  generation += 1;
  const make = async (alg, kid) => {
    const { privateKey } = await generateKeyPair(alg, { extractable: true });
    return { ...(await exportJWK(privateKey)), kid: `${kid}-${generation}`, alg, use: 'sig' };
  };
  return Promise.all([
    make('RS256', 'rs'),
    make('PS256', 'ps'),
    make('ES256', 'es'),
    make('ES384', 'es384'),
    make('EdDSA', 'ed'),
  ]);
}

function newProvider() {
  const clients = ALGORITHMS.map((alg) => ({
    client_id: `agent-${alg}`,
    application_type: 'native',
    token_endpoint_auth_method: 'none',
    grant_types: ['authorization_code'],
    response_types: ['code'],
    redirect_uris: [REDIRECT],
  }));
  clients.push({
    client_id: CONTROL,
    application_type: 'native',
    token_endpoint_auth_method: 'none',
    grant_types: ['authorization_code'],
    response_types: ['code'],
    redirect_uris: ['http://localhost/signed-in/idp', 'http://localhost/signed-in/corp', REDIRECT],
  });
  for (const [id, method] of Object.entries(GATES)) {
    clients.push({
      client_id: id,
      ...(method === 'none' ? {} : { client_secret: 'gate-secret of/this test' }),
      application_type: 'native',
      token_endpoint_auth_method: method,
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      redirect_uris: [GATE_REDIRECT],
      backchannel_logout_uri: `${issuer}/test/logged-out`,
    });
  }
  clients.push({
    client_id: 'robot',
    client_secret: 'robot-secret-of-this-test',
    token_endpoint_auth_method: 'client_secret_post',
    grant_types: ['client_credentials'],
    response_types: [],
    redirect_uris: [],
  });
  // The resource server that asks about opaque tokens (RFC 7662); its secret has what must be encoded.
  clients.push({
    client_id: 'tollgate:asks',
    client_secret: 's e+cret/%-of-this-test-alone-0123456789',
    token_endpoint_auth_method: 'client_secret_basic',
    grant_types: [],
    response_types: [],
    redirect_uris: [],
  });
  const instance = new Provider(issuer, {
    clients,
    jwks: { keys },
    cookies: { keys: [randomBytes(16).toString('hex')] },
    scopes: ['openid', 'offline_access'],
    acrValues: ['mfa'],
    // Its guard against special-use addresses lies in the dispatcher; here everything is on loopback.
    fetch: (url, { dispatcher, ...options }) => fetch(url, options),
    clientAuthMethods: ['none', 'client_secret_basic', 'client_secret_post'],
    issueRefreshToken: (_ctx, client, code) => client.grantTypeAllowed('refresh_token') && code.clientId !== 'gate-post',
    claims: { openid: ['sub', 'groups'] },
    conformIdTokenClaims: false,
    findAccount: (_ctx, id) => (USERS[id] ? { accountId: id, claims: () => ({ sub: id, ...USERS[id] }) } : undefined),
    extraTokenClaims: (_ctx, token) => (token.accountId ? USERS[token.accountId] : { groups: ['robots'] }),
    interactions: { url: (_ctx, interaction) => `/test/interaction/${interaction.uid}` },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      introspection: { enabled: true, allowedPolicy: () => true },
      revocation: { enabled: true },
      backchannelLogout: { enabled: true },
      resourceIndicators: {
        enabled: true,
        useGrantedResource: () => true,
        getResourceServerInfo: (_ctx, resource, client) => {
          const alg = client.clientId.startsWith('agent-') ? client.clientId.slice(6) : 'ES256';
          return {
            scope: SCOPE,
            audience: resource,
            accessTokenFormat: resource.endsWith('/opaque') ? 'opaque' : 'jwt',
            accessTokenTTL: 600,
            jwt: { sign: { alg } },
          };
        },
      },
    },
  });
  instance.on('server_error', (_ctx, error) => console.error(error));
  instance.on('grant.success', (ctx) => {
    for (const kind of ['access_token', 'refresh_token', 'id_token']) {
      if (ctx.body[kind]) issued.push({ kind, token: ctx.body[kind] });
    }
  });
  return instance;
}

async function finishInteraction(req, res) {
  const { params, prompt } = await provider.interactionDetails(req, res);
  if (params.client_id === CONTROL || GATES[params.client_id]) return finishPerson(req, res, params, prompt);
  const grant = new provider.Grant({ accountId: params.login_hint, clientId: params.client_id });
  grant.addOIDCScope('openid');
  grant.addResourceScope(params.resource, SCOPE);
  const consent = { grantId: await grant.save() };
  await provider.interactionFinished(req, res, { login: { accountId: params.login_hint }, consent });
}

// People are asked for their name each time the provider wants them to sign in.
async function finishPerson(req, res, params, prompt) {
  const query = new URL(req.url, issuer).searchParams;
  const user = query.get('user');
  if (prompt.name === 'login' && !user) {
    res.setHeader('content-type', 'application/json');
    return res.end(JSON.stringify({ sign_in: prompt.reasons, max_age: params.max_age, prompt: params.prompt }));
  }
  const { session } = await provider.interactionDetails(req, res);
  const accountId = user ?? session.accountId;
  const grant = new provider.Grant({ accountId, clientId: params.client_id });
  grant.addOIDCScope(params.scope);
  const consent = { grantId: await grant.save() };
  const result = prompt.name === 'login' ? { login: { accountId, acr: query.get('acr') ?? undefined }, consent } : { consent };
  return provider.interactionFinished(req, res, result);
}

// A browser in small: follows redirects with cookies until the callback, then redeems the code.
async function login({ user, client, resource }) {
  const verifier = randomBytes(32).toString('base64url');
  const query = new URLSearchParams({
    client_id: client,
    response_type: 'code',
    redirect_uri: REDIRECT,
    scope: `openid ${SCOPE}`,
    resource,
    login_hint: user,
    nonce: 'n',
    state: 's',
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
    code_challenge_method: 'S256',
  });
  const next = await walk(`${issuer}/auth?${query}`, REDIRECT);
  const code = new URL(next).searchParams.get('code');
  if (!code) throw new Error(`no code in ${next}`);
  return token({
    grant_type: 'authorization_code', client_id: client, code, redirect_uri: REDIRECT, code_verifier: verifier, resource,
  });
}

// Follows redirects with cookies until the address `to`; says at interactions what it is told to.
async function walk(from, to, answers = {}) {
  const jar = new Map();
  let next = from;
  for (let hop = 0; hop < 10 && !next.startsWith(to); hop += 1) {
    if (next.includes('/test/interaction/')) next = `${next}?${new URLSearchParams(answers)}`;
    const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join('; ');
    const answer = await fetch(next, { redirect: 'manual', headers: { cookie } });
    for (const line of answer.headers.getSetCookie()) {
      const [name, value] = line.split(';')[0].split('=');
      jar.set(name, value);
    }
    if (!answer.headers.has('location')) throw new Error(`${next}: ${answer.status} ${await answer.text()}`);
    next = new URL(answer.headers.get('location'), issuer).href;
  }
  return next;
}

const visit = ({ url, to, ...answers }) => walk(url, to, answers);

async function dismiss({ user }) {
  delete USERS[user];
  return user;
}

async function logOut({ client, user, sid }) {
  const told = await provider.Client.find(client);
  logoutToken = undefined;
  await told.backchannelLogout(user, sid);
  return logoutToken;
}

// Where the provider posts logout tokens to.
async function loggedOut(req, res) {
  const chunks = [];
  for await (const chunk of req) chunks.push(chunk);
  logoutToken = new URLSearchParams(Buffer.concat(chunks).toString()).get('logout_token');
  res.end();
}

async function service({ resource, dpop }) {
  const headers = dpop ? { DPoP: await proof() } : {};
  return token({
    grant_type: 'client_credentials', client_id: 'robot', client_secret: 'robot-secret-of-this-test', scope: SCOPE, resource,
  }, headers);
}

// A DPoP proof (RFC 9449) for the token endpoint, by a key of its own.
async function proof() {
  const { privateKey, publicKey } = await generateKeyPair('ES256');
  return new SignJWT({ htm: 'POST', htu: `${issuer}/token`, jti: randomBytes(16).toString('hex') })
    .setIssuedAt()
    .setProtectedHeader({ alg: 'ES256', typ: 'dpop+jwt', jwk: await exportJWK(publicKey) })
    .sign(privateKey);
}

async function token(form, headers = {}) {
  const answer = await fetch(`${issuer}/token`, { method: 'POST', headers, body: new URLSearchParams(form) });
  if (!answer.ok) throw new Error(await answer.text());
  return answer.json();
}

// Signs with the provider's own key of header.kid, current or retired, so that only the defect differs.
async function sign({ header, claims, with: how = 'key' }) {
  const head = JSON.parse(header);
  const part = (text) => Buffer.from(text).toString('base64url');
  const input = `${part(header)}.${part(claims)}`;
  const find = (kid) => [...keys, ...retired].find((key) => key.kid === kid);
  const publicOf = (kid) => createPublicKey({ key: find(kid), format: 'jwk' });
  const hmac = (secret) => createHmac('sha256', secret).update(input).digest('base64url');
  switch (how) {
    case 'key': {
      const jwk = find(head.kid);
      const signer = new CompactSign(Buffer.from(claims)).setProtectedHeader(head);
      return signer.sign(await importJWK(jwk, head.alg));
    }
    case 'stranger': {
      const { privateKey, publicKey } = await generateKeyPair(head.alg, { extractable: true });
      if (head.jwk) head.jwk = await exportJWK(publicKey);
      return new CompactSign(Buffer.from(claims)).setProtectedHeader(head).sign(privateKey);
    }
    case 'nothing':
      return `${input}.`;
    case 'hmac-pem':
      return `${input}.${hmac(publicOf(head.kid).export({ type: 'spki', format: 'pem' }))}`;
    case 'hmac-der':
      return `${input}.${hmac(publicOf(head.kid).export({ type: 'spki', format: 'der' }))}`;
    case 'hmac-jwk':
      return `${input}.${hmac(JSON.stringify(publicOf(head.kid).export({ format: 'jwk' })))}`;
    case 'wrong-curve': {
      const key = keys.find((one) => one.crv === 'P-384');
      const bytes = rawSign('sha256', Buffer.from(input), { key, format: 'jwk', dsaEncoding: 'ieee-p1363' });
      return `${input}.${bytes.toString('base64url')}`;
    }
    case 'der-signature': {
      const bytes = rawSign('sha256', Buffer.from(input), { key: find(head.kid), format: 'jwk', dsaEncoding: 'der' });
      return `${input}.${bytes.toString('base64url')}`;
    }
    default:
      throw new Error(`unknown way to sign: ${how}`);
  }
}

// What the person, or an administrator, can do: the token is taken back (RFC 7009).
async function revoke({ token: taken, client = 'agent-ES256' }) {
  const body = new URLSearchParams({ token: taken, client_id: client });
  const answer = await fetch(`${issuer}/token/revocation`, { method: 'POST', body });
  if (!answer.ok) throw new Error(await answer.text());
  return { revoked: true };
}

async function rotate() {
  retired = [...keys, ...retired];
  keys = await freshKeys();
  provider = newProvider();
  return { generation };
}

const TESTS = { login, service, sign, visit, dismiss, 'log-out': logOut, rotate, revoke, counts: () => counts, issued: () => issued };

const server = http.createServer({ maxHeaderSize: 256 * 1024 }, async (req, res) => {
  const url = new URL(req.url, issuer);
  try {
    if (url.pathname.startsWith('/test/interaction/')) return await finishInteraction(req, res);
    if (url.pathname === '/test/logged-out') return await loggedOut(req, res);
    const test = url.pathname.startsWith('/test/') && TESTS[url.pathname.slice(6)];
    if (test) {
      const answer = await test(Object.fromEntries(url.searchParams));
      res.setHeader('content-type', 'application/json');
      return res.end(JSON.stringify(answer));
    }
    if (url.pathname === '/.well-known/openid-configuration') counts.discovery += 1;
    if (url.pathname === '/jwks') counts.jwks += 1;
    return provider.callback()(req, res);
  } catch (error) {
    res.statusCode = 500;
    return res.end(String(error.stack));
  }
});

server.listen(0, '127.0.0.1', async () => {
  issuer = `http://127.0.0.1:${server.address().port}`;
  keys = await freshKeys();
  provider = newProvider();
  console.log(JSON.stringify({ ready: issuer }));
});
process.stdin.on('end', () => process.exit(0)).resume();
