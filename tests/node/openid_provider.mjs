// An OpenID provider of somebody else (npm oidc-provider), as the tests want it configured.
//
// One argument, JSON: {client, secret, redirectUri, postLogoutUri, backchannelUri, people: {account: {name, id_number}}}.
// Prints its address on one line once it listens, and ends with its standard input. Who signs in, and how strongly,
// is what is posted to the interaction: `account` and `acr`.

import { createServer } from 'node:http';
import { generateKeyPairSync } from 'node:crypto';
import { Provider } from 'oidc-provider';

const given = JSON.parse(process.argv[2]);
const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const server = createServer();
await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
const issuer = `http://127.0.0.1:${server.address().port}`;

const provider = new Provider(issuer, {
  acrValues: ['low', 'high'],
  claims: { openid: ['sub'], profile: ['name', 'id_number'] },
  clients: [{
    client_id: given.client,
    client_secret: given.secret,
    redirect_uris: [given.redirectUri],
    post_logout_redirect_uris: [given.postLogoutUri],
    backchannel_logout_uri: given.backchannelUri,
    backchannel_logout_session_required: true,
    id_token_signed_response_alg: 'ES256',
  }],
  cookies: { keys: ['a key of the tests'] },
  features: {
    backchannelLogout: { enabled: true },
    claimsParameter: { enabled: true },
    devInteractions: { enabled: false },
  },
  findAccount: (_, account) => given.people[account] && {
    accountId: account,
    claims: () => ({ sub: account, ...given.people[account] }),
  },
  interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
  jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), kid: 'one', alg: 'ES256', use: 'sig' }] },
  async loadExistingGrant({ oidc }) {
    const known = oidc.session.grantIdFor(oidc.client.clientId);
    if (known) return oidc.provider.Grant.find(known);
    const grant = new oidc.provider.Grant({ clientId: oidc.client.clientId, accountId: oidc.session.accountId });
    grant.addOIDCScope('openid profile');
    grant.addOIDCClaims(['name', 'id_number', 'acr', 'auth_time']);
    await grant.save();
    return grant;
  },
  pkce: { required: () => true, methods: ['S256'] },
  ttl: { AccessToken: 60, Grant: 600, IdToken: 300, Interaction: 600, Session: 600 },
});

async function interaction(request, response) {
  const { prompt } = await provider.interactionDetails(request, response);
  if (request.method === 'GET') {
    response.setHeader('Content-Type', 'application/json');
    response.end(JSON.stringify({ prompt: prompt.name, reasons: prompt.reasons }));
    return;
  }
  let body = '';
  for await (const part of request) body += part;
  const form = new URLSearchParams(body);
  const result = form.has('account')
    ? { login: { accountId: form.get('account'), acr: form.get('acr'), remember: true } }
    : { error: 'access_denied', error_description: 'ended by the person' };
  await provider.interactionFinished(request, response, result, { mergeWithLastSubmission: false });
}

const answer = provider.callback();
server.on('request', (request, response) => {
  if (!request.url.startsWith('/interaction/')) return answer(request, response);
  return interaction(request, response).catch((error) => {
    response.statusCode = 400;
    response.end(String(error));
  });
});
process.stdin.on('end', () => process.exit(0)).resume();
console.log(issuer);
