"""Write the golden vectors of vault/FORMAT.md: `python tests/vectors/crypto/generate.py`.

This is a second implementation, straight from the document: it imports nothing of the product, builds HKDF
from HMAC and lays out every byte by hand. The tests compare what it writes with the files and with the
product. All keys and nonces here are constants and protect nothing.
"""

import base64
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

HERE = Path(__file__).parent
SUBJECT = bytes.fromhex("00112233445566778899aabbccddeeff")
RECORD = bytes.fromhex("a0a1a2a3a4a5a6a7a8a9aaabacadaeaf")
VERSION = 7
EXPIRY = 203207
SUBJECT_KEY = bytes(range(0x20))
EXPIRY_KEY = bytes(range(0x20, 0x40))
RECORD_KEY = bytes(range(0x40, 0x60))
PAYLOAD_KEY = bytes(range(0x60, 0x80))
ROOT_1 = bytes(range(0x80, 0xA0))
ROOT_2 = bytes(range(0xA0, 0xC0))
INDEX_KEY = bytes(range(0xC0, 0xE0))
ORIGIN = b"vault.example/log/2026"


def u8(number: int) -> bytes:
    return number.to_bytes(1, "big")


def u32(number: int) -> bytes:
    return number.to_bytes(4, "big")


def u64(number: int) -> bytes:
    return number.to_bytes(8, "big")


def named(name: bytes) -> bytes:
    return u8(len(name)) + name


def extract(salt: bytes, secret: bytes) -> bytes:
    return hmac.digest(salt or bytes(32), secret, "sha256")


def expand(key: bytes, info: bytes, length: int = 32) -> bytes:
    output = block = b""
    number = 1
    while len(output) < length:
        block = hmac.digest(key, block + info + u8(number), "sha256")
        output += block
        number += 1
    return output[:length]


def hkdf(secret: bytes, info: bytes) -> bytes:
    return expand(extract(b"", secret), info)


