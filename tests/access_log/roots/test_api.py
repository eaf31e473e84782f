"""The log of roots over HTTP: anyone reads it, auditors cosign it, and labels are proved from it."""

import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient, Response
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from access_log.checkpoint import Checkpoint, VerifierKey, open_note, open_signed_note
from access_log.errors import FormatError, LogStateError, VerificationError
from access_log.labels import label
from access_log.merkle import Frontier, leaf_hash
from access_log.note import split_note
from access_log.prefix import verify_absence, verify_inclusion
from access_log.roots.api import MOST_LABELS, roots_router
from access_log.roots.leaf import Kind, PrefixRoot
from access_log.roots.log import RootsLog
from access_log.roots.statement import verify_statement
from access_log.signing_keys import CosigningKey
from access_log.tiles import decode_bundle
from access_log.verifier_keys import ED25519_COSIGNATURE, ML_DSA_44
from tests.access_log.logs import as_owner, stored_entries
from tests.access_log.roots.clocked import KEY, SIGNERS, ClockedLog, clocked_log, new_stream, roots_of

AUDITOR = CosigningKey.from_seed("inspectorate.test/auditor", ED25519_COSIGNATURE, b"a" * 32)
POST_QUANTUM = CosigningKey.from_seed("inspectorate.test/auditor", ML_DSA_44, b"a" * 32)
STRANGER = CosigningKey.from_seed("stranger.test", ED25519_COSIGNATURE, b"s" * 32)
KEYS = [VerifierKey.parse(KEY.verifier_key())]


@pytest.fixture
async def log(database: AsyncEngine, tmp_path: Path) -> ClockedLog:
    return await clocked_log(database, tmp_path)


@pytest.fixture
async def roots(log: ClockedLog) -> RootsLog:
    opened = RootsLog(log, SIGNERS, [AUDITOR.key, POST_QUANTUM.key])
    await opened.create()
    return opened


@pytest.fixture
async def http(roots: RootsLog) -> AsyncIterator[AsyncClient]:
    app = FastAPI()
    app.include_router(roots_router(roots))
    async with AsyncClient(transport=ASGITransport(app), base_url="http://log.test") as client:
        yield client


async def cosigned(http: AsyncClient, *keys: CosigningKey, note: str | None = None) -> Response:
    note = note or (await http.get("/log/roots/checkpoint")).text
    checkpoint = Checkpoint.parse(split_note(note)[0])
    lines = "".join(key.line(checkpoint, 1_790_000_000) for key in keys)
    return await http.post(
        "/log/roots/cosignature", content=note + lines, headers={"Content-Type": "text/plain"}
    )


async def ask(http: AsyncClient, month: int, labels: list[bytes]) -> tuple[PrefixRoot, list[bytes], Any]:
    response = await http.post(
        "/log/labels", json={"month": month, "labels": [each.hex() for each in labels]}
    )
    assert response.status_code == 200
    assert response.headers["cache-control"] == "no-store"
    verified = verify_statement(response.json()["root"], KEYS)
    return verified.root, [base64.b64decode(each) for each in response.json()["proofs"]], verified


async def test_a_person_checks_that_none_is_missing(
    log: ClockedLog, roots: RootsLog, http: AsyncClient
) -> None:
    person = await new_stream(log)
    await log.at("2026-07-05", 40)
    await log.at("2026-07-06", 3, person)
    await log.at("2026-08-01", 30)
    await log.at("2026-08-02", 1, person)
    await roots.catch_up()
    assert (await cosigned(http, AUDITOR)).status_code == 204
    assert await roots.crown() == 2
    entries = await stored_entries(log)
    for month, count, kind in ((202607, 3, Kind.FINAL), (202608, 1, Kind.INTERIM)):
        key = log.month_key(person, month)
        labels = [label(key, seq) for seq in range(1, count + 2)]
        root, proofs, verified = await ask(http, month, labels)
        assert (root.kind, root.month) == (kind, month)
        assert [each.key for each in verified.cosigned] == []
        for sought, proof in zip(labels[:-1], proofs, strict=False):
            place = verify_inclusion(sought, proof, root.prefix_root)
            assert entries[place.index][42:106] == sought + place.commitment
        verify_absence(labels[-1], proofs[-1], root.prefix_root)
        with pytest.raises(VerificationError):
            verify_absence(labels[0], proofs[0], root.prefix_root)


