"""A vault of a million persons: taken in by the command from a file, then asked about over HTTP.

What is looked for is memory that grows with the number of persons, in the command and in the server.
"""

import asyncio
import json
import os
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from bench import query
from bench.stage import Stage, creditvault, server_environment, submission

_EVERY = 0.5  # seconds between two looks at the memory
_ASKED = 2_000  # different persons, more than a worker keeps keys of within seconds


@dataclass(frozen=True)
class PersonsFigures:
    """Of `rows` persons; memory in MB.

    Attributes:
        rate: rows a second, by the command.
        early: the most resident memory of the command in the second tenth of its time.
        late: the same in the last tenth.
        served: queries about persons all over the vault.
    """

    rows: int
    rate: float
    early: float
    late: float
    served: query.Served


def measure(at: Stage, rows: int, queries: int) -> PersonsFigures:
    """Fills the vault of the stage, which must be new, and asks about persons all over it."""
    cast, _ = asyncio.run(query.prepare(at, 0))
    with tempfile.TemporaryDirectory(prefix="creditvault-bench-") as folder:
        file = Path(folder) / "persons.ndjson"
        with file.open("wb") as stream:
            stream.writelines(submission(n) + b"\n" for n in range(1, rows + 1))
        seconds, memory = _enrol(at, file, cast["furnisher"].body_id, rows)
    tenth = max(1, len(memory) // 10)
    persons = range(1, rows + 1, max(1, rows // _ASKED))
    served, _ = query.ask(at, cast, persons, queries)
    return PersonsFigures(rows, rows / seconds, max(memory[tenth : 2 * tenth]), max(memory[-tenth:]), served)


def _enrol(at: Stage, file: Path, body: UUID, rows: int) -> tuple[float, list[float]]:
    """Runs the command; returns seconds, and its memory as it went on."""
    command = creditvault("enrol", str(file), "--body", str(body), "--json")
    environment = {**os.environ, **server_environment(at)}
    memory: list[float] = []
    started = time.perf_counter()
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
        while process.poll() is None:
            memory.append(query.memory(process.pid))
            time.sleep(_EVERY)
        seconds = time.perf_counter() - started
        assert process.stdout is not None
        result = json.load(process.stdout)
    if result["enrolled"] != rows:
        raise RuntimeError("not every row was enrolled")
    return seconds, memory