def pad(value: bytes) -> bytes:
    total = 4 + len(value)
    size = next((size for size in (64, 128, 256, 512) if total <= size), -(-total // 1024) * 1024)
    return u32(len(value)) + value + bytes(size - total)


def container(key: bytes, nonce: bytes, plaintext: bytes, associated: bytes) -> bytes:
    return u8(1) + u8(1) + nonce + AESGCM(key).encrypt(nonce, plaintext, associated)


def altered(sealed: bytes) -> list[dict[str, str]]:
    """Each way one ciphertext can be spoilt, with the name of the failure."""
    return [
        {"failure": "unknown version 0", "sealed": (u8(0) + sealed[1:]).hex()},
        {"failure": "unknown version 2", "sealed": (u8(2) + sealed[1:]).hex()},
        {"failure": "suite 0", "sealed": (sealed[:1] + u8(0) + sealed[2:]).hex()},
        {"failure": "suite 2 is reserved", "sealed": (sealed[:1] + u8(2) + sealed[2:]).hex()},
        {"failure": "nonce altered", "sealed": (sealed[:2] + u8(sealed[2] ^ 1) + sealed[3:]).hex()},
        {"failure": "ciphertext altered", "sealed": (sealed[:14] + u8(sealed[14] ^ 1) + sealed[15:]).hex()},
        {"failure": "tag altered", "sealed": (sealed[:-1] + u8(sealed[-1] ^ 1)).hex()},
        {"failure": "tag cut short", "sealed": sealed[:-1].hex()},
        {"failure": "shorter than a container", "sealed": sealed[:29].hex()},
        {"failure": "empty", "sealed": ""},
    ]


def fields() -> dict[str, Any]:
    key = expand(RECORD_KEY, b"field" + u8(1))
    place = SUBJECT + RECORD + u32(VERSION)

    def sealed(category: str, field: str, padded: bytes, nonce: bytes) -> bytes:
        associated = u8(1) + u8(1) + place + named(category.encode()) + named(field.encode())
        return container(key, nonce, padded, associated)

    values = {
        "type": '"mortgage"',
        "amount_class": '"C"',
        "lender": '"Банк 银行"',
        "empty": "",
        "largest_of_64": "x" * 60,
        "least_of_128": "x" * 61,
        "least_of_1024": "x" * 509,
        "least_of_2048": "x" * 1021,
    }
    good = [
        {
            "field": field,
            "value": value,
            "nonce": (bytes([0xA0 + at]) * 12).hex(),
            "sealed": sealed("FIN", field, pad(value.encode()), bytes([0xA0 + at]) * 12).hex(),
        }
        for at, (field, value) in enumerate(values.items(), 1)
    ]
    nonce = bytes([0xF0]) * 12
    bad = altered(sealed("FIN", "type", pad(b'"mortgage"'), nonce))
    for failure, padded in {
        "padding is not zero": pad(b"1")[:-1] + b"\1",
        "a larger size class than the value needs": u32(1) + b"1" + bytes(123),
        "no size class at all": u32(1) + b"1",
        "the length exceeds the padding": u32(61) + bytes(60),
        "shorter than a length": b"\0\0\0",
        "nothing inside": b"",
    }.items():
        bad.append({"failure": failure, "sealed": sealed("FIN", "type", padded, nonce).hex()})
    bad.append({"failure": "another field", "sealed": sealed("FIN", "status", pad(b"1"), nonce).hex()})
    bad.append({"failure": "another category", "sealed": sealed("TAX", "type", pad(b"1"), nonce).hex()})
    bad.append(
        {
            "failure": "category and field split elsewhere",
            "sealed": sealed("FI", "Ntype", pad(b"1"), nonce).hex(),
        }
    )
    return {
        "subject": SUBJECT.hex(),
        "record": RECORD.hex(),
        "version": VERSION,
        "record_key": RECORD_KEY.hex(),
        "aead_key": key.hex(),
        "key_check": expand(RECORD_KEY, b"check" + u8(1)).hex(),
        "category": "FIN",
        "fields": good,
        "refused_as_FIN_type": bad,
    }


def record_keys() -> dict[str, Any]:
    def wrapped(subject: bytes, record: bytes, version: int, expiry: int, expiry_key: bytes) -> bytes:
        info = b"creditvault wrap v1" + u8(1) + subject + record + u32(version) + u32(expiry)
        return container(hkdf(SUBJECT_KEY + expiry_key, info), bytes([0x11]) * 12, RECORD_KEY, info)

    good = wrapped(SUBJECT, RECORD, VERSION, EXPIRY, EXPIRY_KEY)
    other = bytes(16)
    return {
        "subject": SUBJECT.hex(),
        "record": RECORD.hex(),
        "version": VERSION,
        "expiry_id": EXPIRY,
        "subject_key": SUBJECT_KEY.hex(),
        "expiry_key": EXPIRY_KEY.hex(),
        "record_key": RECORD_KEY.hex(),
        "key_check": expand(RECORD_KEY, b"check" + u8(1)).hex(),
        "nonce": (bytes([0x11]) * 12).hex(),
        "wrapped": good.hex(),
        "refused": [
            *altered(good),
            {
                "failure": "another person",
                "sealed": wrapped(other, RECORD, VERSION, EXPIRY, EXPIRY_KEY).hex(),
            },
            {
                "failure": "another record",
                "sealed": wrapped(SUBJECT, other, VERSION, EXPIRY, EXPIRY_KEY).hex(),
            },
            {"failure": "another version", "sealed": wrapped(SUBJECT, RECORD, 8, EXPIRY, EXPIRY_KEY).hex()},
            {
                "failure": "another month",
                "sealed": wrapped(SUBJECT, RECORD, VERSION, 203208, EXPIRY_KEY).hex(),
            },
            {
                "failure": "another expiry key",
                "sealed": wrapped(SUBJECT, RECORD, VERSION, EXPIRY, bytes(32)).hex(),
            },
        ],
    }


def payloads() -> dict[str, Any]:
    def sealed(origin: bytes, index: int, expiry: int, plaintext: bytes) -> bytes:
        info = b"creditvault payload v1" + u8(1) + u32(expiry) + named(origin) + u64(index)
        return container(hkdf(PAYLOAD_KEY + EXPIRY_KEY, info), bytes([0x22]) * 12, pad(plaintext), info)

    plaintext = '{"v":1,"note":"a payload of the access log"}'
    index = 2**40 + 5
    good = sealed(ORIGIN, index, EXPIRY, plaintext.encode())
    return {
        "payload_key": PAYLOAD_KEY.hex(),
        "expiry_key": EXPIRY_KEY.hex(),
        "expiry_id": EXPIRY,
        "origin": ORIGIN.decode(),
        "index": index,
        "plaintext": plaintext,
        "nonce": (bytes([0x22]) * 12).hex(),
        "sealed": good.hex(),
        "refused": [
            *altered(good),
            {
                "failure": "another entry",
                "sealed": sealed(ORIGIN, index + 1, EXPIRY, plaintext.encode()).hex(),
            },
            {"failure": "another month", "sealed": sealed(ORIGIN, index, 203208, plaintext.encode()).hex()},
            {"failure": "another log", "sealed": sealed(b"x", index, EXPIRY, plaintext.encode()).hex()},
        ],
    }


def keyring() -> dict[str, Any]:
    passphrase = "ｃorrect horse battery staple"  # noqa: RUF001 -- a vector; full-width on purpose, NFKC folds it
    memory_kib, iterations, lanes = 64, 1, 2
    salt, nonce = bytes([0x33]) * 16, bytes([0x44]) * 12
    header = b"creditvault keyring\n" + u8(1) + u32(memory_kib) + u32(iterations) + u32(lanes) + salt + nonce

    def key(kind: str, following: int, versions: dict[str, bytes]) -> dict[str, Any]:
        texts = {number: base64.b64encode(secret).decode() for number, secret in versions.items()}
        return {"kind": kind, "following": following, "versions": texts}

    document = {
        "keys": {
            "root": key("wrap", 3, {"1": ROOT_1, "2": ROOT_2}),
            "index": key("mac", 2, {"1": INDEX_KEY}),
            "expiry/203001": key("wrap", 2, {}),
        }
    }
    plaintext = json.dumps(document, separators=(",", ":"))
    argon2 = Argon2id(salt=salt, length=32, iterations=iterations, lanes=lanes, memory_cost=memory_kib)
    file_key = argon2.derive(b"correct horse battery staple")
    body = header + AESGCM(file_key).encrypt(nonce, plaintext.encode(), header)

    def wrapped(version: int, root: bytes) -> dict[str, Any]:
        aad = b"creditvault subject key v1" + SUBJECT
        wrap_nonce = bytes([0x50 + version]) * 12
        head = u8(1) + u8(1) + u32(version)
        sealed = AESGCM(root).encrypt(wrap_nonce, SUBJECT_KEY, head + named(b"root") + aad)
        return {
            "version": version,
            "aad": aad.hex(),
            "secret": SUBJECT_KEY.hex(),
            "nonce": wrap_nonce.hex(),
            "wrapped": (head + wrap_nonce + sealed).hex(),
        }

    return {
        "passphrase": passphrase,
        "plaintext": plaintext,
        "file": (body + hashlib.sha256(body).digest()).hex(),
        "wraps_of_root": [wrapped(1, ROOT_1), wrapped(2, ROOT_2)],
    }


def identifiers() -> dict[str, Any]:
    def good(scheme: str, spelled: str, number: str) -> dict[str, str]:
        message = scheme.encode() + b"\0" + number.encode()
        mac = hmac.digest(INDEX_KEY, message, "sha256")
        return {
            "scheme": scheme,
            "spelled": spelled,
            "number": number,
            "message": message.hex(),
            "blind_index": mac.hex(),
        }

    def bad(scheme: str, spelled: str, rule: str) -> dict[str, str]:
        return {"scheme": scheme, "spelled": spelled, "rule": rule}

    return {
        "index_key": INDEX_KEY.hex(),
        "accepted": [
            good("demo-id", "999999190001010015", "999999190001010015"),
            good("demo-id", "99999919000101004X", "99999919000101004X"),
            good("demo-id", "99999919000101004x", "99999919000101004X"),
            good("demo-id", " 999999 19000101 0015 ", "999999190001010015"),
            good("demo-id", "999999\u300019000101\u00a00015", "999999190001010015"),
            good("demo-id", "９９９９９９１９０００１０１００４ｘ", "99999919000101004X"),  # noqa: RUF001 -- what is tested
            good("demo-id", "999999000101001", "999999190001010015"),
            good("demo-id", "999999000101004", "99999919000101004X"),
            # Nobody's: a person born in 2099, and one who would be the oldest ever.
            good("cn-ric", "110101209901010017", "110101209901010017"),
            good("cn-ric", "110101000101001", "110101190001010014"),
        ],
        "refused": [
            bad("demo-id", "999999190001010016", "check-digit"),
            bad("demo-id", "999999190001010051", "check-digit"),
            bad("demo-id", "999999190002300014", "birth-date"),
            bad("demo-id", "999999000000000", "birth-date"),
            bad("demo-id", "999999000101996", "century"),
            bad("demo-id", "110101209901010017", "address"),
            bad("cn-ric", "999999190001010015", "address"),
            bad("cn-ric", "119999197801010011", "address"),
            bad("demo-id", "", "format"),
            bad("demo-id", "99999919000101001", "format"),
            bad("demo-id", "9999991900010100155", "format"),
            bad("demo-id", "X99999190001010015", "format"),
            bad("demo-id", "999999-19000101-0015", "format"),
            bad("demo-id", "999999190001010015\n", "format"),
            bad("demo-id", "99999919000101004\u0425", "format"),
            bad("demo-id", "\u0669" * 18, "format"),
            bad("demo-id", " " * 64 + "999999190001010015", "format"),
            bad("ssn", "999999190001010015", "scheme"),
        ],
    }


def padding() -> dict[str, Any]:
    lengths = [0, 1, 59, 60, 61, 124, 125, 252, 253, 508, 509, 1020, 1021, 2044, 2045, 100_000]
    return {"sizes": [{"length": length, "padded": len(pad(bytes(length)))} for length in lengths]}


DOCUMENTS = {
    "fields.json": fields,
    "record_keys.json": record_keys,
    "payloads.json": payloads,
    "keyring.json": keyring,
    "identifiers.json": identifiers,
    "padding.json": padding,
}


def text(name: str) -> str:
    """The file's content."""
    return json.dumps(DOCUMENTS[name](), indent=1, ensure_ascii=True) + "\n"


if __name__ == "__main__":
    for name in DOCUMENTS:
        (HERE / name).write_text(text(name))
