"""The figures as lines for people: each with its floor, and whether it is reached on this machine."""

from bench.append import AppendFigures
from bench.audit import AuditFigures, FolderFigures
from bench.authorization import AuthorizationFigures
from bench.enrolment import EnrolmentFigures
from bench.floors import REFERENCE, Floor, Speed
from bench.key_server import KeyServerFigures
from bench.large import LargeFigures
from bench.opening import OpeningFigures
from bench.persons import PersonsFigures
from bench.prefix import PrefixFigures
from bench.proof import ProofFigures
from bench.publish import PublishFigures
from bench.query import QueryFigures
from bench.rewrap import RewrapFigures


def say_query(asked: QueryFigures, speed: Speed) -> None:
    """Queries, beside the endpoint that only checks."""
    load = asked.query
    _row("authorized query", load.rate, "/s", f"p50 {load.p50:.1f} ms")
    _row("  99 of 100 within", load.p99, "ms", "", floor=Floor(60, most=True), speed=speed)
    _row("  no-op, same checks", asked.noop.rate, "/s", "")
    _row(
        "  query against no-op",
        load.rate / asked.noop.rate,
        "",
        "",
        floor=Floor(0.5, scales=False),
        speed=speed,
    )
    _row("  failed", load.failed + asked.noop.failed, "", "")
    _row("  memory of the worker", asked.memory_before, "MB", "before")
    _row("", asked.memory_after, "MB", "afterwards", floor=Floor(200, most=True, scales=False), speed=speed)


def say_authorized(measured: AuthorizationFigures, speed: Speed) -> None:
    """The authorization server."""
    for name, at, floor in (
        ("token endpoint", measured.token, 300),
        ("introspection", measured.introspection, 600),
    ):
        _row(
            name,
            at.load.rate,
            "/s",
            f"CPU {at.cpu:.2f} ms each, of one worker",
            floor=Floor(floor),
            speed=speed,
        )
    _row(
        "permission of a query",
        measured.permission,
        "ms CPU",
        "token known, proof, decision",
        floor=Floor(0.5, most=True, cpu=True),
        speed=speed,
    )


def say_enrolled(enrolled: EnrolmentFigures, speed: Speed) -> None:
    """Rows taken in."""
    remark = f"{enrolled.rows:,.0f} rows/s, each a new person's: their identity is sealed, too"
    _row("enrolment", enrolled.records, "records/s", remark, floor=Floor(3_000), speed=speed)


def say_rewrapped(rewrapped: RewrapFigures, speed: Speed) -> None:
    """Keys wrapped anew."""
    _row(
        "root key rotation",
        rewrapped.rate,
        "keys/s",
        f"{rewrapped.count:,} wrapped",
        floor=Floor(20_000),
        speed=speed,
    )


def say_opened(record: OpeningFigures, speed: Speed) -> None:
    """Records opened."""
    remark = f"{record.fields} fields, person's key at hand"
    _row(
        "opening a record", record.record, "µs CPU", remark, floor=Floor(60, most=True, cpu=True), speed=speed
    )


def say_appended(appended: AppendFigures, speed: Speed) -> None:
    """Entries appended, many in a commit and singly."""
    remark = f"{appended.batch:,} in each commit"
    _row("durable append", appended.batched, "entries/s", remark, floor=Floor(20_000), speed=speed)
    # 20,000 a second of one process's time at the reference's speed.
    hashed = appended.cpu / 1e6 * speed.cpu
    floor = Floor(REFERENCE / 20_000, most=True, scales=False)
    _row("  CPU of an entry", hashed, "hashed", f"{appended.cpu:.0f} µs", floor=floor, speed=speed)
    _row("  64 writers, singles", appended.singles, "entries/s", "", floor=Floor(3_000), speed=speed)


def say_proved(proved: ProofFigures, speed: Speed) -> None:
    """A start, and proofs of entries."""
    _row(
        "start",
        proved.start,
        "ms",
        f"at {proved.entries:,} entries",
        floor=Floor(2_000, most=True),
        speed=speed,
    )
    remark = f"p99 {proved.p99:.2f} ms"
    _row("proof of an entry", proved.p50, "ms", remark, floor=Floor(2, most=True), speed=speed)


