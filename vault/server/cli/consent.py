"""Commands about consents, for whoever holds a copy of one. They need no vault and no settings."""

from pathlib import Path
from typing import Annotated

import typer

from consent.copies import VerifiedCopy, verify_copy
from consent.errors import CopyError
from vault.server.cli.acting import read_json
from vault.server.cli.output import AsJson, examples, print_json, print_table

app = typer.Typer(
    no_args_is_help=True,
    help="Check a citizen's signed copy of a consent.",
    epilog=examples("creditvault consent verify-copy consent.jws --keys consent-keys.json"),
)


@app.command(name="verify-copy")
def verify(
    copy: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="The copy, as downloaded.")],
    keys: Annotated[
        Path, typer.Option(exists=True, dir_okay=False, help="The vault's /v1/consent-keys, as downloaded.")
    ],
    as_json: AsJson = False,
) -> None:
    """Verify a citizen's copy of a consent and say what it states; exit code 1 if it does not verify.

    The digest is that of the record: the entry of the access log about the same event holds it as `document`.

    Example: `creditvault consent verify-copy consent.jws --keys consent-keys.json`
    """
    try:
        verified = verify_copy(copy.read_text(errors="replace"), read_json(keys))
    except CopyError as error:
        typer.echo(f"creditvault: {error}", err=True)
        raise typer.Exit(1) from None
    if as_json:
        print_json({"digest": verified.digest, "record": verified.record})
    else:
        print_table(("what", "states"), _rows(verified))


def _rows(verified: VerifiedCopy) -> list[tuple[str, object]]:
    record = verified.record
    processing = record["pii_processing"]
    (purpose,) = processing["purposes"]
    body, keeper = record["party_identification"]
    events = [f"{event['event_state']} {event['event_time']}" for event in record["event"]]
    return [
        ("consent", record["record_id"]),
        ("given to", f"{body['party_name']}, {body['party_contact']}"),
        ("kept by", f"{keeper['party_name']}, {keeper['party_contact']}"),
        ("purpose", purpose["purpose"]),
        ("fields", ", ".join(each["pii_type"] for each in purpose["pii_information"])),
        ("lasts", processing["validity_duration"]),
        ("events", "; ".join(events)),
        ("digest", verified.digest),
    ]
