"""Settings that are refused before anything starts."""

import pytest
from pydantic import ValidationError

from vault.server.settings import Settings


@pytest.mark.parametrize(
    "issuer",
    [
        "https://vault.example",
        "https://vault.example:8443/",
        "http://127.0.0.1:8440",
        "http://127.8.8.8",
        "http://localhost:8440",
        "http://[::1]:8440",
    ],
)
def test_an_issuer_is_https_or_loopback(issuer: str) -> None:
    assert Settings(issuer=issuer).issuer == issuer.rstrip("/")


@pytest.mark.parametrize(
    "issuer",
    [
        "http://vault.example",
        "http://127.0.0.1.elsewhere.example",
        "http://localhost.elsewhere.example",
        "http://localhost@elsewhere.example",
        "https://somebody@vault.example",
        "http://[::1].elsewhere.example",
        "http://127.0.0.1:port",
        "https://",
        "ftp://127.0.0.1",
        "127.0.0.1:8440",
        "",
    ],
)
def test_an_issuer_that_only_looks_like_one_is_refused(issuer: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Settings(issuer=issuer)
    assert [fault["loc"] for fault in refused.value.errors()] == [("issuer",)]


def test_proxies_are_addresses() -> None:
    assert Settings(proxies="127.0.0.1, 2001:db8::/32").proxies
    with pytest.raises(ValidationError, match="must be addresses or networks"):
        Settings(proxies="proxy.example")
