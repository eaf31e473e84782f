"""The verifier as one file: the same wherever it is built, and run with nothing but `cryptography`."""

import hashlib
import importlib.util
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

from access_log import VERSION
from tests.access_log.simulator import SIGNER, make_entries, publish, sign

ROOT = Path(__file__).parents[2]
ENTRIES = make_entries(17_000)
KEY = SIGNER.verifier_key()


@pytest.fixture(scope="module")
def builder() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build_verifier", ROOT / "tools" / "build_verifier.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def one_file(builder: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("build") / "creditvault-verify.pyz"
    builder.build(file)
    return file


@pytest.fixture(scope="module")
def laptop(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which `cryptography` and what it needs can be imported, and nothing else."""
    packages = tmp_path_factory.mktemp("laptop")
    for name in ("cryptography", "cffi", "_cffi_backend", "pycparser"):
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin is not None:
            found = Path(spec.origin)
            found = found.parent if found.name == "__init__.py" else found
            (packages / found.name).symlink_to(found)
    return {"PYTHONPATH": str(packages), "PATH": os.environ["PATH"]}


def run(file: Path, laptop: dict[str, str], *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-S", str(file), *map(str, arguments)]
    return subprocess.run(command, env=laptop, cwd=file.parent, capture_output=True, text=True, check=False)


def test_it_is_the_same_wherever_it_is_built(builder: ModuleType, one_file: Path, tmp_path: Path) -> None:
    digest = builder.build(tmp_path / "again.pyz")
    assert digest == hashlib.sha256(one_file.read_bytes()).hexdigest()


def test_it_holds_no_server_and_no_writer(builder: ModuleType) -> None:
    names = set(builder.modules())
    assert {"access_log.cli.verifying", "access_log.merkle"} <= names
    assert not names & {"access_log.log", "access_log.tables", "access_log.api", "access_log.lock"}


def test_it_verifies_on_a_bare_machine_on_all_cores(
    one_file: Path, laptop: dict[str, str], tmp_path: Path
) -> None:
    log = publish(ENTRIES).write_to(tmp_path / "log")
    done = run(
        one_file,
        laptop,
        "verify",
        log,
        "--log-key",
        KEY,
        "--jobs",
        2,
        "--json",
        "--report",
        tmp_path / "r.html",
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["size"] == 17_000
    assert hashlib.sha256(one_file.read_bytes()).hexdigest() in (tmp_path / "r.html").read_text()
    (tmp_path / "other").write_text(sign([*ENTRIES[:-1], ENTRIES[0]]))
    done = run(
        one_file, laptop, "compare-checkpoints", log / "checkpoint", tmp_path / "other", "--log-key", KEY
    )
    assert (done.returncode, done.stderr) == (1, "")
    assert "forked" in done.stdout


def test_without_cryptography_it_says_what_to_install(one_file: Path) -> None:
    done = run(one_file, {"PATH": os.environ["PATH"]}, "--help")
    assert (done.returncode, done.stdout) == (2, "")
    assert "pip install cryptography" in done.stderr


def test_its_version_is_the_projects() -> None:
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == VERSION