async def test_every_label_and_any_other_is_proved(
    log: ClockedLog, roots: RootsLog, http: AsyncClient
) -> None:
    await log.at("2026-07-05", 700)
    await roots.catch_up()
    await cosigned(http, AUDITOR)
    await roots.crown()
    mine = [entry[42:74] for entry in await stored_entries(log)]
    others = [bytes([at]) * 32 for at in range(256)] + [mine[0][:31] + b"\x00", mine[1][:3] + bytes(29)]
    for at in range(0, 700, MOST_LABELS):
        root, proofs, _ = await ask(http, 202607, mine[at : at + MOST_LABELS])
        for position, (sought, proof) in enumerate(zip(mine[at:], proofs, strict=False), at):
            assert verify_inclusion(sought, proof, root.prefix_root).index == position
    for at in range(0, len(others), MOST_LABELS):
        root, proofs, _ = await ask(http, 202607, others[at : at + MOST_LABELS])
        for sought, proof in zip(others[at:], proofs, strict=False):
            verify_absence(sought, proof, root.prefix_root)


async def test_only_roots_that_were_cosigned_are_shown(
    log: ClockedLog, roots: RootsLog, http: AsyncClient
) -> None:
    await log.at("2026-07-05", 5)
    await roots.catch_up()
    await roots.crown()
    asked = {"month": 202607, "labels": ["00" * 32]}
    assert (await http.post("/log/labels", json=asked)).status_code == 404
    first = (await http.get("/log/roots/checkpoint")).text
    assert (await cosigned(http, AUDITOR, POST_QUANTUM)).status_code == 204
    await log.at("2026-07-06", 5)
    await roots.catch_up()
    await roots.crown()
    statement = (await http.post("/log/labels", json=asked)).json()["root"]
    verified = verify_statement(statement, KEYS, [AUDITOR.key])
    assert (verified.root.size, verified.checkpoint.size) == (5, 1)
    assert {
        each.key for each in verify_statement(statement, KEYS, [AUDITOR.key, POST_QUANTUM.key]).cosigned
    } == {
        AUDITOR.key,
        POST_QUANTUM.key,
    }
    with pytest.raises(VerificationError, match="no auditor"):
        verify_statement(statement, KEYS, [STRANGER.key])
    # An older checkpoint delivered late takes nothing back.
    assert (await cosigned(http, AUDITOR)).status_code == 204
    assert (await cosigned(http, AUDITOR, note=first)).status_code == 204
    await roots.crown()
    assert verify_statement((await http.post("/log/labels", json=asked)).json()["root"], KEYS).root.size == 10


async def test_without_auditors_the_newest_root_is_shown(log: ClockedLog, roots: RootsLog) -> None:
    roots.auditors = ()
    app = FastAPI()
    app.include_router(roots_router(roots))
    await log.at("2026-07-05", 5)
    await roots.catch_up()
    await roots.crown()
    async with AsyncClient(transport=ASGITransport(app), base_url="http://log.test") as client:
        for size in (5, 25):
            root, _, _ = await ask(client, 202607, [bytes(32)])
            assert root.size == size
            await log.at("2026-07-06", 20)
            await roots.catch_up()
            await roots.crown()


async def test_it_is_served_as_the_log_is(log: ClockedLog, roots: RootsLog, http: AsyncClient) -> None:
    await log.at("2026-07-05", 5)
    await log.at("2026-08-05", 5)
    await roots.catch_up()
    found = await roots_of(roots)
    note = (await http.get("/log/roots/checkpoint")).content
    checkpoint = open_note(note, [VerifierKey.parse((await http.get("/log/roots/key")).text.strip())])
    assert checkpoint.size == len(found) == 2
    bundle = await http.get("/log/roots/tile/entries/000.p/2")
    assert "immutable" in bundle.headers["cache-control"]
    assert decode_bundle(bundle.content) == [root.encode() for root in found]
    tile = (await http.get("/log/roots/tile/0/000.p/2")).content
    leaves = [leaf_hash(root.encode()) for root in found]
    assert tile == b"".join(leaves)
    assert Frontier.empty().extend(leaves).root() == checkpoint.root
    assert (await http.get("/log/roots/tile/entries/000.p/3")).status_code == 404
    assert (await http.head("/log/roots/checkpoint")).status_code == 200
    assert (await cosigned(http, AUDITOR)).status_code == 204
    _, signatures = open_signed_note((await http.get("/log/roots/checkpoint")).content, [*KEYS, AUDITOR.key])
    assert {each.key for each in signatures} == {*KEYS, AUDITOR.key}


