"""Secrets of a running server: in no environment, no command line, no core file."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests import prepared
from tests.conftest import PASSPHRASE
from tests.flows.serving import ROOT, at_port, environment, free_port, serving
from vault.server.settings import Settings

_SIGN_IN_SECRET = "the secret at the provider"
_DUMPABLE = """
import ctypes, os, sys
from vault.server.cli.main import main
sys.argv = ["creditvault", "docs", "--help"]
try:
    main()
except SystemExit:
    pass
print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))
"""


def _read(pid: int, name: str) -> bytes:
    return Path(f"/proc/{pid}/{name}").read_bytes()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_a_server_and_its_workers_show_no_secret(vault_settings: Settings, tmp_path: Path) -> None:
    secret = tmp_path / "sign-in-secret"
    secret.write_text(f"{_SIGN_IN_SECRET}\n")
    secret.chmod(0o600)
    settings = at_port(vault_settings, free_port()).model_copy(
        update={
            "sign_in_issuer": "https://identity.example",
            "sign_in_client": "vault",
            "sign_in_secret_file": secret,
        }
    )
    settings.model_fields_set.update({"sign_in_issuer", "sign_in_client", "sign_in_secret_file"})
    assert settings.read_sign_in_secret() == _SIGN_IN_SECRET
    await prepared.copy(vault_settings)
    async with serving(settings, tmp_path / "server.log", workers=2) as server:
        parent = psutil.Process(server.pid)
        processes = [server.pid, *(child.pid for child in parent.children(recursive=True))]
        assert len(processes) == 3
        for pid in processes:
            seen = _read(pid, "environ") + _read(pid, "cmdline")
            assert b"CREDITVAULT_PASSPHRASE_FILE" in seen
            assert PASSPHRASE.encode() not in seen
            assert _SIGN_IN_SECRET.encode() not in seen
            limits = _read(pid, "limits").decode().splitlines()
            (core,) = [line.split() for line in limits if line.startswith("Max core file size")]
            assert core[4:6] == ["0", "0"]
        said = server.said()
        assert PASSPHRASE not in said
        assert _SIGN_IN_SECRET not in said


@pytest.mark.skipif(sys.platform != "linux", reason="prctl(2)")
def test_no_other_process_of_the_user_reads_a_commands_memory(vault_settings: Settings) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _DUMPABLE],
        cwd=ROOT,
        env={**os.environ, **environment(vault_settings)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "0"


def test_a_file_that_others_can_read_holds_no_secret(vault_settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("known to all")
    file.chmod(0o644)
    with pytest.raises(PermissionError, match="chmod 600"):
        vault_settings.model_copy(update={"sign_in_secret_file": file}).read_sign_in_secret()
