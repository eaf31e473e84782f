"""`python -m access_log`: verify a log, a receipt or an opening offline.

Needs Python and `cryptography`, no database and no network beyond the log's own address.
Exit codes: 0 good, 1 does not verify, 2 usage, or something could not be read.
"""

import sys

try:
    from access_log.cli import main
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] != "cryptography":
        raise
    sys.stderr.write("the verifier needs the cryptography package: python -m pip install cryptography\n")
    sys.exit(2)

if __name__ == "__main__":
    sys.exit(main())
