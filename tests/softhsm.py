"""A token of SoftHSM2: other people's software in place of a hardware module."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

LIBRARY = Path("/usr/lib/softhsm/libsofthsm2.so")
PIN = "4711-0815"


@dataclass(frozen=True)
class SoftToken:
    """A token with the PIN of its user in a file."""

    label: str
    pin_file: Path
    tokens: Path

    def settings(self, prefix: str = "creditvault") -> dict[str, Any]:
        """Settings of a vault whose keys it holds."""
        return {
            "key_provider": "pkcs11",
            "pkcs11_library": LIBRARY,
            "pkcs11_token": self.label,
            "pkcs11_pin_file": self.pin_file,
            "pkcs11_prefix": prefix,
        }

    @contextmanager
    def away(self) -> Iterator[None]:
        """Takes the token out, and puts it back."""
        aside = self.tokens.rename(self.tokens.with_name("aside"))
        try:
            yield
        finally:
            aside.rename(self.tokens)


def made_token(folder: Path) -> SoftToken:
    """A token in this folder; the library reads once in a process where tokens are."""
    program = shutil.which("softhsm2-util")
    if program is None or not LIBRARY.exists():
        pytest.skip("needs SoftHSM2: apt-get install softhsm2")
    tokens = folder / "tokens"
    tokens.mkdir()
    configuration = folder / "softhsm2.conf"
    configuration.write_text(
        f"directories.tokendir = {tokens}\nobjectstore.backend = file\nlog.level = ERROR\n"
    )
    os.environ["SOFTHSM2_CONF"] = str(configuration)
    pin_file = folder / "pin"
    pin_file.write_text(PIN + "\n")
    pin_file.chmod(0o600)
    subprocess.run(
        [program, "--init-token", "--free", "--label", "vault", "--pin", PIN, "--so-pin", PIN[::-1]],
        check=True,
        capture_output=True,
    )
    return SoftToken("vault", pin_file, tokens)
