"""A second verifier, written from access_log/FORMAT.md alone: it shares no line with the first.

    python second_verifier.py log DIRECTORY-or-URL KEY
    python second_verifier.py receipt FILE KEY
It says the first thing that fails. Exit codes: 0 good, 1 does not verify, 2 no verdict."""

import base64
import re
import sys
import urllib.error
import urllib.request
from hashlib import sha256
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey

Keys = dict[tuple[str, bytes], tuple[int, bytes]]


class Bad(Exception): ...


def need(holds: object, what: str) -> None:
    if not holds:
        raise Bad(what)


def hashed(*parts: bytes) -> bytes:
    return sha256(b"".join(parts)).digest()


def unbase64(text: str, size: int | None = None) -> bytes:
    need(re.fullmatch("[A-Za-z0-9+/]*={0,2}", text) and len(text) % 4 == 0, "this is not base64")
    data = base64.b64decode(text)
    need(base64.b64encode(data).decode() == text and size in {None, len(data)}, "base64 of another form")
    return data


def undecimal(text: str) -> int:
    need(re.fullmatch(r"0|[1-9][0-9]{0,18}", text, re.ASCII) and int(text) < 2**63, "this is no decimal")
    return int(text)


def is_name(name: str) -> bool:
    return bool(re.fullmatch(r"[^\s+]+", name)) and name.isprintable() and len(name.encode()) <= 255


def read_keys(text: str) -> Keys:  # Section 5
    keys = {}
    for line in (each.strip() for each in text.splitlines() if each.strip() and each.strip()[0] != "#"):
        name, _, rest = line.partition("+")
        key_id, _, material = rest.partition("+")
        raw = unbase64(material)
        need(is_name(name) and key_id == hashed(name.encode(), b"\n", raw)[:4].hex(), "a key is malformed")
        if raw[:1] in {b"\x01", b"\x04", b"\x06"}:
            keys[name, bytes.fromhex(key_id)] = (raw[0], raw[1:])
    need(keys, "there is no key")
    return keys


def check_signature(name: str, key: tuple[int, bytes], text: str, signature: bytes) -> None:  # Section 5
    origin, size, root, _ = text.split("\n")
    time, rest, kind = int.from_bytes(signature[:8], "big"), signature[8:], key[0]
    need(kind == 1 or (1 if kind == 4 else 0) <= time < 2**63, "the cosignature's time is out of bounds")
    names = [bytes([len(each.encode())]) + each.encode() for each in (name, origin)]
    try:
        if kind == 1:
            Ed25519PublicKey.from_public_bytes(key[1]).verify(signature, text.encode())
        elif kind == 4:
            message = f"cosignature/v1\ntime {time}\n{text}".encode()
            Ed25519PublicKey.from_public_bytes(key[1]).verify(rest, message)
        else:
            tree = bytes(8) + int(size).to_bytes(8, "big") + unbase64(root)
            message = b"subtree/v1\n\0" + names[0] + signature[:8] + names[1] + tree
            MLDSA44PublicKey.from_public_bytes(key[1]).verify(rest, message)
    except (InvalidSignature, ValueError):
        raise Bad(f"the signature of {name} does not verify") from None


def open_checkpoint(raw: bytes, keys: Keys) -> tuple[str, int, bytes]:  # Section 5
    note = raw.decode(errors="replace")
    need(len(raw) <= 262144 and note.encode() == raw, "the checkpoint is too long, or not UTF-8")
    text, blank, signed = note.rpartition("\n\n")
    lines, parts = signed.split("\n"), text.split("\n")
    need(not any(each < " " and each != "\n" for each in note), "the checkpoint has control characters")
    need(blank and lines.pop() == "" and 0 < len(lines) <= 64, "the signature lines are malformed")
    need(len(parts) == 3 and is_name(parts[0]), "the checkpoint has not three lines")
    origin, size, root, by_the_log = parts[0], undecimal(parts[1]), unbase64(parts[2], 32), False
    for line in lines:
        need(line.count(" ") == 2 and line[:2] == "\u2014 ", "a signature line is malformed")
        name, signature = line.split(" ")[1], unbase64(line.split(" ")[2])
        need(is_name(name) and len(signature) > 4, "a signature line is malformed")
        if key := keys.get((name, signature[:4])):
            check_signature(name, key, text + "\n", signature[4:])
            by_the_log |= name == origin and key[0] in {1, 6}
    need(by_the_log, "the checkpoint is not signed by the log's key")
    return origin, size, root


def check_entry(entry: bytes) -> int:  # Section 1
    need(len(entry) == 106 and entry[0] == 1 and entry[1] in {*range(1, 11), 255}, "no entry of version 1")
    need(entry[2:10] <= (253402300799999).to_bytes(8, "big"), "the time is out of bounds")
    return int.from_bytes(entry[2:10], "big")


