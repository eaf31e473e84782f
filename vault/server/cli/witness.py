"""Commands for whoever runs a witness. They need no vault, no database server and no settings."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from access_log.errors import FormatError
from access_log.verifier_keys import COSIGNATURE_TYPES, ED25519_COSIGNATURE, LOG_TYPES, ML_DSA_44, VerifierKey
from access_log.witness.store import Watched
from vault.server.cli.output import AsJson, examples, print_json, print_table
from vault.server.witness import keys_in, make_witness, memory_in, serve_witness

app = typer.Typer(
    no_args_is_help=True,
    help="Run a witness: it cosigns the checkpoints of other people's logs, and never two histories of one.",
    epilog=examples(
        "creditvault witness init /var/lib/witness --name witness.example/w1",
        "creditvault witness add-log /var/lib/witness vault.example/log/2026+697ea6bb+AQOh…",
        "creditvault witness serve /var/lib/witness --port 8450",
    ),
)
Folder = Annotated[
    Path, typer.Argument(metavar="FOLDER", file_okay=False, help="The witness's folder: key and memory.")
]
_KINDS = {
    "both": COSIGNATURE_TYPES,
    "ed25519": (ED25519_COSIGNATURE,),
    "ml-dsa-44": (ML_DSA_44,),
}
LogKey = Annotated[str, typer.Argument(metavar="KEY", help="A log's verifier key, name+id+key.")]


@app.command()
def init(
    folder: Folder,
    name: Annotated[str, typer.Option(help="Its name, a schema-less URL such as witness.example/w1.")],
    kind: Annotated[str, typer.Option(help=f"Its keys: {', '.join(_KINDS)}. Policies name one.")] = "both",
    as_json: AsJson = False,
) -> None:
    """Make a new witness: its keys, whose secret is never printed, and an empty memory.

    Example: `creditvault witness init /var/lib/witness --name witness.example/w1`
    """
    if kind not in _KINDS:
        raise typer.BadParameter(f"choose {', '.join(_KINDS)}", param_hint="--kind")
    keys = make_witness(folder, name, _KINDS[kind])
    _print_keys(folder, [key.key for key in keys], as_json=as_json)


@app.command()
def key(folder: Folder, as_json: AsJson = False) -> None:
    """Print the witness's verifier keys, which logs and verifiers put into their policies.

    Example: `creditvault witness key /var/lib/witness`
    """
    _print_keys(folder, [each.key for each in keys_in(folder)], as_json=as_json)


@app.command(name="add-log")
def add_log(folder: Folder, log_key: LogKey, as_json: AsJson = False) -> None:
    """Trust a log's key: from now on checkpoints it signs are cosigned. A running server sees it at once.

    The log is the one the key is named after. A second key of the same log, after a rotation for instance,
    is added the same way.

    Example: `creditvault witness add-log /var/lib/witness vault.example/log/2026+697ea6bb+AQOh…`
    """
    parsed = _parsed(log_key)
    memory_in(folder).trust(parsed)
    if as_json:
        print_json({"log": parsed.name, "key": str(parsed)})
    else:
        typer.echo(f"trusted  {parsed}")


@app.command(name="remove-key")
def remove_key(folder: Folder, log_key: LogKey, as_json: AsJson = False) -> None:
    """Trust a log's key no more. What was cosigned stays remembered: the log can never go back behind it.

    Example: `creditvault witness remove-key /var/lib/witness vault.example/log/2026+697ea6bb+AQOh…`
    """
    parsed = _parsed(log_key)
    if not memory_in(folder).distrust(parsed):
        raise typer.BadParameter("this key was not trusted; `show` lists those that are", param_hint="KEY")
    if as_json:
        print_json({"log": parsed.name, "removed": str(parsed)})
    else:
        typer.echo(f"removed  {parsed}")


@app.command()
def show(folder: Folder, as_json: AsJson = False) -> None:
    """Show the logs it watches: what of each was cosigned last, and when.

    Example: `creditvault witness show /var/lib/witness`
    """
    watched = memory_in(folder).watched()
    if as_json:
        print_json([_as_json(each) for each in watched])
        return
    print_table(
        ("log", "keys", "size", "cosigned (UTC)", "root"),
        [
            (each.origin, len(each.keys))
            if each.last is None
            else (
                each.origin,
                len(each.keys),
                each.last.size,
                f"{_moment(each.last.time):%Y-%m-%d %H:%M:%S}",
                each.last.root.hex()[:16],
            )
            for each in watched
        ],
    )


@app.command()
def serve(
    folder: Folder,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8450,
) -> None:
    """Serve the witness until SIGTERM or Ctrl-C, on plain HTTP behind a TLS proxy.

    Example: `creditvault witness serve /var/lib/witness --port 8450`
    """
    serve_witness(folder, host, port)


def _parsed(text: str) -> VerifierKey:
    try:
        key = VerifierKey.parse(text)
    except FormatError as error:
        raise typer.BadParameter(str(error), param_hint="KEY") from None
    if key.type not in LOG_TYPES:
        raise typer.BadParameter("a log's key is of type 0x01 or 0x06", param_hint="KEY")
    return key


def _print_keys(folder: Path, keys: list[VerifierKey], *, as_json: bool) -> None:
    if as_json:
        print_json({"folder": str(folder), "name": keys[0].name, "keys": [str(each) for each in keys]})
        return
    for each in keys:
        typer.echo(str(each))


def _as_json(watched: Watched) -> dict[str, object]:
    last = watched.last
    return {
        "log": watched.origin,
        "keys": [str(key) for key in watched.keys],
        "size": None if last is None else last.size,
        "root": None if last is None else last.root,
        "time": None if last is None else _moment(last.time),
    }


def _moment(time: int) -> datetime:
    return datetime.fromtimestamp(time, UTC)
