"""What must hold of a vault whatever happened to it: read from the database as an inspector with keys would.

Nothing here trusts a counter: entries and payloads are opened one by one, and everything else is held against
them.
"""

import asyncio
import subprocess
import sys
from base64 import b64decode
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import text

from access_log.checkpoint import VerifierKey
from access_log.entry import Entry, EntryType, first_chain, next_chain
from access_log.fsck import examine_log
from access_log.merkle import Frontier, leaf_hash
from access_log.payload import Payload, check_opening
from access_log.receipt import verify_receipt
from tests.flows.serving import ROOT
from vault.crypto.errors import CryptoError
from vault.records.companions import RULE as COMPANION
from vault.server.assembly import Vault

_ENTRIES = text(
    "SELECT e.index, e.entry, p.expiry_id, p.sealed FROM access_log.entry e"
    " FULL JOIN access_log.payload p ON p.log = e.log AND p.index = e.index ORDER BY e.index"
)
_HEAD = text("SELECT size, chain, frontier FROM access_log.head")
_STREAMS = text("SELECT stream_id, seq, last_leaf FROM access_log.stream")
_REQUESTS = text("SELECT index, request_id FROM access_log.request ORDER BY index")
_CONSENT_USES = text("SELECT consent_id, uses FROM consent.consent_use")
_AUTHORIZATION_USES = text("SELECT authorization_id, counts, uses FROM consent.authorization_use")


@dataclass(frozen=True)
class Logged:
    """One entry of the log, with its payload open."""

    index: int
    entry: Entry
    leaf: bytes
    values: Mapping[str, Any]


async def read_log(vault: Vault) -> list[Logged]:
    """Every entry, in order; each commits to its payload, or this fails."""
    async with vault.engine.connect() as connection:
        rows = (await connection.execute(_ENTRIES)).all()
    found = []
    for at, (index, raw, expiry_id, sealed) in enumerate(rows):
        assert index == at, "an entry is missing, or a payload has none"
        assert sealed is not None, f"entry {at} has no payload"
        entry = Entry.decode(raw)
        opened = await vault.log.sealer.open(index, expiry_id, sealed)
        assert opened is not None, f"the key of the payload of entry {at} is gone"
        payload = Payload.decode(opened)
        assert payload.commitment(entry.label) == entry.commitment, f"entry {at} is another payload's"
        found.append(Logged(index, entry, leaf_hash(raw), payload.values()))
    return found


async def check_whole(vault: Vault) -> list[Logged]:
    """Head, chain, tree, streams and requests agree with the entries: nothing is half done; so says `fsck`.

    Returns:
        The log, read.
    """
    logged = await read_log(vault)
    async with vault.engine.connect() as connection:
        (size, head_chain, frontier) = (await connection.execute(_HEAD)).one()
        streams = (await connection.execute(_STREAMS)).all()
        requests = [row[0] for row in await connection.execute(_REQUESTS)]
    assert size == len(logged)
    chain, tree = first_chain(vault.log.origin), Frontier.empty()
    for one in logged:
        assert one.entry.previous == chain, f"entry {one.index} does not continue the chain"
        chain, tree = next_chain(chain, one.leaf), tree.append(one.leaf)
    assert (chain, tree.encode()) == (bytes(head_chain), bytes(frontier))
    _check_streams(logged, {bytes(row.stream_id): row for row in streams})
    settled = {
        bytes.fromhex(one.values["query"]) for one in logged if one.entry.type is EntryType.NOT_RELEASED
    }
    expected = [one.index for one in logged if _is_request(one, settled)]
    assert requests == expected, "requests and entries do not belong together"
    years = vault.settings.payload_years
    report = await examine_log(vault.log, altered=(CryptoError,), retention_years=years)
    assert report.sound, report.findings
    return logged


