"""Build the verifier as one file that needs Python and `cryptography` alone: `make verifier`.

The file is the same wherever it is built: modules sorted, times fixed, nothing compressed. So its SHA-256
can be published, and whoever builds it again from the sources finds the same.
"""

import ast
import hashlib
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
START: Final = "access_log.__main__"
_ALLOWED: Final = sys.stdlib_module_names | {"access_log", "cryptography"}
_SHEBANG: Final = b"#!/usr/bin/env python3\n"
_MADE: Final = (1980, 1, 1, 0, 0, 0)
_MODE: Final = 0o100644 << 16
_UNIX: Final = 3
_MAIN: Final = b"""\
import runpy

runpy.run_module("access_log", run_name="__main__", alter_sys=True)
"""


def modules() -> dict[str, Path]:
    """Every module of the log that the verifier imports, directly or not.

    Raises:
        SystemExit: One of them imports something an inspector's laptop does not have.
    """
    found: dict[str, Path] = {}
    waiting = [START]
    while waiting:
        name = waiting.pop()
        file = _file(name)
        if file is None or name in found:
            continue
        found[name] = file
        waiting.append(name.rpartition(".")[0])
        for imported in _imports(file):
            if imported.partition(".")[0] not in _ALLOWED:
                raise SystemExit(
                    f"{name} imports {imported}: the verifier needs Python and cryptography alone"
                )
            waiting.append(imported)
    return dict(sorted(found.items()))


def build(target: Path) -> str:
    """Write the file and return its SHA-256 in hex."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as stream:
        stream.write(_SHEBANG)
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
            _add(archive, "__main__.py", _MAIN)
            for file in (*modules().values(), ROOT / "LICENSE", ROOT / "access_log" / "FORMAT.md"):
                _add(archive, file.relative_to(ROOT).as_posix(), file.read_bytes())
    target.chmod(0o755)
    return hashlib.sha256(target.read_bytes()).hexdigest()


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    member = zipfile.ZipInfo(name, _MADE)
    member.create_system, member.external_attr = _UNIX, _MODE
    archive.writestr(member, data)


def _file(name: str) -> Path | None:
    """The file of a module of this repository."""
    path = ROOT.joinpath(*name.split("."))
    return next((each for each in (path / "__init__.py", path.with_suffix(".py")) if each.is_file()), None)


def _imports(file: Path) -> Iterator[str]:
    """What a module imports, and the names it takes from it, which may be modules too."""
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{each.name}" for each in node.names)


if __name__ == "__main__":
    made = Path(sys.argv[1])
    sys.stdout.write(f"{build(made)}  {made}\n")
