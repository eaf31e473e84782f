"""The code flow, from the pushed request to the token, over HTTP on a real database."""

from tests.consent.oauth.world import AUDIENCE, ISSUER, Browser, Client, answered, content


async def test_a_consent_becomes_a_token(bank: Client, citizen: Browser) -> None:
    pushed = await bank.push()
    assert pushed.status_code == 201
    assert pushed.json()["expires_in"] == 300
    page = await citizen.open(bank, pushed.json()["request_uri"])
    response = await citizen.send(page.json())
    assert response.status_code == 303
    parameters = answered(response)
    assert (parameters["state"], parameters["iss"]) == ("a state", ISSUER)
    answer = await bank.exchange(parameters["code"])
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert (body["token_type"], body["expires_in"]) == ("DPoP", 300)
    header, claims = content(body["access_token"])
    assert header["typ"] == "at+jwt"
    assert claims["aud"] == AUDIENCE
    used = await bank.use(body["access_token"])
    assert used.status_code == 200
