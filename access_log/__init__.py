"""The access log: append-only, hash-chained, publishable whole, verifiable by anyone.

The room knows nothing of records, consents or web sessions. Its verifier half runs on an
inspector's laptop with Python and `cryptography` alone: `python -m access_log`.
"""

VERSION = "0.1.0"
"""Of the whole project; the one-file verifier carries it where no package is installed."""
