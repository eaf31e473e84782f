"""Which addresses a body may have us speak to: those of the public internet (RFC 7591 §5).

A name is resolved here, once, and the connection then goes to the very address that was looked at. A name
that answers differently the second time (DNS rebinding) leads nowhere else.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final

from consent.oauth.errors import ForbiddenAddressError

Resolve = Callable[[str, int], Awaitable[list[str]]]
"""Finds the addresses of a host for a port; raises OSError when there are none."""

# Addresses of IPv6 that stand for one of IPv4: RFC 6052 §2.1, RFC 8215, RFC 3056, RFC 4380. A gateway would
# lead them to what the last two refuse by themselves, so none is followed.
_TRANSLATED: Final = tuple(
    map(IPv6Network, ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", "::/96"))
)


async def resolve(host: str, port: int) -> list[str]:
    """The addresses of a host, by the system's resolver."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[4][0]) for address in found]


def is_public(address: str) -> bool:
    """Whether this is an address of the public internet."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is not None:
            return _is_global(parsed.ipv4_mapped)
        if any(parsed in network for network in _TRANSLATED):
            return False
    return _is_global(parsed)


def is_loopback(address: str) -> bool:
    """Whether this is this machine itself."""
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False


async def pinned(host: str, port: int, *, loopback: bool, resolve: Resolve = resolve) -> str:
    """The address to connect to.

    Args:
        host: a name, or an address without brackets.
        port: to be connected to.
        loopback: whether this machine itself may be spoken to; then nothing else may.
        resolve: how names are resolved.

    Raises:
        ForbiddenAddressError: the host has no address, or one that may not be spoken to. One is enough:
            a name that leads both outside and inside is not meant well.
    """
    accept = is_loopback if loopback else is_public
    try:
        addresses = await resolve(host, port)
    except (OSError, UnicodeError) as error:
        raise ForbiddenAddressError("its host is not known to the name servers") from error
    if not addresses or not all(map(accept, addresses)):
        raise ForbiddenAddressError("its host has an address that is not of the public internet")
    return addresses[0]


def _is_global(address: IPv4Address | IPv6Address) -> bool:
    return address.is_global and not address.is_multicast and not address.is_reserved
