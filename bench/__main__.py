"""Runs every benchmark on one fresh stage and prints each figure with its floor (`floors`).

python -m bench [--entries N] [--queries N] [--tokens N] [--rows N] [--json]
python -m bench --scale 10M                             a log of so many entries, and nothing else
python -m bench --persons 1M                            a vault of so many persons, and nothing else
"""

import argparse
import json
import os
import platform
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy import create_engine, text

from bench import (
    append,
    audit,
    authorization,
    enrolment,
    key_server,
    large,
    opening,
    persons,
    prefix,
    proof,
    publish,
    query,
    report,
    rewrap,
)
from bench.floors import REFERENCE, Speed, beside
from bench.stage import Stage, stage

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_PERSONS = 1_000
T = TypeVar("T", bound="DataclassInstance")


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
    parser.add_argument("--persons", type=_scale, help="persons of a large vault, for instance 1M")
    options = parser.parse_args()
    results = _Results(as_json=options.json)
    with stage() as at:
        results.begin(_machine(at))
        if options.scale:
            results.take("large", report.say_large, beside(large.measure, at, options.scale, options.batch))
        elif options.persons:
            found = beside(persons.measure, at, options.persons, options.queries)
            results.take("persons", report.say_persons, found)
        else:
            _measure(results, at, options)
    if not (options.scale or options.persons):
        results.take("prefix", report.say_prefix, beside(prefix.measure))
        results.take("opening", report.say_opened, beside(opening.measure))
        results.take("key server", report.say_key_server, beside(key_server.measure))
    results.end()
    return 0


def _measure(results: "_Results", at: Stage, options: argparse.Namespace) -> None:
    take = results.take
    take("query", report.say_query, beside(query.measure, at, _PERSONS, options.queries))
    take("authorization", report.say_authorized, beside(authorization.measure, at, options.tokens))
    take("enrolment", report.say_enrolled, beside(enrolment.measure, at, options.rows, first=_PERSONS + 1))
    take("rewrap", report.say_rewrapped, beside(rewrap.measure, at))
    take("append", report.say_appended, beside(append.measure, at, options.entries, options.batch))
    take("proof", report.say_proved, beside(proof.measure, at))
    take("audit", report.say_audited, beside(audit.measure, at))
    take("publish", report.say_published, beside(publish.measure, at))


class _Results:
    """What was measured, each with the machine's speed beside it: printed as it comes, or as one document."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._all: dict[str, object] = {}

    def begin(self, machine: dict[str, object]) -> None:
        """Says what is measured on."""
        self._all["machine"] = machine
        if not self._as_json:
            print(", ".join(f"{name} {value}" for name, value in machine.items()))

    def take(self, name: str, say: Callable[[T, Speed], None], measured: tuple[T, Speed]) -> None:
        """Takes one part's figures, and the entries hashed a second beside them."""
        figures, speed = measured
        self._all[name] = {**asdict(figures), "hashed": asdict(speed)}
        if not self._as_json:
            say(figures, speed)

    def end(self) -> None:
        """Prints the document, if it is one."""
        if self._as_json:
            print(json.dumps(self._all, indent=2))


def _scale(text: str) -> int:
    """A number, perhaps in thousands (k) or millions (M)."""
    factor = {"k": 1_000, "M": 1_000_000}.get(text[-1:], 1)
    return int(text.rstrip("kM")) * factor


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
        "entries hashed a second": round(hashed := Speed.now().wall),
        "of the reference": round(hashed / REFERENCE, 2),
    }


if __name__ == "__main__":
    raise SystemExit(main())
