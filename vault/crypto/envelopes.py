"""Whose key opens what, until when (FORMAT 3 and 5).

A record key is wrapped under a key that needs two others: the person's and the month's. Destroying
either makes the record unreadable, in every copy of the database too. The objects below carry the place
they belong to, so that a caller cannot pair a key with another person, record or month.
"""

import hmac
import os
from dataclasses import dataclass, field
from typing import Final, Self
from uuid import UUID

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vault.crypto.derivation import KEY_SIZE, derive, expand
from vault.crypto.errors import UnsealError
from vault.crypto.fields import FieldSealer, named
from vault.crypto.suites import NONCE_SIZE, SUITE_BYTE, seal, unseal

_WRAP: Final = b"creditvault wrap v1" + SUITE_BYTE
_FIELD: Final = b"field" + SUITE_BYTE
_CHECK: Final = b"check" + SUITE_BYTE
_MONTHS: Final = range(1, 13)
_YEARS: Final = range(2000, 10_000)


@dataclass(frozen=True, slots=True, eq=False)
class SubjectKey:
    """A person's own key; stored wrapped by the root key, with `subject_key_aad`."""

    subject: UUID
    key: bytes = field(repr=False)

    def __post_init__(self) -> None:
        _require_key(self.key)

    @classmethod
    def generate(cls, subject: UUID) -> Self:
        """Draw a new key for a person."""
        return cls(subject, os.urandom(KEY_SIZE))


@dataclass(frozen=True, slots=True, eq=False)
class ExpiryKey:
    """The key of one calendar month of expiry; stored wrapped by a provider key of its own.

    Attributes:
        id: The month as yyyymm, in the pack's time zone.
    """

    id: int
    key: bytes = field(repr=False)

    def __post_init__(self) -> None:
        _require_key(self.key)
        _require_month(self.id)

    @classmethod
    def generate(cls, expiry_id: int) -> Self:
        """Draw a new key for a month."""
        return cls(expiry_id, os.urandom(KEY_SIZE))


class RecordKey:
    """The key of one record version. One that exists is either new or has passed its key check."""

    __slots__ = ("_key", "_place", "_subject_key")

    def __init__(self, key: bytes, subject_key: SubjectKey, record: UUID, version: int) -> None:
        self._key = key
        self._subject_key = subject_key
        self._place = _place(subject_key, record, version)

    def __repr__(self) -> str:
        return "RecordKey(hidden)"

    @classmethod
    def generate(cls, subject_key: SubjectKey, record: UUID, version: int) -> Self:
        """Draw a new key for a record version."""
        return cls(os.urandom(KEY_SIZE), subject_key, record, version)

    @classmethod
    def unwrap(
        cls,
        subject_key: SubjectKey,
        record: UUID,
        version: int,
        *,
        expiry_key: ExpiryKey,
        wrapped: bytes,
        key_check: bytes,
    ) -> Self:
        """Open a wrapped record key and hold it against its key check, before any field can be opened.

        GCM does not commit to a key: one ciphertext can be made to open under two. The key check does
        commit, and it stands in the access log, so fields cannot be passed off under another key and an
        older version of the row is noticed.

        Raises:
            UnsealError: It was altered or moved, the month or the person is another, or it is not the key
                the check commits to.
        """
        info = _info(_place(subject_key, record, version), expiry_key)
        key = unseal(_kek(subject_key, expiry_key, info), wrapped, info)
        record_key = cls(key, subject_key, record, version)
        if len(key) != KEY_SIZE or not hmac.compare_digest(record_key.check(), key_check):
            raise UnsealError("the record key is not the one its key check commits to")
        return record_key

    def wrap(self, expiry_key: ExpiryKey) -> bytes:
        """Wrap under the person's key and a month's; again with another month when the end moves."""
        info = _info(self._place, expiry_key)
        return seal(_kek(self._subject_key, expiry_key, info), os.urandom(NONCE_SIZE), self._key, info)

    def check(self) -> bytes:
        """The key check: 32 bytes that commit the record's ciphertexts to this key."""
        return expand(self._key, _CHECK)

    def fields(self, category: str) -> FieldSealer:
        """The sealer of this record version's fields, which all belong to one category."""
        return FieldSealer(expand(self._key, _FIELD), self._place, category)


def subject_key_aad(subject: UUID) -> bytes:
    """What the provider binds a wrapped subject key to."""
    return b"creditvault subject key v1" + subject.bytes


def expiry_key_aad(expiry_id: int) -> bytes:
    """What the provider binds a wrapped expiry key to."""
    _require_month(expiry_id)
    return b"creditvault expiry key v1" + expiry_id.to_bytes(4, "big")


def system_key_aad(name: str, version: int) -> bytes:
    """What the provider binds a wrapped key of the system to: label master, payload key, signing keys."""
    return b"creditvault system key v1" + named(name) + version.to_bytes(4, "big")


def _place(subject_key: SubjectKey, record: UUID, version: int) -> bytes:
    return subject_key.subject.bytes + record.bytes + version.to_bytes(4, "big")


def _info(place: bytes, expiry_key: ExpiryKey) -> bytes:
    return _WRAP + place + expiry_key.id.to_bytes(4, "big")


def _kek(subject_key: SubjectKey, expiry_key: ExpiryKey, info: bytes) -> AESGCM:
    return AESGCM(derive(subject_key.key + expiry_key.key, info))


def _require_key(key: bytes) -> None:
    if len(key) != KEY_SIZE:
        raise ValueError(f"a key has {KEY_SIZE} bytes")


def _require_month(expiry_id: int) -> None:
    if expiry_id % 100 not in _MONTHS or expiry_id // 100 not in _YEARS:
        raise ValueError("an expiry id is a month, yyyymm")