def tree_root(hashes: list[bytes]) -> bytes:  # Section 1
    if len(hashes) < 2:
        return hashes[0] if hashes else hashed()
    half = 1 << (len(hashes) - 1).bit_length() - 1
    return hashed(b"\x01", tree_root(hashes[:half]), tree_root(hashes[half:]))


def check_receipt(raw: bytes, keys: Keys) -> str:  # Section 7
    head, _, note = raw.partition(b"\n\n")
    header, extra, index, *proof = [*head.decode("utf-8", "replace").split("\n"), "", ""]
    del proof[-2:]
    need((header, extra[:6], index[:6]) == ("c2sp.org/tlog-proof@v1", "extra ", "index "), "no receipt")
    entry, node = unbase64(extra[6:], 106), undecimal(index[6:])
    origin, size, root = open_checkpoint(note, keys)
    check_entry(entry)
    need(node < size and len(proof) <= 63, "the index lies outside the tree, or the proof is too long")
    last, computed = size - 1, hashed(b"\x00", entry)  # RFC 9162, 2.1.3.2
    for sibling in [unbase64(each, 32) for each in proof]:
        need(last > 0, "the proof is too long")
        if node & 1 or node == last:
            computed = hashed(b"\x01", sibling, computed)
            while node and not node & 1:
                node, last = node >> 1, last >> 1
        else:
            computed = hashed(b"\x01", computed, sibling)
        node, last = node >> 1, last >> 1
    need(last == 0 and computed == root, "the proof does not lead to the signed root")
    return f"entry {index[6:]} is logged in {origin}"


def fetch(place: str, path: str, limit: int) -> bytes | None:  # Section 10.2
    try:
        with urllib.request.urlopen(f"{place}/{path}", timeout=30) as answer:
            data = answer.read(limit + 1)
            if len(data) < min(limit + 1, int(answer.headers.get("Content-Length", 0))):
                raise OSError(f"{path} was cut on its way")
            return data
    except urllib.error.URLError as error:
        absent = isinstance(error.reason, (FileNotFoundError, NotADirectoryError))
        if not absent and getattr(error, "code", 0) not in {404, 410}:
            raise


def fetch_tile(place: str, level: int | str, n: int, width: int, unit: int) -> bytes:  # Section 6
    digits = str(n).zfill(-(-len(str(n)) // 3) * 3)
    path = f"tile/{level}/" + re.sub(r"(...)(?=.)", r"x\1/", digits)
    if width == 256 or (found := fetch(place, f"{path}.p/{width}", unit * width)) is None:
        found = (fetch(place, path, unit * 256) or b"")[: unit * width + (width == 256)]
    need(len(found) == unit * width, f"{path} is missing, or not {width} wide")
    return found


def audit(place: str, keys: Keys) -> str:  # Section 10.1
    place = place if "://" in place else Path(place).resolve(strict=True).as_uri()
    if (note := fetch(place, "checkpoint", 262144)) is None:
        raise OSError("there is no checkpoint")
    origin, size, root = open_checkpoint(note, keys)
    chain, newest, row = hashed(b"\x11", origin.encode()), 0, []
    for start in range(0, size, 256):
        bundle, leaves = fetch_tile(place, "entries", start // 256, min(256, size - start), 108), []
        for record in (bundle[at : at + 108] for at in range(0, len(bundle), 108)):
            time, index = check_entry(record[2:]), start + len(leaves)
            need(record[:2] == b"\x00\x6a", f"entry {index} has another length")
            need(record[12:44] == chain and time >= newest, f"entry {index} does not follow")
            leaves.append(hashed(b"\x00", record[2:]))
            chain, newest = hashed(b"\x10", chain, leaves[-1]), time
        stated = fetch_tile(place, 0, start // 256, len(leaves), 32)
        need(stated == b"".join(leaves), f"the tile of entries from {start} on states other hashes")
        row.append(tree_root(leaves))
    need(tree_root(row) == root, "the entries do not give the signed root")
    for level in range(1, 8):
        parts = [row[: size >> 8 * level][at : at + 256] for at in range(0, size >> 8 * level, 256)]
        for n, part in enumerate(parts):
            stated = fetch_tile(place, level, n, len(part), 32)
            need(stated == b"".join(part), f"tile {n} of level {level} states other hashes")
        row = [tree_root(part) for part in parts]
    return f"all {size} entries of {origin} verify"


def main(arguments: list[str]) -> int:
    try:
        what, place, key = arguments
        keys = read_keys(key if "+" in key else Path(key).read_text())
        said = audit(place, keys) if what == "log" else check_receipt(Path(place).read_bytes(), keys)
    except (Bad, OSError, ValueError) as error:
        print("does not verify:" if isinstance(error, Bad) else "no verdict:", error)
        return 1 if isinstance(error, Bad) else 2
    print("good:", said)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