async def test_cosignatures_that_are_not_taken(log: ClockedLog, roots: RootsLog, http: AsyncClient) -> None:
    await log.at("2026-07-05", 5)
    await roots.catch_up()
    note = (await http.get("/log/roots/checkpoint")).text
    ours = Checkpoint.parse(split_note(note)[0])
    line = AUDITOR.line(ours, 1_790_000_000)
    forged = line[:-8] + ("AAAA" if line[-8:-4] != "AAAA" else "BBBB") + line[-4:]
    answers = {}
    body: Any
    for name, body in (
        ("garbage", "garbage"),
        ("empty", ""),
        ("not text", b"\xff\xff"),
        ("only ours", note),
        ("a stranger's", note + STRANGER.line(ours, 1)),
        ("forged", note + forged),
        ("too many lines", note + 20 * STRANGER.line(ours, 1) + line),
        ("too large", note + "x" * 300_000),
        *(
            (name, other.text() + "\n" + AUDITOR.line(other, 1))
            for name, other in (
                ("another root", Checkpoint(ours.origin, 1, bytes(32))),
                ("a larger tree", Checkpoint(ours.origin, 2, ours.root)),
                ("another log", Checkpoint("other/roots", 1, ours.root)),
            )
        ),
    ):
        answers[name] = (await http.post("/log/roots/cosignature", content=body)).status_code
    assert answers == {
        "garbage": 400,
        "empty": 400,
        "not text": 400,
        "only ours": 400,
        "a stranger's": 400,
        "forged": 400,
        "too many lines": 400,
        "too large": 400,
        "another root": 409,
        "a larger tree": 409,
        "another log": 409,
    }
    assert (await http.get("/log/roots/checkpoint")).text == note


async def test_questions_that_are_not_well_formed(http: AsyncClient) -> None:
    good = "00" * 32
    asked: Any
    for asked in (
        {},
        {"month": 202607, "labels": []},
        {"month": 202607, "labels": [good] * (MOST_LABELS + 1)},
        {"month": 202607, "labels": [good.replace("0", "A")]},
        {"month": 202607, "labels": [good[1:]]},
        {"month": "x", "labels": [good]},
        {"month": 202607, "labels": [good], "more": 1},
    ):
        assert (await http.post("/log/labels", json=asked)).status_code == 422
    for month in (202607, 202613):
        asked = {"month": month, "labels": [good]}
        assert (await http.post("/log/labels", json=asked)).status_code == 404


async def test_altered_rows_prove_nothing(
    log: ClockedLog, roots: RootsLog, http: AsyncClient, owner_url: str
) -> None:
    await log.at("2026-07-05", 100)
    await roots.catch_up()
    await cosigned(http, AUDITOR)
    await roots.crown()
    victim = (await stored_entries(log))[7][42:74]
    asked = {"month": 202607, "labels": [victim.hex()]}
    as_owner(owner_url, "DELETE FROM access_log.entry WHERE index = 7")
    with pytest.raises(LogStateError, match="not those that were covered"):
        await http.post("/log/labels", json=asked)
    async with log.engine.begin() as connection:
        await connection.execute(text("UPDATE access_log.prefix_crown SET slots = substring(slots from 2)"))
    app = FastAPI()
    app.include_router(roots_router(roots))
    async with AsyncClient(transport=ASGITransport(app), base_url="http://log.test") as fresh:
        with pytest.raises(LogStateError, match="damaged"):
            await fresh.post("/log/labels", json=asked)


async def test_statements_are_of_the_format(log: ClockedLog, roots: RootsLog, http: AsyncClient) -> None:
    await log.at("2026-07-05", 3)
    await roots.catch_up()
    await cosigned(http, AUDITOR)
    await roots.crown()
    asked = {"month": 202607, "labels": ["00" * 32]}
    statement = (await http.post("/log/labels", json=asked)).json()["root"]
    assert verify_statement(statement, KEYS, [AUDITOR.key]).index == 0
    with pytest.raises(FormatError):
        verify_statement(statement.replace("extra AQ", "extra  AQ"), KEYS)
    with pytest.raises(VerificationError):
        verify_statement(statement.replace("extra AQAA", "extra AQEA"), KEYS)
    with pytest.raises(VerificationError):
        verify_statement(statement, [AUDITOR.key])
