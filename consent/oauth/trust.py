"""Which certificates of others hold: those that the system trusts."""

import functools
import ssl


@functools.cache
def system_trust() -> ssl.SSLContext:
    """What the system trusts, read once for a process: that takes longer than most requests."""
    return ssl.create_default_context()
