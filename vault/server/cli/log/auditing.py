"""`creditvault log audit-streams`: whether every entry stands in the stream it belongs to."""

import typer

from vault.records.covert import StreamOwners
from vault.server.cli.log.examining import examined, tell
from vault.server.cli.output import AsJson


def audit_streams(as_json: AsJson = False) -> None:
    """Examine the log like `fsck`, and require every entry to stand in the stream it belongs to.

    An entry that was filed under another person's stream, or under one that is nobody's, is hidden from the
    person it is about; they cannot find it, and this does. Exit code 1 means that something does not hold.

    Example: `creditvault log audit-streams`
    """
    report = examined(StreamOwners())
    tell(report, as_json=as_json)
    raise typer.Exit(0 if report.sound else 1)
