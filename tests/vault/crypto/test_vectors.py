"""The golden vectors: written again as they stand, and met by the product byte for byte."""

import importlib.util
import json
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import UUID

import pytest

from vault.crypto.blind import CN_RIC, DEMO_ID, Identifier
from vault.crypto.derivation import Derivation, derive, expand
from vault.crypto.envelopes import ExpiryKey, RecordKey, SubjectKey
from vault.crypto.errors import InvalidIdentifierError, UnsealError
from vault.crypto.keyring import FileKeyring
from vault.crypto.padding import pad, padded_size
from vault.crypto.payloads import MonthSealer, PayloadSealer

VECTORS = Path(__file__).parents[2] / "vectors" / "crypto"
SCHEMES = {CN_RIC, DEMO_ID}
unhex = bytes.fromhex


def read(name: str) -> Any:
    return json.loads((VECTORS / name).read_text())


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("crypto_vectors", VECTORS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def draws(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    """Makes the next draws of randomness come from the given bytes."""

    def use(stream: bytes) -> None:
        left = bytearray(stream)

        def urandom(size: int) -> bytes:
            assert size <= len(left)
            drawn = bytes(left[:size])
            del left[:size]
            return drawn

        monkeypatch.setattr(os, "urandom", urandom)

    return use


def test_the_generator_writes_the_files_as_they_stand() -> None:
    module = generator()
    assert set(module.DOCUMENTS) | {"rfc5869.json"} == {path.name for path in VECTORS.glob("*.json")}
    for name in module.DOCUMENTS:
        assert module.text(name) == (VECTORS / name).read_text(), name


def test_the_example_of_the_document_is_the_first_field() -> None:
    document = (VECTORS.parents[2] / "vault" / "FORMAT.md").read_text()
    lines = document.split("```")[1].splitlines()
    shown = "".join(line[:72].split("  ")[0].replace(" ", "") for line in lines)
    assert shown == read("fields.json")["fields"][0]["sealed"]


@pytest.mark.parametrize("case", read("rfc5869.json")["cases"], ids=lambda case: case["name"])
def test_hkdf_of_rfc_5869(case: dict[str, str]) -> None:
    module = generator()
    secret, salt, info, okm = (unhex(case[name]) for name in ("ikm", "salt", "info", "okm"))
    assert module.extract(salt, secret).hex() == case["prk"]
    assert module.expand(unhex(case["prk"]), info, len(okm)) == okm
    assert expand(unhex(case["prk"]), info) == okm[:32]
    if not salt:
        assert derive(secret, info) == Derivation(secret).key(info) == okm[:32]


def test_padding() -> None:
    for size in read("padding.json")["sizes"]:
        assert padded_size(size["length"]) == size["padded"]
        assert len(pad(bytes(size["length"]))) == size["padded"]


def record_key(vector: dict[str, Any]) -> RecordKey:
    subject_key = SubjectKey(UUID(vector["subject"]), bytes(32))
    return RecordKey(unhex(vector["record_key"]), subject_key, UUID(vector["record"]), vector["version"])


def test_fields(draws: Callable[[bytes], None]) -> None:
    vector = read("fields.json")
    key = record_key(vector)
    assert key.check().hex() == vector["key_check"]
    sealer = key.fields(vector["category"])
    draws(b"".join(unhex(field["nonce"]) for field in vector["fields"]))
    sealed = sealer.seal({field["field"]: field["value"].encode() for field in vector["fields"]})
    for field in vector["fields"]:
        assert sealed[field["field"]].hex() == field["sealed"]
        assert sealer.open(field["field"], unhex(field["sealed"])) == field["value"].encode()


@pytest.mark.parametrize("case", read("fields.json")["refused_as_FIN_type"], ids=lambda case: case["failure"])
def test_fields_refused(case: dict[str, str]) -> None:
    sealer = record_key(read("fields.json")).fields("FIN")
    with pytest.raises(UnsealError):
        sealer.open("type", unhex(case["sealed"]))


def unwrap(vector: dict[str, Any], wrapped: str) -> RecordKey:
    return RecordKey.unwrap(
        SubjectKey(UUID(vector["subject"]), unhex(vector["subject_key"])),
        UUID(vector["record"]),
        vector["version"],
        expiry_key=ExpiryKey(vector["expiry_id"], unhex(vector["expiry_key"])),
        wrapped=unhex(wrapped),
        key_check=unhex(vector["key_check"]),
    )


def test_record_keys(draws: Callable[[bytes], None]) -> None:
    vector = read("record_keys.json")
    key = unwrap(vector, vector["wrapped"])
    assert key._key.hex() == vector["record_key"]
    draws(unhex(vector["nonce"]))
    again = key.wrap(ExpiryKey(vector["expiry_id"], unhex(vector["expiry_key"])))
    assert again.hex() == vector["wrapped"]


@pytest.mark.parametrize("case", read("record_keys.json")["refused"], ids=lambda case: case["failure"])
def test_record_keys_refused(case: dict[str, str]) -> None:
    with pytest.raises(UnsealError):
        unwrap(read("record_keys.json"), case["sealed"])


def payload_sealer(vector: dict[str, Any]) -> MonthSealer:
    month = ExpiryKey(vector["expiry_id"], unhex(vector["expiry_key"]))
    return PayloadSealer(unhex(vector["payload_key"]), vector["origin"]).until(month)


def test_payloads(draws: Callable[[bytes], None]) -> None:
    vector = read("payloads.json")
    sealer = payload_sealer(vector)
    plaintext = vector["plaintext"].encode()
    assert sealer.open(vector["index"], unhex(vector["sealed"])) == plaintext
    draws(unhex(vector["nonce"]))
    assert sealer.seal(vector["index"], plaintext).hex() == vector["sealed"]


@pytest.mark.parametrize("case", read("payloads.json")["refused"], ids=lambda case: case["failure"])
def test_payloads_refused(case: dict[str, str]) -> None:
    vector = read("payloads.json")
    with pytest.raises(UnsealError):
        payload_sealer(vector).open(vector["index"], unhex(case["sealed"]))


@pytest.fixture
def keyring(tmp_path: Path) -> FileKeyring:
    vector = read("keyring.json")
    path = tmp_path / "keyring"
    path.touch(0o600)
    path.write_bytes(unhex(vector["file"]))
    return FileKeyring.open(path, vector["passphrase"])


async def test_keyring_file(keyring: FileKeyring, draws: Callable[[bytes], None]) -> None:
    vector = read("keyring.json")
    assert await keyring.versions("root") == (1, 2)
    assert await keyring.versions("index") == (1,)
    assert await keyring.versions("expiry/203001") == ()
    content = unhex(vector["file"])
    draws(content[49:61])
    assert keyring._keyfile.encode(keyring._keyfile.decode(content)) == content


async def test_provider_wraps(keyring: FileKeyring, draws: Callable[[bytes], None]) -> None:
    for wrap in read("keyring.json")["wraps_of_root"]:
        aad, secret = unhex(wrap["aad"]), unhex(wrap["secret"])
        assert await keyring.unwrap("root", unhex(wrap["wrapped"]), aad) == secret
        if wrap["version"] == max(await keyring.versions("root")):
            draws(unhex(wrap["nonce"]))
            assert (await keyring.wrap("root", secret, aad)).hex() == wrap["wrapped"]


async def test_identifiers(keyring: FileKeyring) -> None:
    for case in read("identifiers.json")["accepted"]:
        identifier = Identifier.parse(case["scheme"], case["spelled"], SCHEMES)
        assert identifier == Identifier(case["scheme"], case["number"])
        assert identifier.index_message().hex() == case["message"]
        mac = await keyring.mac("index", identifier.index_message())
        assert (mac.version, mac.value.hex()) == (1, case["blind_index"])


@pytest.mark.parametrize("case", read("identifiers.json")["refused"], ids=lambda case: case["rule"])
def test_identifiers_refused(case: dict[str, str]) -> None:
    with pytest.raises(InvalidIdentifierError) as caught:
        Identifier.parse(case["scheme"], case["spelled"], SCHEMES)
    assert caught.value.rule == case["rule"]
    assert caught.value.scheme == (case["scheme"] if case["scheme"] in SCHEMES else "unknown")
