"""The log and its witnesses over sockets: who cosigns, lies, lags or is gone; what is released meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from fastapi import Request, Response
from structlog.testing import capture_logs

from access_log.checkpoint import Checkpoint
from access_log.errors import FormatError, OutsideLockError
from access_log.lock import Raised
from access_log.log import Log
from access_log.note import SignatureLine, verify_note
from access_log.policy import Policy, open_under_policy
from access_log.receipt import parse_receipt
from access_log.verifier_keys import VerifierKey, ed25519_cosigned
from access_log.witness import remembered
from access_log.witness.client import require_url
from access_log.witness.protocol import parse_submission
from access_log.witness.witnessing import NotWitnessedError, Witnessing
from tests.access_log.logs import another_worker, append, keys_of, root_of, stored_entries
from tests.access_log.simulator import naive_root
from tests.access_log.witness.logs import OTHER
from tests.access_log.witness.served import Witness, policy, witness


@pytest.fixture
async def one(log: Log, tmp_path: Path) -> AsyncIterator[Witness]:
    async with witness(tmp_path, "one", *keys_of(log), number=1) as served:
        yield served


@pytest.fixture
async def two(log: Log, tmp_path: Path) -> AsyncIterator[Witness]:
    async with witness(tmp_path, "two", *keys_of(log), number=2) as served:
        yield served


@asynccontextmanager
async def asking(log: Log, agreed: Policy, patience: float = 5) -> AsyncIterator[Witnessing]:
    async def log_keys() -> list[VerifierKey]:
        return list(keys_of(log))

    made = Witnessing(log.engine, log.number, log.origin, agreed, log_keys, timeout=patience)
    try:
        yield made
    finally:
        await made.close()


async def failures(log: Log) -> dict[tuple[str, str], int]:
    async with log.engine.connect() as connection:
        found = await remembered.failures(connection, log.number)
    return {(each.name, each.kind): each.count for each in found}


async def newest(log: Log) -> str | None:
    async with log.engine.connect() as connection:
        return await remembered.newest_witnessed(connection, log.number)


# ── Asking ───────────────────────────────────────────────────────────────────────────────────────


async def test_a_growing_log_is_witnessed(log: Log, one: Witness, two: Witness) -> None:
    agreed = policy("all", one, two)
    async with asking(log, agreed) as witnessing:
        for count in (0, 1, 300, 0, 5):
            await append(log, count)
            raised = log.outside.read()
            outcome = await witnessing.ask(raised)
            assert outcome.lacking is None
            assert await newest(log) == outcome.note
            checkpoint, _ = open_under_policy(outcome.note, agreed, keys_of(log))
            assert (checkpoint.size, checkpoint.root) == (raised.size, raised.root)
        async with log.engine.connect() as connection:
            standings = await remembered.standings(connection, log.number)
        assert [(each.name, each.size) for each in standings] == [("one", 306), ("two", 306)]
        assert all(0 <= each.age < 60 for each in standings)
    assert await failures(log) == {}


async def test_a_witness_with_a_past_is_asked_from_there(log: Log, one: Witness) -> None:
    await append(log, 3)
    async with asking(log, policy("all", one)) as witnessing:
        await witnessing.ask(log.outside.read())
        async with log.engine.begin() as connection:
            await connection.exec_driver_sql("UPDATE access_log.witness SET size = 1")
        await append(log, 4)
        one.asked = 0
        assert (await witnessing.ask(log.outside.read())).lacking is None
        assert one.asked == 2, "a conflict, and the proof from the size it stated"
        assert one.size() == 7


async def _gone(_request: Request, _answer: Response) -> Response:
    return Response("no", 500)


async def _silent(request: Request, answer: Response) -> Response:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    return answer


async def _redirects(_request: Request, _answer: Response) -> Response:
    return Response(status_code=307, headers={"location": "http://127.0.0.1:1/add-checkpoint"})


async def _endless(_request: Request, _answer: Response) -> Response:
    return Response("\u2014 " + "A" * 10_000_000)


async def _no_text(_request: Request, _answer: Response) -> Response:
    return Response(b"\xff\xfe")


async def _nonsense(_request: Request, _answer: Response) -> Response:
    return Response("nonsense\n")


async def _nothing(_request: Request, _answer: Response) -> Response:
    return Response("")


async def _altered(_request: Request, answer: Response) -> Response:
    body = bytes(answer.body).decode().splitlines()
    return Response("".join(f"{line[:-9]}AAAA{line[-5:]}\n" for line in body))


async def _no_size(_request: Request, _answer: Response) -> Response:
    return Response("many\n", 409, headers={"content-type": "text/x.tlog.size"})


async def _claims(request: Request, answer: Response) -> Response:
    if request.method == "GET":
        return answer
    return Response("999999\n", 409, headers={"content-type": "text/x.tlog.size"})


async def _always_other_sizes(request: Request, _answer: Response) -> Response:
    old = parse_submission(await request.body()).old
    return Response(f"{1 if old != 1 else 2}\n", 409, headers={"content-type": "text/x.tlog.size"})


FAILING = {
    "an error": (_gone, "refused"),
    "silence": (_silent, "gone"),
    "a redirect": (_redirects, "refused"),
    "an endless answer": (_endless, "malformed"),
    "no text": (_no_text, "malformed"),
    "nonsense": (_nonsense, "bad-cosignature"),
    "nothing": (_nothing, "bad-cosignature"),
    "an altered cosignature": (_altered, "bad-cosignature"),
    "a conflict without a size": (_no_size, "malformed"),
    "a larger size, shown by no note": (_claims, "unproven-claim"),
    "sizes without end": (_always_other_sizes, "refused"),
}


@pytest.mark.parametrize(("behaviour", "kind"), FAILING.values(), ids=FAILING.keys())
async def test_a_witness_that_fails_is_counted_and_the_other_serves(
    log: Log, one: Witness, two: Witness, behaviour: object, kind: str
) -> None:
    one.behaviour = behaviour  # type: ignore[assignment]
    await append(log, 5)
    # Only silence is waited for; whoever answers may take their time on a busy machine.
    patience = 0.5 if behaviour is _silent else 20.0
    async with asking(log, policy("any", one, two), patience=patience) as witnessing:
        with capture_logs() as events:
            outcome = await witnessing.ask(log.outside.read())
        assert outcome.lacking is None
        assert [(each["witness"], each["kind"]) for each in events if each["event"] == "witness_failed"] == [
            ("one", kind)
        ]
        assert await failures(log) == {("one", kind): 1}
        _, signatures = verify_note(outcome.note, [one.key, two.key])
        assert [each.key for each in signatures] == [two.key]
        await witnessing.ask(log.outside.read())
        assert await failures(log) == {("one", kind): 2}


async def test_a_cosignature_over_something_else_is_none(log: Log, two: Witness) -> None:
    """A witness that smuggles a blank line in would change which text its line is over."""

    async def smuggles(_request: Request, _answer: Response) -> Response:
        (cosigner,) = two.keys
        more = f"\n{OTHER.checkpoint(5).text()}"
        signed = cosigner._private.sign(ed25519_cosigned(1, log.outside.read().note + more))
        line = SignatureLine(cosigner.name, cosigner.key.id, (1).to_bytes(8, "big") + signed)
        return Response(f"{more}\n{line}")

    two.behaviour = smuggles
    await append(log, 5)
    async with asking(log, policy("all", two)) as witnessing:
        with capture_logs() as events:
            assert (await witnessing.ask(log.outside.read())).lacking is not None
        (failed,) = [each for each in events if each["event"] == "witness_failed"]
        assert "something else" in failed["reason"]
    assert await failures(log) == {("two", "bad-cosignature"): 1}


async def test_a_time_to_come_is_no_cosignature(log: Log, one: Witness) -> None:
    async def ahead(_request: Request, _answer: Response) -> Response:
        raised = log.outside.read()
        checkpoint = parse_submission(f"old 0\n\n{raised.note}".encode()).checkpoint
        return Response(one.keys[-1].line(checkpoint, 1 << 40))

    one.behaviour = ahead
    await append(log, 5)
    async with asking(log, policy("all", one)) as witnessing:
        assert (await witnessing.ask(log.outside.read())).lacking is not None
    assert await failures(log) == {("one", "bad-cosignature"): 1}


async def test_a_witness_of_another_log_refuses(log: Log, one: Witness) -> None:
    (key,) = keys_of(log)
    one.store.distrust(key)
    await append(log, 5)
    async with asking(log, policy("all", one)) as witnessing:
        assert (await witnessing.ask(log.outside.read())).lacking is not None
    assert await failures(log) == {("one", "refused"): 1}


def _checkpoint(log: Log, leaves: list[bytes]) -> Checkpoint:
    return Checkpoint(log.origin, len(leaves), naive_root(leaves))


# ── Nothing is released before ───────────────────────────────────────────────────────────────────


async def test_in_synchronous_mode_receipts_are_cosigned(log: Log, one: Witness, two: Witness) -> None:
    agreed = policy("all", one, two)
    async with asking(log, agreed) as witnessing:
        log.witnesses = witnessing
        for size in (3, 4, 260):
            writing = await append(log, size - log.outside.read().size)
            for text in writing.receipts:
                checkpoint, _ = open_under_policy(parse_receipt(text).note, agreed, keys_of(log))
                assert checkpoint.size == size


async def test_nothing_is_released_while_the_quorum_is_away_and_it_recovers(log: Log, one: Witness) -> None:
    await append(log, 1)
    async with asking(log, policy("all", one), patience=2) as witnessing:
        log.witnesses = witnessing
        one.behaviour = _silent
        with pytest.raises(NotWitnessedError):
            await append(log, 1)
        assert not log.running
        with pytest.raises(NotWitnessedError):
            await append(log, 1)
        async with log.engine.connect() as connection:
            size = (await connection.exec_driver_sql("SELECT size FROM access_log.head")).scalar_one()
        assert size == 2, "while nothing can be released, nothing is appended"
        one.behaviour = None
        (receipt,) = (await append(log, 1)).receipts
        assert parse_receipt(receipt).index == 2
        assert log.running


async def test_a_hanging_witness_delays_nobody_once_the_quorum_is_there(
    log: Log, one: Witness, two: Witness
) -> None:
    one.behaviour = _silent
    async with asking(log, policy("any", one, two), patience=30) as witnessing:
        log.witnesses = witnessing
        await asyncio.wait_for(append(log, 1), 10)


async def test_what_another_worker_raised_is_not_shown_before_it_is_witnessed(log: Log, one: Witness) -> None:
    """A repeat at a worker that runs on must not release what its first worker could not."""
    other = another_worker(log.engine, log.outside.path)
    async with asking(log, policy("all", one), patience=2) as witnessing:
        log.witnesses = other.witnesses = witnessing
        await other.start()
        one.behaviour = _silent
        with pytest.raises(NotWitnessedError):
            await append(log, 1)
        assert other.running
        assert other.outside.read().size == 1
        async with other.engine.connect() as connection:
            with pytest.raises(NotWitnessedError):
                await other.receipt(connection, 0, bytes(106))
            one.behaviour = None
            assert parse_receipt(await other.receipt(connection, 0, bytes(106))).index == 0


async def test_workers_that_overtake_each_other(log: Log, one: Witness, two: Witness) -> None:
    others = [another_worker(log.engine, log.outside.path) for _ in range(2)]
    agreed = policy("all", one, two)
    async with asking(log, agreed) as witnessing:
        for each in (log, *others):
            each.witnesses = witnessing
            await each.start()

        async def work(each: Log) -> None:
            for _ in range(8):
                await append(each, 2)

        await asyncio.gather(*(work(each) for each in (log, *others)))
        assert log.outside.read().size == one.size() == two.size() == 48
        assert await failures(log) == {}
        outcome = await witnessing.ask(log.outside.read())
        assert outcome.lacking is None


async def test_a_database_behind_its_witness_does_not_start(log: Log, one: Witness) -> None:
    """The outside lock of several hosts is a synchronous witness: it knows a database that was put back."""
    await append(log, 3)
    before = log.outside.read()
    async with asking(log, policy("all", one)) as witnessing:
        later = [bytes([number]) * 32 for number in range(9)]
        note = log.key.sign(_checkpoint(log, later))
        one.store.cosign(parse_submission(f"old 0\n\n{note}".encode()), one.keys, lambda: 1_800_000_000)
        log.witnesses = witnessing
        with capture_logs() as events, pytest.raises(OutsideLockError, match="behind the witness"):
            await log.start()
        assert "database_behind_witness" in {each["event"] for each in events}
        assert log.outside.read() == before


async def test_another_tree_with_our_signature_stops_the_log(log: Log, one: Witness) -> None:
    await append(log, 9)
    async with asking(log, policy("all", one)) as witnessing:
        later = [bytes([number]) * 32 for number in range(9)]
        note = log.key.sign(_checkpoint(log, later))
        one.store.cosign(parse_submission(f"old 0\n\n{note}".encode()), one.keys, lambda: 1_800_000_000)
        root = root_of((await stored_entries(log))[:3])
        raised = Raised(3, root, log.key.sign(Checkpoint(log.origin, 3, root)))
        with capture_logs() as events, pytest.raises(OutsideLockError, match="another tree"):
            await witnessing.ask(raised)
        assert "witness_holds_another_tree" in {each["event"] for each in events}


# ── Policies and addresses ───────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "url", ["https://w.example", "https://w.example/a/b/", "http://127.0.0.1:80", "http://localhost/x"]
)
def test_addresses_of_witnesses(url: str) -> None:
    assert require_url(url) == url.rstrip("/")


@pytest.mark.parametrize(
    "url",
    [
        *(
            "http://w.example",
            "ftp://w.example",
            "w.example",
            "https://",
            "https://u:p@w.example",
            "https://w.example?a",
        ),
        *(
            "https://w.example#a",
            "http://127.0.0.1.w.example",
            "https://w.example:x",
            "file:///etc/passwd",
            "",
        ),
    ],
)
def test_what_is_no_address_of_a_witness(url: str) -> None:
    with pytest.raises(FormatError):
        require_url(url)


async def test_a_policy_must_name_whom_to_ask(log: Log, one: Witness, two: Witness) -> None:
    for text in (
        f"witness one {one.key}\nquorum one\n",
        f"witness one {one.key} {one.url}\nquorum none\n",
        f"witness one {one.key} {one.url}\nwitness two {two.key}\ngroup g all one two\nquorum g\n",
    ):
        with pytest.raises(FormatError, match="quorum"):
            async with asking(log, Policy.parse(text)):
                pass
