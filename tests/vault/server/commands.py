"""The command line as tests run it: in this process, or where it must be as a process of its own."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests import prepared
from vault.server.cli.main import run
from vault.server.settings import Settings

ROOT = Path(__file__).resolve().parents[3]
CREDITVAULT = str(Path(sys.executable).with_name("creditvault"))


@dataclass(frozen=True)
class Ran:
    """What a command did."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """Its one JSON document."""
        return json.loads(self.out)


@dataclass
class CommandLine:
    """`creditvault` on one vault."""

    settings: Settings
    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]

    def __post_init__(self) -> None:
        for name in [name for name in os.environ if name.startswith("CREDITVAULT_")]:
            self.monkeypatch.delenv(name)
        self.set(**{name: getattr(self.settings, name) for name in self.settings.model_fields_set})

    def set(self, **values: object) -> None:
        """Sets settings in the environment; None removes one."""
        for name, value in values.items():
            if value is None:
                self.monkeypatch.delenv(f"CREDITVAULT_{name.upper()}", raising=False)
            else:
                self.monkeypatch.setenv(f"CREDITVAULT_{name.upper()}", str(value))

    def set_up(self) -> None:
        """Makes keys and log."""
        asyncio.run(prepared.copy(self.settings))

    def __call__(self, *arguments: str) -> Ran:
        """Runs a command in this process."""
        self.capsys.readouterr()
        code = run(arguments)
        out, err = self.capsys.readouterr()
        return Ran(code, out, err)

    def good(self, *arguments: str) -> Any:
        """Runs a command with --json that must succeed; returns its document."""
        ran = self(*arguments, "--json")
        assert ran.code == 0, ran.err
        return ran.json()

    def refused(self, *arguments: str) -> str:
        """Runs a command that must not be done; returns its one line."""
        ran = self(*arguments)
        assert ran.code == 2, ran.out
        assert (
            ran.out.startswith("terms: ") or ran.out == ""
        )  # what an approver sees stands before the refusal
        assert ran.err.count("\n") == 1
        assert ran.err.startswith("creditvault: ")
        return ran.err

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
        """Starts a command as a process of its own."""
        return subprocess.Popen([CREDITVAULT, *arguments], cwd=ROOT, **options)


def run_python(code: str, *arguments: str, environment: Mapping[str, str] | None = None) -> Ran:
    """Runs Python code in a process of its own."""
    command: Sequence[str] = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr)
