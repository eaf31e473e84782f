"""What stands in an address of a page; what is not well formed is no address of anything."""

from uuid import UUID

from vault.server.portal.errors import NothingHereError

_LONGEST_INDEX = 19


def read_index(text: str) -> int:
    """The index of a log entry.

    Raises:
        NothingHereError: it is none.
    """
    if not text.isascii() or not text.isdigit() or len(text) > _LONGEST_INDEX:
        raise NothingHereError
    return int(text)


def read_consent_id(text: str) -> UUID:
    """The id of a consent.

    Raises:
        NothingHereError: it is none.
    """
    return _read_id(text)


def read_mandate_id(text: str) -> UUID:
    """The number of a mandate.

    Raises:
        NothingHereError: it is none.
    """
    return _read_id(text)


def _read_id(text: str) -> UUID:
    try:
        found = UUID(text)
    except ValueError:
        raise NothingHereError from None
    return found
