"""Which addresses may be spoken to for a body's sake, and that a second look-up leads nowhere else."""

import pytest

from consent.oauth.errors import ForbiddenAddressError
from consent.oauth.public_address import is_public, pinned, resolve

INSIDE = (
    "127.0.0.1",
    "127.8.8.8",
    "0.0.0.0",  # noqa: S104 -- refused, not bound
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "192.0.2.1",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "fe80::1",
    "fe80::1%eth0",
    "fc00::1",
    "fd12::1",
    "ff02::1",
    "2001:db8::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::127.0.0.1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::a00:1",
    "2002:7f00:1::",
    "2001:0:7f00:1::",
    "not an address",
    "",
)


@pytest.mark.parametrize("address", INSIDE)
def test_what_is_not_of_the_public_internet(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["9.9.9.9", "2620:fe::fe", "::ffff:9.9.9.9"])
def test_what_is(address: str) -> None:
    assert is_public(address)


async def test_a_name_with_one_address_inside_is_refused_whole() -> None:
    async def answers(host: str, _port: int) -> list[str]:
        return {"good.example": ["9.9.9.9", "2620:fe::fe"], "mixed.example": ["9.9.9.9", "10.0.0.1"]}[host]

    assert await pinned("good.example", 443, loopback=False, resolve=answers) == "9.9.9.9"
    with pytest.raises(ForbiddenAddressError):
        await pinned("mixed.example", 443, loopback=False, resolve=answers)


async def test_names_that_have_no_address() -> None:
    async def nothing(_host: str, _port: int) -> list[str]:
        return []

    async def unknown(_host: str, _port: int) -> list[str]:
        raise OSError("no such name")

    for answer in (nothing, unknown):
        with pytest.raises(ForbiddenAddressError):
            await pinned("keys.example", 443, loopback=False, resolve=answer)
    with pytest.raises(ForbiddenAddressError):
        await pinned("a" * 64 + ".example", 443, loopback=False)


async def test_the_systems_resolver_and_loopback() -> None:
    assert set(await resolve("127.0.0.1", 80)) == {"127.0.0.1"}
    assert await pinned("127.0.0.1", 80, loopback=True) == "127.0.0.1"
    for host, loopback in (("127.0.0.1", False), ("::1", False), ("9.9.9.9", True)):
        with pytest.raises(ForbiddenAddressError):
            await pinned(host, 80, loopback=loopback)
