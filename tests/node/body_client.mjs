// A body's software by somebody else: openid-client (certified by the OpenID Foundation) against the vault.
//
// Reads one JSON document, does what a bank and a court do, and says each result as a line of JSON. Between
// `authorize` and what follows a person decides: the address they were sent back to is the second line read.

import { createInterface } from 'node:readline'
import * as client from 'openid-client'

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]()
const read = async () => (await lines.next()).value
const say = (document) => process.stdout.write(`${JSON.stringify(document)}\n`)

const { issuer, bank, court, consented, statutory, query, redirectUri, proofs } = JSON.parse(await read())

async function configured({ id, jwk }) {
  const { kty, crv, x, d } = jwk
  const key = await crypto.subtle.importKey('jwk', { kty, crv, x, d }, { name: 'Ed25519' }, false, ['sign'])
  const found = await client.discovery(
    new URL(issuer), id, undefined, client.PrivateKeyJwt({ key, kid: jwk.kid }),
    { algorithm: 'oauth2', execute: [client.allowInsecureRequests] },
  )
  return { found, DPoP: client.getDPoPHandle(found, await client.randomDPoPKeyPair(proofs)) }
}

async function ask({ found, DPoP }, token, body) {
  const answer = await client.fetchProtectedResource(
    found, token, new URL('/v1/queries', issuer), 'POST', JSON.stringify(body),
    new Headers({ 'content-type': 'application/json' }), { DPoP },
  )
  return { status: answer.status, answer: await answer.json() }
}

const asBank = await configured(bank)
const verifier = client.randomPKCECodeVerifier()
const state = client.randomState()
const authorize = await client.buildAuthorizationUrlWithPAR(asBank.found, {
  redirect_uri: redirectUri,
  state,
  code_challenge: await client.calculatePKCECodeChallenge(verifier),
  code_challenge_method: 'S256',
  authorization_details: JSON.stringify([consented]),
}, { DPoP: asBank.DPoP })
say({ authorize: authorize.href })

// Checks `state` and `iss` (RFC 9207) by itself.
const back = new URL(await read())
const granted = await client.authorizationCodeGrant(
  asBank.found, back, { pkceCodeVerifier: verifier, expectedState: state }, undefined, { DPoP: asBank.DPoP },
)
say({ granted: { type: granted.token_type, details: granted.authorization_details } })
say({ consented: await ask(asBank, granted.access_token, query.consented) })

const refreshed = await client.refreshTokenGrant(
  asBank.found, granted.refresh_token, undefined, { DPoP: asBank.DPoP },
)
say({ refreshed: { rotated: refreshed.refresh_token !== undefined } })
say({ introspected: await client.tokenIntrospection(asBank.found, refreshed.access_token) })
await client.tokenRevocation(asBank.found, refreshed.access_token)
say({ revoked: await client.tokenIntrospection(asBank.found, refreshed.access_token) })

const asCourt = await configured(court)
const own = await client.clientCredentialsGrant(
  asCourt.found, { authorization_details: JSON.stringify([statutory]), resource: `${issuer}/v1` },
  { DPoP: asCourt.DPoP },
)
say({ statutory: await ask(asCourt, own.access_token, query.statutory) })

// What is refused must reach a client as what it is: the code of the error, not a challenge.
for (const [name, attempt] of Object.entries({
  code_again: () => client.authorizationCodeGrant(
    asBank.found, back, { pkceCodeVerifier: verifier, expectedState: state }, undefined, { DPoP: asBank.DPoP },
  ),
  other_purpose: () => client.clientCredentialsGrant(
    asCourt.found, { authorization_details: '[{"type":"unknown"}]' }, { DPoP: asCourt.DPoP },
  ),
  other_resource: () => client.clientCredentialsGrant(
    asCourt.found,
    { authorization_details: JSON.stringify([statutory]), resource: 'https://elsewhere.example' },
    { DPoP: asCourt.DPoP },
  ),
})) {
  say({ [name]: await attempt().then(() => null, (error) => error.error ?? `${error}`) })
}
process.exit(0)