def _is_request(one: Logged, settled: set[bytes]) -> bool:
    """Whether a row of the request table stands beside this entry; a settled one's is forgotten."""
    if one.entry.type is EntryType.QUERY_PERMITTED:
        return one.leaf not in settled
    return one.entry.type in (EntryType.QUERY_REFUSED, EntryType.NOT_RELEASED)


def _check_streams(logged: Sequence[Logged], rows: Mapping[bytes, Any]) -> None:
    """Every entry continues exactly one stream; each stream's row names the newest."""
    newest = {bytes(32): 0}
    for one in logged:
        previous = b64decode(one.values["previous"])
        assert previous in newest, f"entry {one.index} continues no stream"
        if previous != bytes(32):
            del newest[previous]
        newest[one.leaf] = one.index
    of_rows = {bytes(row.last_leaf) for row in rows.values() if row.seq}
    assert of_rows == newest.keys() - {bytes(32)}


async def check_uses(vault: Vault, logged: Sequence[Logged]) -> Counter[UUID]:
    """The counter of every grant is the number of permitted queries that were not taken back.

    Returns:
        That number, by grant.
    """
    settled = [one.values["query"] for one in logged if one.entry.type is EntryType.NOT_RELEASED]
    assert len(set(settled)) == len(settled), "a query was taken back twice"
    stated = [one for one in logged if one.entry.type is EntryType.QUERY_PERMITTED]
    companions = [one for one in stated if one.values["reason"] == COMPANION]
    of_companions = {one.leaf.hex() for one in companions}
    permitted = [one for one in stated if one not in companions]
    settled = [one for one in settled if one not in of_companions]
    assert set(settled) <= {one.leaf.hex() for one in permitted}, "what was taken back was never permitted"
    standing = Counter(UUID(one.values["basis"]) for one in permitted if one.leaf.hex() not in settled)
    async with vault.engine.connect() as connection:
        consents = {row.consent_id: row.uses for row in await connection.execute(_CONSENT_USES)}
        by_statute = [
            Counter({row.authorization_id: row.uses})
            for row in await connection.execute(_AUTHORIZATION_USES)
            if row.counts == "day"
        ]
    counted = sum(by_statute, Counter(consents))
    assert +counted == +standing, "counters and permitted queries differ"
    return standing


def check_answers(vault: Vault, answers: Sequence[Mapping[str, Any]], logged: Sequence[Logged]) -> list[int]:
    """The receipts of every answer verify, their tree is the log's, and each entry stands where it says.

    Returns:
        The index of each answer's entry.
    """
    key = VerifierKey.parse(vault.log.key.verifier_key())
    proofs = [*answers, *(each for answer in answers for each in answer.get("companions", ()))]
    verified = [verify_receipt(proof["receipt"], [key]) for proof in proofs]
    roots = _roots(logged, {one.checkpoint.size for one in verified})
    for answer, one in zip(proofs, verified, strict=True):
        stands = logged[one.index]
        assert stands.entry == one.entry, f"entry {one.index} is not the one that was answered"
        opened = check_opening(stands.entry, answer["opening"])
        assert opened["basis"] == stands.values["basis"]
        assert roots[one.checkpoint.size] == one.checkpoint.root, "the receipt's tree is not the log's"
    return [one.index for one in verified[: len(answers)]]


def _roots(logged: Sequence[Logged], sizes: set[int]) -> dict[int, bytes]:
    """The roots of the log's tree at these sizes."""
    tree, roots = Frontier.empty(), {}
    for one in logged:
        tree = tree.append(one.leaf)
        if tree.size in sizes:
            roots[tree.size] = tree.root()
    return roots


async def verify_published(vault: Vault, url: str) -> None:
    """An inspector's verifier, in a process of its own, finds the served log whole."""
    await _succeeds(
        "-m", "access_log", "verify", f"{url}/log/", "--log-key", vault.log.key.verifier_key(), "--json"
    )


async def _succeeds(*arguments: str) -> None:
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
