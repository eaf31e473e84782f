"""A witness over HTTP: every answer of FORMAT 8, and nothing else whatever is sent."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from access_log.note import verify_note
from access_log.signing_keys import CosigningKey, SigningKey
from access_log.verifier_keys import COSIGNATURE_TYPES
from access_log.witness.api import witness_app
from access_log.witness.protocol import MAX_SUBMISSION, origin_hash, write_submission
from access_log.witness.store import Store
from tests.access_log.witness.logs import KEY, ORIGIN, OTHER, TRUE, Tree
from tests.access_log.witness.test_protocol import MALFORMED

COSIGNERS = [CosigningKey.from_seed("witness.example/w1", kind, bytes(32)) for kind in COSIGNATURE_TYPES]
NOW = 1_800_000_000
ADD = "/add-checkpoint"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store.create(tmp_path / "witness.db")
    made.trust(KEY)
    return made


@pytest.fixture
def app(store: Store) -> FastAPI:
    return witness_app(store, COSIGNERS, lambda: NOW)


@pytest.fixture
async def http(app: FastAPI) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(transport=ASGITransport(app), base_url="http://witness.test") as client:
        yield client


async def test_a_log_that_grows_is_cosigned(http: AsyncClient) -> None:
    old = 0
    for size in (0, 1, 5, 5, 40):
        answer = await http.post(ADD, content=TRUE.submission(old, size))
        assert answer.status_code == 200, answer.text
        assert answer.text.count("\n") == len(COSIGNERS)
        _, signatures = verify_note(TRUE.note(size) + answer.text, [key.key for key in COSIGNERS])
        assert [(each.key, each.time) for each in signatures] == [(key.key, NOW) for key in COSIGNERS]
        old = size


STRANGER = SigningKey.from_seed("other.example/log", bytes(32))
STATUSES = {
    "a fork": (OTHER.submission(5, 9), 422),
    "same size, another root": (OTHER.submission(5, 5), 422),
    "a proof that is missing": (write_submission(5, [], TRUE.note(9)), 422),
    "another last size": (TRUE.submission(4, 9), 409),
    "a size of zero": (TRUE.submission(0, 9), 409),
    "old is larger": (TRUE.submission(9, 8), 400),
    "a log nobody named": (Tree(signer=STRANGER).submission(5, 9), 404),
    "a key nobody trusts": (Tree(signer=SigningKey.from_seed(ORIGIN, bytes(32))).submission(5, 9), 403),
    "an altered signature": (
        write_submission(5, TRUE.proof(5, 9), TRUE.note(9).replace("\n9\n", "\n10\n")), 403,
    ),
    "a signature line that is none": (write_submission(5, TRUE.proof(5, 9), TRUE.note(9) + "x\n"), 400),
    **{name: (body, 413 if len(body) > MAX_SUBMISSION else 400) for name, body in MALFORMED.items()},
}  # fmt: skip


@pytest.mark.parametrize(("body", "status"), STATUSES.values(), ids=STATUSES.keys())
async def test_every_refusal(http: AsyncClient, body: bytes, status: int) -> None:
    assert (await http.post(ADD, content=TRUE.submission(0, 5))).status_code == 200
    answer = await http.post(ADD, content=body)
    assert answer.status_code == status, answer.text
    assert answer.headers["cache-control"] == "no-store"
    if status == 409:
        assert answer.headers["content-type"] == "text/x.tlog.size"
        assert answer.text == "5\n"
    else:
        assert answer.text.count("\n") == 1
    # Whatever was refused, the log goes on from where it was.
    assert (await http.post(ADD, content=TRUE.submission(5, 9))).status_code == 200


async def test_a_conflict_when_nothing_was_cosigned(http: AsyncClient) -> None:
    answer = await http.post(ADD, content=TRUE.submission(5, 9))
    assert (answer.status_code, answer.text) == (409, "0\n")


async def test_the_last_checkpoint_is_served(http: AsyncClient) -> None:
    path = f"/{origin_hash(ORIGIN)}/checkpoint"
    assert (await http.get(path)).status_code == 404
    lines = (await http.post(ADD, content=TRUE.submission(0, 5))).text
    answer = await http.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.text == TRUE.note(5) + lines
    for other in ("0" * 64, origin_hash(ORIGIN).upper(), "x", ORIGIN, "%00"):
        assert (await http.get(f"/{other}/checkpoint")).status_code == 404


async def test_lines_of_strangers_are_neither_kept_nor_served(http: AsyncClient) -> None:
    (*_, stranger) = SigningKey.from_seed("stranger.example", bytes(32)).sign(
        Tree(signer=SigningKey.from_seed("stranger.example", bytes(32))).checkpoint(5)
    ).splitlines()  # fmt: skip
    body = write_submission(0, [], TRUE.note(5) + stranger + "\n")
    assert (await http.post(ADD, content=body)).status_code == 200
    assert "stranger" not in (await http.get(f"/{origin_hash(ORIGIN)}/checkpoint")).text


async def test_two_histories_are_shown_to_who_runs_the_witness(http: AsyncClient) -> None:
    await http.post(ADD, content=TRUE.submission(0, 5))
    with capture_logs() as events:
        await http.post(ADD, content=OTHER.submission(5, 5))
    (event,) = [each for each in events if each["event"] == "checkpoint_inconsistent"]
    assert event["log_level"] == "warning"
    # The note is evidence: the log's own signature over another history.
    assert verify_note(event["note"], [KEY])[0] == OTHER.checkpoint(5).text()


async def test_a_memory_that_cannot_be_written_is_no_cosignature(http: AsyncClient, store: Store) -> None:
    store.close()
    with capture_logs():
        answer = await http.post(ADD, content=TRUE.submission(0, 5))
    assert answer.status_code == 503
    assert "\u2014" not in answer.text


async def test_other_paths_and_methods(http: AsyncClient) -> None:
    assert (await http.get("/healthz")).text == "ok\n"
    assert (await http.get(ADD)).status_code == 405
    assert (await http.post("/elsewhere")).status_code == 404
    assert (await http.get("/openapi.json")).status_code == 404


async def test_an_endless_body_is_cut(http: AsyncClient) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 1000 * MAX_SUBMISSION:
            sent += 4096
            yield b"old 0\n" + b"A" * 4090

    assert (await http.post(ADD, content=endless())).status_code == 413
    assert sent < 2 * MAX_SUBMISSION


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
async def test_nothing_that_is_sent_is_a_defect(http: AsyncClient, data: st.DataObject) -> None:
    body = bytearray(TRUE.submission(data.draw(st.integers(0, 6)), data.draw(st.integers(0, 9))))
    for _ in range(data.draw(st.integers(0, 5))):
        at = data.draw(st.integers(0, len(body)))
        piece = data.draw(
            st.one_of(st.binary(max_size=4), st.sampled_from([b"\n", b"\n\n", b"old ", b"\xe2\x80\x94 "]))
        )
        body[at : at + data.draw(st.integers(0, 4))] = piece
    answer = await http.post(ADD, content=bytes(body))
    assert answer.status_code in {200, 400, 403, 404, 409, 413, 422}
