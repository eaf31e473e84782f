"""Fetching the keys a body publishes: over real TLS, from a web server that does its worst."""

import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from joserfc.jwk import RSAKey

from consent.oauth import jwks_uri
from consent.oauth.errors import KeysNotFetchedError
from consent.oauth.jwks_uri import PublishedKeys
from tests.consent.oauth.key_site import HOST, KeySite, authority, publishing
from tests.consent.registers import KEY, jwks

ENCRYPTING = {**RSAKey.generate_key(2048).as_dict(private=False), "use": "enc", "alg": "RSA-OAEP", "kid": "e"}


class Names:
    """Answers for every name, and counts how often it was asked."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = answers
        self.asked = 0

    async def __call__(self, host: str, port: int) -> list[str]:
        self.asked += 1
        return self.answers[min(self.asked, len(self.answers)) - 1]


@pytest.fixture
def tls(tmp_path: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    return authority(tmp_path)


@pytest.fixture
async def site(tls: tuple[ssl.SSLContext, ssl.SSLContext]) -> AsyncIterator[KeySite]:
    made = KeySite(jwks("one"))
    async with publishing(made, tls[0]):
        yield made


@pytest.fixture
def published(tls: tuple[ssl.SSLContext, ssl.SSLContext]) -> PublishedKeys:
    return PublishedKeys(loopback=True, tls=tls[1], resolve=Names(["127.0.0.1"]))


async def refusal(published: PublishedKeys, uri: str) -> str:
    with pytest.raises(KeysNotFetchedError) as refused:
        await published.fetch(uri)
    assert "\n" not in str(refused.value)
    return str(refused.value)


async def test_keys_are_found_by_name_and_certificate(site: KeySite, published: PublishedKeys) -> None:
    found = await published.fetch(site.uri + "?version=2")
    assert [key["kid"] for key in found["keys"]] == ["one"]
    (head,) = site.asked
    assert head.startswith("GET /jwks.json?version=2 HTTP/1.1\r\n")
    assert f"Host: {HOST}:{site.port}\r\n" in head
    assert "authorization" not in head.lower()


async def test_keys_for_other_uses_are_left_out(site: KeySite, published: PublishedKeys) -> None:
    site.publish(ENCRYPTING, {**KEY.as_dict(private=False), "kid": "s"})
    assert [key["kid"] for key in (await published.fetch(site.uri))["keys"]] == ["s"]


@pytest.mark.parametrize(
    ("status", "headers", "body", "said"),
    [
        (302, ["Location: https://elsewhere.example/"], b"", "redirects are not followed"),
        (307, ["Location: /other"], b"", "redirects are not followed"),
        (404, [], b"", "200"),
        (500, [], b"", "200"),
        (200, [], b"x" * 70_000, "longer than"),
        (200, ["Content-Length: 999999999"], b"{", "cannot be reached"),
        (200, ["Content-Encoding: gzip"], b"\x1f\x8b", "compressed"),
        (200, [], b"\xff\xfe", "not JSON"),
        (200, [], b"[" * 50_000, "not JSON"),
        (200, [], b"[]", "no JSON Web Key Set"),
        (200, [], b'{"keys": {}}', "no JSON Web Key Set"),
        (200, [], b'{"keys": []}', "1 to 16"),
        (200, [], json.dumps(jwks(*map(str, range(17)))).encode(), "1 to 16"),
        (200, [], json.dumps({"keys": [{**KEY.as_dict(private=True), "kid": "one"}]}).encode(), "Key 1"),
        (200, [], json.dumps({"keys": [ENCRYPTING]}).encode(), "1 to 16"),
    ],
)
async def test_what_a_web_server_may_not_do(
    site: KeySite, published: PublishedKeys, *, status: int, headers: list[str], body: bytes, said: str
) -> None:
    site.status, site.headers, site.body = status, headers, body
    assert said in await refusal(published, site.uri)
    assert len(site.asked) == 1


async def test_one_that_says_nothing_is_not_waited_for(
    site: KeySite, published: PublishedKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jwks_uri, "SECONDS", 0.3)
    site.silent = True
    assert "does not answer" in await refusal(published, site.uri)


async def test_another_ones_certificate_is_refused(site: KeySite, published: PublishedKeys) -> None:
    assert "certificate" in await refusal(published, site.uri.replace(HOST, "other.example"))
    untrusting = PublishedKeys(loopback=True, resolve=Names(["127.0.0.1"]))
    assert "certificate" in await refusal(untrusting, site.uri)
    assert site.asked == []


async def test_nobody_there(published: PublishedKeys) -> None:
    assert "cannot be reached" in await refusal(published, f"https://{HOST}:1/")


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "fd00::1"])
async def test_inside_is_never_spoken_to(
    site: KeySite, tls: tuple[ssl.SSLContext, ssl.SSLContext], address: str
) -> None:
    outside = PublishedKeys(loopback=False, tls=tls[1], resolve=Names([address]))
    assert "public internet" in await refusal(outside, site.uri)
    literal = f"[{address}]" if ":" in address else address
    assert "public internet" in await refusal(
        PublishedKeys(loopback=False), f"https://{literal}:{site.port}/jwks.json"
    )
    assert site.asked == []


async def test_a_name_is_resolved_once_and_the_connection_goes_there(
    site: KeySite, tls: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    """DNS rebinding: the second answer would lead to this machine, where the site waits."""
    names = Names(["192.0.2.9"], ["127.0.0.1"])
    published = PublishedKeys(loopback=False, tls=tls[1], resolve=names)
    await refusal(published, site.uri)
    assert (names.asked, site.asked) == (1, [])


@pytest.mark.parametrize(
    "uri",
    [
        "http://bank.example/jwks",
        "ftp://bank.example/jwks",
        "file:///etc/passwd",
        "https:///jwks",
        "https://user:secret@bank.example/jwks",
        "https://bank.example/jwks#one",
        "https://bank.example:99999/jwks",
        "https://[::1/jwks",
        "https://b\u00e4nk.example/",
        "https://bank.example/a b",
        "https://bank.example/\r\nHost: x",
        "https://bank.example/" + "x" * 2000,
        "",
    ],
)
async def test_uris_that_are_none(published: PublishedKeys, uri: str) -> None:
    assert "it " in await refusal(published, uri)


async def test_http_is_for_a_demo_on_this_machine() -> None:
    plain = KeySite(jwks("one"))
    async with publishing(plain, None):
        uri = f"http://127.0.0.1:{plain.port}/jwks"
        assert (await PublishedKeys(loopback=True).fetch(uri))["keys"]
        assert "https" in await refusal(PublishedKeys(loopback=False), uri)
        assert "https" in await refusal(
            PublishedKeys(loopback=True, resolve=Names(["127.0.0.1"])), f"http://{HOST}:{plain.port}/jwks"
        )
