"""A bank's own program, as its developer would write it: keys, a person's consent, one query. Runs by itself.

python -m demo.bank key bank.jwk                  makes a key, and bank.jwks to hand to the vault's operator
python -m demo.bank ask bank.jwk --issuer … --client … --officer … --person NUMBER

`ask` prints an address for the person to open, waits until they come back to --callback, and prints what they
let the bank see. docs/onboarding.md leads through it.
"""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID

import httpx
from joserfc.jwk import OKPKey

from demo.client import BodyClient, OAuthError, new_key, public_jwks

CALLBACK = "http://127.0.0.1:8441/returned"
PURPOSE = "credit-granting"
FIELDS = ("FIN.type", "FIN.status")
_PATIENCE = 300.0
_THANKS = b"Thank you. You can close this window."
_HEAD = f"HTTP/1.1 200 OK\r\nContent-Length: {len(_THANKS)}\r\nConnection: close\r\n\r\n".encode()


class BankError(Exception):
    """What went wrong, in one line."""


def make_key(private: Path) -> Path:
    """Writes a new private key, for its owner alone, and the public half beside it; returns where that is."""
    key = new_key()
    with os.fdopen(os.open(private, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(key.as_dict(private=True), file)
    public = private.with_suffix(".jwks")
    public.write_text(json.dumps(public_jwks(key)))
    return public


async def check_issuer(http: httpx.AsyncClient, issuer: str) -> None:
    """Reads the metadata, and that they are of whom they should be (RFC 8414 §3.3).

    Raises:
        BankError: they are not.
    """
    metadata = (await http.get("/.well-known/oauth-authorization-server")).json()
    if metadata.get("issuer") != issuer:
        raise BankError("the metadata there are of another issuer: ask the vault's operator for its address")


async def returned(callback: str, shown: str) -> dict[str, str]:
    """Waits at the callback for the person, who is sent there by the vault; returns the answer's parameters.

    A bank's web site has a route for this; https, and bound to the session of whoever was sent away.
    """
    parts = urlsplit(callback)
    answer: asyncio.Future[dict[str, str]] = asyncio.get_running_loop().create_future()

    async def receive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        target = (await reader.readline()).split(b" ")[1].decode()
        if urlsplit(target).path == parts.path and not answer.done():
            answer.set_result(dict(parse_qsl(urlsplit(target).query)))
        writer.write(_HEAD + _THANKS)
        writer.close()

    async with await asyncio.start_server(receive, parts.hostname, parts.port):
        print(f"Open as the person: {shown}", flush=True)
        return await asyncio.wait_for(answer, _PATIENCE)


async def ask(options: argparse.Namespace) -> dict[str, Any]:
    """Obtains consent and asks once; returns the vault's answer.

    Raises:
        BankError: the person refused, the answer is not the vault's, or the query was refused.
        OAuthError: the authorization server refused.
    """
    key = OKPKey.import_key(json.loads(options.key.read_text()))
    async with httpx.AsyncClient(base_url=options.issuer, timeout=30) as http:
        await check_issuer(http, options.issuer)
        client = BodyClient(http, options.issuer, options.client, key)
        wanted = {
            "type": "consented_query",
            "purpose": PURPOSE,
            "fields": list(FIELDS),
            "mode": "view",
            "validity": 30,
            "max_uses": 1,
        }
        pushed = await client.push(wanted, options.callback)
        answer = await returned(options.callback, pushed.url)
        # Both, before anything else: an answer of another server, or to another session, is not ours
        # (RFC 9207 §2.4).
        if answer.get("iss") != options.issuer or answer.get("state") != pushed.state:
            raise BankError("what came back is no answer to this request: start again")
        if "code" not in answer:
            raise BankError(f"nothing was granted: {answer.get('error', 'no code')}")
        token = await client.exchange(answer["code"], pushed.verifier, options.callback)
        query = {
            "subject": {"scheme": options.scheme, "number": options.person},
            "purpose": PURPOSE,
            "fields": list(FIELDS),
            "officer": str(options.officer),
            "case_reference": options.case,
        }
        # The same key at a repeat: whatever happens on the way, the query is charged once.
        asked = await client.query(token, query, idempotency_key=options.case)
    if asked.is_error:
        raise BankError(f"the query was refused: {asked.json().get('detail', asked.status_code)}")
    document: dict[str, Any] = asked.json()
    return document


def main(arguments: Sequence[str] | None = None) -> int:
    """Does what is asked on the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m demo.bank", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("key", help="make a key pair")
    making.add_argument("key", type=Path)
    asking = commands.add_parser("ask", help="ask a person for consent, then the vault")
    asking.add_argument("key", type=Path)
    asking.add_argument("--issuer", default="http://127.0.0.1:8440")
    asking.add_argument("--client", type=UUID, required=True, help="the bank's id in the register")
    asking.add_argument("--officer", type=UUID, required=True, help="who asks")
    asking.add_argument("--person", required=True, help="identity number of the person")
    asking.add_argument("--scheme", default="demo-id")
    asking.add_argument("--case", default="loan application 1", help="the bank's own reference")
    asking.add_argument("--callback", default=CALLBACK, help="as registered, to the letter")
    options = parser.parse_args(arguments)
    try:
        if options.command == "key":
            print(f"Keep {options.key} secret; hand {make_key(options.key)} to the vault's operator.")
            return 0
        answer = asyncio.run(ask(options))
    except (BankError, OSError, ValueError, httpx.HTTPError, TimeoutError) as error:
        sys.stderr.write(f"bank: {error}\n")
        return 2
    except OAuthError as error:
        sys.stderr.write(f"bank: the vault's authorization server says {error}: docs/api.md tells why\n")
        return 2
    print(json.dumps({"records": answer["records"], "use_conditions": answer["use_conditions"]}, indent=2))
    Path("answer.receipt").write_text(answer["receipt"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
