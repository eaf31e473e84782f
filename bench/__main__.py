"""Runs every benchmark on one fresh stage and prints figures and ratios of this run.

python -m bench [--entries N] [--queries N] [--tokens N] [--rows N] [--json]
python -m bench --scale 10M                             a log of so many entries, and nothing else
"""

import argparse
import json
import os
import platform
import sys
from dataclasses import asdict
from pathlib import Path

from sqlalchemy import create_engine, text

from bench import (
    append,
    audit,
    authorization,
    enrolment,
    key_server,
    large,
    opening,
    prefix,
    proof,
    publish,
    query,
    rewrap,
)
from bench.stage import Stage, stage

_PERSONS = 1_000


def main() -> int:
    """Prints one line for each figure, or one JSON document."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--entries", type=int, default=100_000, help="entries to append (default 100000)")
    parser.add_argument("--queries", type=int, default=8_000, help="queries to send (default 8000)")
    parser.add_argument("--tokens", type=int, default=2_000, help="tokens to ask for (default 2000)")
    parser.add_argument("--rows", type=int, default=10_000, help="rows to enrol (default 10000)")
    parser.add_argument("--batch", type=int, default=1_000, help="entries in one append (default 1000)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--scale", type=_scale, help="entries of a large log, for instance 10M")
    options = parser.parse_args()
    if options.scale:
        return _large(options)
    with stage() as at:
        machine = _machine(at)
        _say(options, machine)
        asked = query.measure(at, _PERSONS, options.queries)
        authorized = authorization.measure(at, options.tokens)
        enrolled = enrolment.measure(at, options.rows, first=_PERSONS + 1)
        rewrapped = rewrap.measure(at)
        appended = append.measure(at, options.entries, options.batch)
        answered = proof.measure(at)
        audited = audit.measure(at)
        published = publish.measure(at)
    proved = prefix.measure()
    record = opening.measure()
    held = key_server.measure()
    if options.json:
        figures = {
            "query": asdict(asked),
            "authorization": asdict(authorized),
            "enrolment": asdict(enrolled),
            "rewrap": asdict(rewrapped),
            "opening": asdict(record),
            "key server": asdict(held),
            "append": asdict(appended),
            "proof": asdict(answered),
            "audit": asdict(audited),
            "publish": asdict(published),
            "prefix": asdict(proved),
        }
        sys.stdout.write(json.dumps({"machine": machine, **figures}, indent=2) + "\n")
        return 0
    ratio = asked.query.rate / asked.noop.rate
    _row(
        "authorized query",
        asked.query.rate,
        "/s",
        f"p50 {asked.query.p50:.1f} ms, p99 {asked.query.p99:.1f} ms",
    )
    _row("  no-op, same checks", asked.noop.rate, "/s", f"ratio {ratio:.2f} (floor 0.50)")
    _row("  failed", asked.query.failed + asked.noop.failed, "", "")
    _row(
        "  memory of the worker",
        asked.memory_before,
        "MB",
        f"{asked.memory_after:.0f} MB afterwards (bar 200)",
    )
    _say_authorized(authorized)
    _row("enrolment", enrolled.rows, "rows/s", "two records sealed for each (floor 3,000)")
    _row("root key rotation", rewrapped.rate, "keys/s", f"{rewrapped.count:,} wrapped anew (floor 20,000)")
    _row(
        "opening a record", record.record, "µs CPU", f"{record.fields} fields, person's key at hand (bar 60)"
    )
    _say_held(held)
    per_hash = audited.bare / appended.batched
    _row(
        "durable append",
        appended.batched,
        "entries/s",
        f"{appended.batch:,} in each commit; one costs as much as hashing {per_hash:.0f} (floor 20,000)",
    )
    _row("  64 writers, singles", appended.singles, "entries/s", "floor 3,000")
    _say_proof(answered)
    _row("offline audit", audited.audit, "entries/s", "one core")
    _row(
        "  bare hashing", audited.bare, "entries/s", f"ratio {audited.audit / audited.bare:.2f} (floor 0.50)"
    )
    _say_folder(audited.folder)
    _say_published(published)
    built = f"{proved.labels:,} labels (bar 150); built in {proved.build:.1f} s"
    _row("prefix tree", proved.memory, "MB", built)
    _row("  update of 1,000", proved.update, "ms", "bar 50")
    _row(
        "  proof of a label",
        proved.prove * 1000,
        "µs",
        f"{proved.size:.0f} bytes, verified in {proved.verify * 1000:.0f} µs (bar 2,000)",
    )
    return 0


def _scale(text: str) -> int:
    """A number of entries, perhaps in thousands (k) or millions (M)."""
    factor = {"k": 1_000, "M": 1_000_000}.get(text[-1:], 1)
    return int(text.rstrip("kM")) * factor


def _large(options: argparse.Namespace) -> int:
    with stage() as at:
        machine = _machine(at)
        _say(options, machine)
        found = large.measure(at, options.scale, options.batch)
    if options.json:
        sys.stdout.write(json.dumps({"machine": machine, "large": asdict(found)}, indent=2) + "\n")
        return 0
    _row("log of", found.entries, "entries", f"made in {found.made:,.0f} s, without payloads")
    _row("  on disk", found.disk / 1e6, "MB", f"{found.disk / found.entries:,.0f} bytes an entry")
    _say_proof(found.proof)
    _say_published(found.publish)
    _say_folder(found.folder)
    _row("durable append", found.append.batched, "entries/s", f"{found.append.batch:,} in each commit")
    _row("  64 writers, singles", found.append.singles, "entries/s", "")
    return 0


def _say_proof(proved: proof.ProofFigures) -> None:
    _row("start", proved.start, "ms", f"at {proved.entries:,} entries (bar 2,000)")
    print(f"{'proof of an entry':<24}{proved.p50:>11.2f} {'ms':<10} p99 {proved.p99:.2f} ms (bar 2)")


def _say_held(measured: key_server.KeyServerFigures) -> None:
    for name, figure, remark in (
        ("query, keyring file", measured.file, "one after the other, a person each"),
        ("  keys in OpenBao", measured.cold, "somebody new: the MACs at once, then the person's key"),
        ("  the same again", measured.warm, "within seconds (bar: that of a file)"),
        ("  a round trip", measured.trip, "one unwrap, TLS, this machine"),
    ):
        print(f"{name:<24}{figure:>11.2f} {'ms':<10} {remark}")


def _say_authorized(measured: authorization.AuthorizationFigures) -> None:
    for name, at, bar in (
        ("token endpoint", measured.token, 300),
        ("introspection", measured.introspection, 600),
    ):
        _row(name, at.load.rate, "/s", f"CPU {at.cpu:.2f} ms each, of one worker (floor {bar})")
    figure = f"{measured.permission:.3f}"
    print(f"{'permission of a query':<24}{figure:>11} {'ms CPU':<10} token known, proof, decision (bar 0.5)")


def _say_published(published: publish.PublishFigures) -> None:
    again = f"{published.files:,.0f} files/s, each synced; again {published.again * 1000:.0f} ms"
    _row("publishing", published.rate, "entries/s", again)


def _say_folder(audited: audit.FolderFigures) -> None:
    _row(
        "audit of a folder", audited.one, "entries/s", f"{audited.entries:,} entries, one process, tiles too"
    )
    ratio = audited.two / audited.one
    _row(
        "  by two processes",
        audited.two,
        "entries/s",
        f"ratio {ratio:.2f} (floor 1.70 on two cores; two that only hash: {audited.two_that_hash:.2f} here)",
    )


def _row(name: str, figure: float, unit: str, remark: str) -> None:
    print(f"{name:<24}{figure:>11,.0f} {unit:<10} {remark}")


def _say(options: argparse.Namespace, machine: dict[str, object]) -> None:
    if not options.json:
        print(", ".join(f"{name} {value}" for name, value in machine.items()))


def _machine(at: Stage) -> dict[str, object]:
    """What the figures were measured on."""
    engine = create_engine(at.url)
    with engine.connect() as connection:
        settings = {
            name: connection.scalar(text(f"SHOW {name}"))
            for name in ("server_version", "fsync", "synchronous_commit")
        }
    engine.dispose()
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "PostgreSQL": settings["server_version"],
        "fsync": settings["fsync"],
        "synchronous_commit": settings["synchronous_commit"],
    }


if __name__ == "__main__":
    raise SystemExit(main())