def say_audited(audited: AuditFigures, speed: Speed) -> None:
    """The audit from memory, against bare hashing, and from a folder."""
    _row("offline audit", audited.audit, "entries/s", "one core")
    _row("  bare hashing", audited.bare, "entries/s", "")
    ratio = audited.audit / audited.bare
    _row("  audit against hashing", ratio, "", "", floor=Floor(0.5, scales=False), speed=speed)
    say_folder(audited.folder, speed)


def say_folder(audited: FolderFigures, speed: Speed) -> None:
    """The audit of a published folder."""
    remark = f"{audited.entries:,} entries, one process, tiles too"
    _row("audit of a folder", audited.one, "entries/s", remark)
    _row("  by two processes", audited.two, "entries/s", "")
    remark = f"two that only hash: {audited.two_that_hash:.2f} here"
    _row(
        "  two against one",
        audited.two / audited.one,
        "",
        remark,
        floor=Floor(1.7, scales=False),
        speed=speed,
    )


def say_published(published: PublishFigures, speed: Speed) -> None:
    """Publishing into a folder: a million entries within a minute."""
    again = f"{published.files:,.0f} files/s, each synced; again {published.again * 1000:.0f} ms"
    _row("publishing", published.rate, "entries/s", again, floor=Floor(1_000_000 / 60), speed=speed)


def say_prefix(proved: PrefixFigures, speed: Speed) -> None:
    """The prefix tree of a month."""
    built = f"{proved.labels:,} labels, built in {proved.build:.1f} s"
    _row("prefix tree", proved.memory, "MB", built, floor=Floor(150, most=True, scales=False), speed=speed)
    _row("  update of 1,000", proved.update, "ms", "", floor=Floor(50, most=True), speed=speed)
    remark = f"{proved.size:.0f} bytes, verified in {proved.verify * 1000:.0f} µs"
    _row("  proof of a label", proved.prove * 1000, "µs", remark, floor=Floor(2_000, most=True), speed=speed)


def say_key_server(measured: KeyServerFigures, speed: Speed) -> None:
    """Queries with the keys in a file, and in a key server."""
    _row("query, keyring file", measured.file, "ms", "one after the other, a person each")
    _row("  keys in OpenBao", measured.cold, "ms", "somebody new: the MACs at once, then the person's key")
    as_file = Floor(measured.file, most=True, scales=False)
    _row("  the same again", measured.warm, "ms", "within seconds", floor=as_file, speed=speed)
    _row("  a round trip", measured.trip, "ms", "one unwrap, TLS, this machine")


def say_persons(found: PersonsFigures, speed: Speed) -> None:
    """A vault of a million persons. Memory that grows by a tenth is not flat."""
    remark = f"taken in by the command, {found.rate:,.0f} a second"
    _row("vault of", found.rows, "persons", remark)
    _row("  memory of the command", found.early, "MB", "early")
    flat = Floor(1.1 * found.early, most=True, scales=False)
    _row("", found.late, "MB", "late", floor=flat, speed=speed)
    _row("  query", found.served.load.rate, "/s", f"p99 {found.served.load.p99:.1f} ms")
    _row("  failed", found.served.load.failed, "", "")
    _row("  memory of the worker", found.served.memory_before, "MB", "before")
    _row(
        "",
        found.served.memory_after,
        "MB",
        "afterwards",
        floor=Floor(200, most=True, scales=False),
        speed=speed,
    )


def say_large(found: LargeFigures, speed: Speed) -> None:
    """A log of millions of entries."""
    _row("log of", found.entries, "entries", f"made in {found.made:,.0f} s, without payloads")
    _row("  on disk", found.disk / 1e6, "MB", f"{found.disk / found.entries:,.0f} bytes an entry")
    say_proved(found.proof, speed)
    say_published(found.publish, speed)
    say_folder(found.folder, speed)
    say_appended(found.append, speed)


def _row(
    name: str,
    figure: float,
    unit: str,
    remark: str,
    *,
    floor: Floor | None = None,
    speed: Speed | None = None,
) -> None:
    shown = f"{figure:,.0f}" if figure >= 100 or figure == int(figure) else f"{figure:,.3g}"
    verdict = "" if floor is None or speed is None else floor.verdict(figure, speed)
    remarks = "; ".join(each for each in (remark, verdict) if each)
    print(f"{name:<24}{shown:>11} {unit:<10} {remarks}".rstrip())
