"""Labels: where an entry stands in its stream, readable only with the stream's keys (FORMAT 3).

People are given month keys, never a stream key; the label master never leaves the vault.
"""

from collections.abc import Iterator
from time import gmtime

from access_log.encoding import HASH_SIZE
from access_log.entry import LAST_TIME
from access_log.errors import FormatError
from access_log.mac import Mac

STREAM_ID_SIZE = 16
_MAX_ORIGIN = 255
_MONTHS = 12
_YEAR = 100
_MAX_MONTH = 9999 * 100 + _MONTHS
_MAX_SEQ = 2**64 - 1


def stream_key(master: bytes, stream_id: bytes) -> bytes:
    """Derive the key of one stream.

    Args:
        master: The label master, 32 bytes.
        stream_id: The stream's 16 random bytes.

    Raises:
        FormatError: A length is wrong.
    """
    if len(master) != HASH_SIZE or len(stream_id) != STREAM_ID_SIZE:
        raise FormatError("a label master has 32 bytes and a stream id 16")
    return Mac(master)(b"creditvault stream v1" + stream_id)


def month_key(key: bytes, origin: str, month: int) -> bytes:
    """Derive the key of one UTC month of a stream; this is what a person may hold.

    Args:
        key: The stream key, 32 bytes.
        origin: The log's origin, 1 to 255 bytes of UTF-8.
        month: The month as the number yyyymm.

    Raises:
        FormatError: The key, origin or month is out of bounds.
    """
    name = origin.encode()
    if len(key) != HASH_SIZE or not 0 < len(name) <= _MAX_ORIGIN:
        raise FormatError("a stream key has 32 bytes and an origin 1 to 255")
    if not 0 < month <= _MAX_MONTH or not 1 <= month % 100 <= _MONTHS:
        raise FormatError("a month is written yyyymm")
    message = b"creditvault label v1" + bytes((len(name),)) + name + month.to_bytes(4, "big")
    return Mac(key)(message)


class Labels:
    """The labels of one stream in one month.

    Args:
        key: The month key, 32 bytes.

    Raises:
        FormatError: The key does not have 32 bytes.
    """

    __slots__ = ("_mac",)

    def __init__(self, key: bytes) -> None:
        if len(key) != HASH_SIZE:
            raise FormatError("a month key has 32 bytes")
        self._mac = Mac(key)

    def of(self, seq: int) -> bytes:
        """The label of the entry with this number, counted from 1 in each month.

        Raises:
            FormatError: The number is not between 1 and 2^64 - 1.
        """
        if not 1 <= seq <= _MAX_SEQ:
            raise FormatError("numbers in a month begin at 1")
        return self._mac(seq.to_bytes(8, "big"))


def label(key: bytes, seq: int) -> bytes:
    """The label of the entry with this number, counted from 1 in each month, under a month key.

    Raises:
        FormatError: The number is not between 1 and 2^64 - 1, or the key not 32 bytes.
    """
    return Labels(key).of(seq)


def month_of(time_ms: int) -> int:
    """The UTC month, as the number yyyymm, of a time in milliseconds since the epoch.

    Raises:
        FormatError: The time lies outside the years 1970 to 9999.
    """
    if not 0 <= time_ms <= LAST_TIME:
        raise FormatError("the time lies outside the years 1970 to 9999")
    moment = gmtime(time_ms // 1000)
    return moment.tm_year * 100 + moment.tm_mon


def months_between(first: int, last: int) -> Iterator[int]:
    """The months (yyyymm) from one to another, both included; none where the other lies before."""
    month = first
    while month <= last:
        yield month
        month += 1 if month % _YEAR < _MONTHS else _YEAR - _MONTHS + 1
