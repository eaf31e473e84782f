"""A body's web site that publishes keys, over TLS with a certificate of a made-up authority."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

HOST = "keys.bank.example"


class KeySite:
    """What it answers can be changed; what it was asked is kept."""

    def __init__(self, jwks: Any) -> None:
        self.status = 200
        self.headers = ["Content-Type: application/json"]
        self.body = json.dumps(jwks).encode()
        self.asked: list[str] = []
        self.heard = asyncio.Event()
        self.silent = False
        self.port = 0

    @property
    def uri(self) -> str:
        return f"https://{HOST}:{self.port}/jwks.json"

    def publish(self, *keys: dict[str, Any]) -> None:
        self.body = json.dumps({"keys": keys}).encode()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.asked.append(head.decode())
        self.heard.set()
        try:
            if self.silent:
                await reader.read()
                return
            lines = [f"HTTP/1.1 {self.status} -", *self.headers, "Connection: close"]
            writer.write("\r\n".join([*lines, "", ""]).encode() + self.body)
            await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()


def authority(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """What the site shows, and what trusts it: a self-signed certificate for `HOST`."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, SHA256())
    )
    path = folder / "site.pem"
    path.write_bytes(
        certificate.public_bytes(Encoding.PEM)
        + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    shown = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    shown.load_cert_chain(path)
    trusting = ssl.create_default_context(cadata=certificate.public_bytes(Encoding.PEM).decode())
    return shown, trusting


@asynccontextmanager
async def publishing(site: KeySite, tls: ssl.SSLContext | None) -> AsyncIterator[None]:
    """The site on a free port of this machine."""
    server = await asyncio.start_server(site.answer, "127.0.0.1", 0, ssl=tls)
    site.port = server.sockets[0].getsockname()[1]
    try:
        yield
    finally:
        server.close()
        await server.wait_closed()
