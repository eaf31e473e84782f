"""The command line of the inspector, the body and the person (FORMAT 10.4).

A command is a file here that holds a `COMMAND`, and a line in `COMMANDS`. None needs the database.
"""

import sys
from collections.abc import Sequence
from io import TextIOWrapper
from typing import Final

from access_log.cli import auditing, comparing, following, openings, persons, receipts, succeeding, verifying
from access_log.cli.output import cannot_tell, does_not_verify, told
from access_log.cli.parsing import parser_of
from access_log.errors import AccessLogError, SourceError

COMMANDS: Final = (
    verifying.COMMAND,
    receipts.COMMAND,
    openings.COMMAND,
    comparing.COMMAND,
    following.COMMAND,
    succeeding.COMMAND,
    persons.COMMAND,
    *auditing.COMMANDS,
)

_DESCRIPTION: Final = """\
Verify an access log, a receipt or an opening offline. Needs no database and trusts nothing but the
log's key, which you take once from a place you trust.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # A terminal may lack the letters of a value.
    options = parser_of(COMMANDS, _DESCRIPTION).parse_args(arguments)
    try:
        report = options.command.run(options)
    except SourceError as error:
        return cannot_tell(str(error), as_json=options.json)
    except AccessLogError as error:
        return does_not_verify(error, as_json=options.json)
    except MemoryError:
        return cannot_tell("there is not enough memory: nothing was decided", as_json=options.json)
    except KeyboardInterrupt:
        return cannot_tell("interrupted: nothing was decided, start again", as_json=options.json)
    return told(report, as_json=options.json)
