"""Tables of the access log (schema `access_log`).

The application role may INSERT and SELECT entries and nothing more; triggers refuse it UPDATE, DELETE
and TRUNCATE. Payloads stand apart, because they may be deleted when their retention ends. What is hashed
is what is stored: an entry is one column of 106 bytes, found again by its label through an expression
index.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    Uuid,
    text,
)

metadata = MetaData(schema="access_log")

# One row per log. Locking it is the first statement of every writer, so the order of the log is the
# order of effect.
head = Table(
    "head",
    metadata,
    Column("log", SmallInteger, primary_key=True, autoincrement=False),
    Column("origin", Text, nullable=False, unique=True),
    Column("size", BigInteger, nullable=False),
    Column("chain", LargeBinary, nullable=False),
    Column("time", BigInteger, nullable=False, comment="of the newest entry, ms since the epoch, UTC"),
    Column("frontier", LargeBinary, nullable=False, comment="roots of the full subtrees, largest first"),
    Column("key_epoch", SmallInteger, nullable=False, server_default="1", comment="of the newest keys"),
    Column("key_changing", Boolean, nullable=False, server_default="false", comment="the old keys sign too"),
    Column("successor", Text, comment="origin of the log opened in its place; null while it is open"),
)
# At no moment can two logs be written; a trigger refuses the head of a closed one every change.
Index(
    "head_one_is_open",
    text("(successor IS NULL)"),
    unique=True,
    postgresql_where=text("successor IS NULL"),
    _table=head,
)

# How the log came from one set of keys to the next, each proven to whoever holds the set before.
key_change = Table(
    "key_change",
    metadata,
    Column("log", SmallInteger, primary_key=True, autoincrement=False),
    Column("epoch", SmallInteger, primary_key=True, autoincrement=False, comment="of the new keys"),
    Column("index", BigInteger, nullable=False, comment="of the entry that names them"),
    Column("document", Text, nullable=False, comment="JSON; its SHA-256 stands in the entry"),
    Column("opening", Text, comment="of the entry, JSON; null until the change is complete"),
    Column("receipt", Text, comment="of the entry, signed by old and new keys; null until then"),
)

entry = Table(
    "entry",
    metadata,
    Column("log", SmallInteger, primary_key=True, autoincrement=False),
    Column("index", BigInteger, primary_key=True, autoincrement=False),
    Column("entry", LargeBinary, nullable=False),
    CheckConstraint("octet_length(entry) = 106", name="entry_is_106_bytes"),
    postgresql_partition_by="RANGE (index)",
)
Index("entry_by_label", text('substring("entry" from 43 for 32)'), _table=entry)

payload = Table(
    "payload",
    metadata,
    Column("log", SmallInteger, primary_key=True, autoincrement=False),
    Column("index", BigInteger, primary_key=True, autoincrement=False),
    Column("expiry_id", Integer, nullable=False, comment="yyyymm in which its retention ends"),
    Column("sealed", LargeBinary, nullable=False),
)
Index("payload_by_expiry", payload.c.expiry_id)

# Full tiles only (256 hashes); partial ones are built from entries and lower roots when asked for.
tile = Table(
    "tile",
    metadata,
    Column("log", SmallInteger, primary_key=True, autoincrement=False),
    Column("level", SmallInteger, primary_key=True, autoincrement=False),
    Column("index", BigInteger, primary_key=True, autoincrement=False),
    Column("hashes", LargeBinary, nullable=False),
    Column("root", LargeBinary, nullable=False, comment="the hash this tile gives to the level above"),
)

stream = Table(
    "stream",
    metadata,
    Column("stream_id", LargeBinary, primary_key=True),
    Column("log", SmallInteger, nullable=False, server_default="1", comment="where its newest entry stands"),
    Column("kind", SmallInteger, nullable=False),
    Column("master", SmallInteger, nullable=False, comment="version of the label master"),
    Column("month", Integer, nullable=False, comment="yyyymm of the newest entry, UTC; 0 before the first"),
    Column("seq", BigInteger, nullable=False, comment="number of the newest entry within its month"),
    Column("last_leaf", LargeBinary, nullable=False),
)

# Where streams ended in logs that were closed, each kept when its first entry in a later log is appended.
stream_end = Table(
    "stream_end",
    metadata,
    Column("log", SmallInteger, primary_key=True, autoincrement=False),
    Column(
        "stream_id",
        LargeBinary,
        ForeignKey("access_log.stream.stream_id", name="stream_end_stream_id_fkey", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("month", Integer, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("last_leaf", LargeBinary, nullable=False),
)
Index("stream_end_by_stream", stream_end.c.stream_id)

# What a writer must find again after an unknown commit outcome, and a repeat after a lost answer.
request = Table(
    "request",
    metadata,
    Column("log", SmallInteger, primary_key=True, autoincrement=False),
    Column("index", BigInteger, primary_key=True, autoincrement=False),
    Column("request_id", Uuid, nullable=False, unique=True),
    Column("client", Uuid, nullable=False),
    Column("idempotency_key", LargeBinary, comment="digest of the key, or null"),
    Column("body", LargeBinary, nullable=False, comment="digest of grant and body"),
    Column("time", DateTime(timezone=True), nullable=False),
)
Index(
    "request_by_idempotency_key",
    request.c.client,
    request.c.idempotency_key,
    postgresql_where=request.c.idempotency_key.is_not(None),
)

# The log of roots of log n is kept under the number -n (FORMAT 4.3): its leaves here, its tiles in `tile`.
root = Table(
    "root",
    metadata,
    Column("log", SmallInteger, primary_key=True, autoincrement=False),
    Column("index", BigInteger, primary_key=True, autoincrement=False),
    Column("leaf", LargeBinary, nullable=False),
    CheckConstraint("octet_length(leaf) = 86", name="root_is_86_bytes"),
)

root_head = Table(
    "root_head",
    metadata,
    Column("log", SmallInteger, primary_key=True, autoincrement=False),
    Column("origin", Text, nullable=False, unique=True),
    Column("size", BigInteger, nullable=False),
    Column("frontier", LargeBinary, nullable=False, comment="roots of the full subtrees, largest first"),
    Column("note", Text, nullable=False, comment="the signed checkpoint of this size"),
)

# How the key of the log of roots was changed.
root_key_change = Table(
    "root_key_change",
    metadata,
    Column("log", SmallInteger, primary_key=True, autoincrement=False),
    Column("epoch", SmallInteger, primary_key=True, autoincrement=False, comment="of the new key"),
    Column("index", BigInteger, nullable=False, comment="of the entry that names it"),
    Column("document", Text, nullable=False, comment="JSON; its SHA-256 stands in the entry"),
    Column("size", BigInteger, comment="of the tree that old and new key signed; null until there is one"),
    Column("published", Text, comment="what leads from the old key to the new, JSON; null until then"),
    CheckConstraint("(size IS NULL) = (published IS NULL)", name="root_key_change_is_complete"),
)

# The newest checkpoint of the log of roots that each auditor cosigned.
root_cosignature = Table(
    "root_cosignature",
    metadata,
    Column("log", SmallInteger, primary_key=True, autoincrement=False),
    Column("signer", Text, primary_key=True, comment="the auditor's verifier key"),
    Column("size", BigInteger, nullable=False),
    Column("line", Text, nullable=False, comment="its line over the checkpoint of this size"),
)

# Hashes from which a label is proved without its month's tree in memory: those of one root a month.
prefix_crown = Table(
    "prefix_crown",
    metadata,
    Column("log", SmallInteger, primary_key=True, autoincrement=False),
    Column("month", Integer, primary_key=True, autoincrement=False, comment="yyyymm, UTC"),
    Column("root", BigInteger, nullable=False, comment="index of the root in the log of roots"),
    Column("slots", LargeBinary, nullable=False, comment="u8 labels (2 for more) and hash of each subtree"),
)

# Ranges whose entries stand in the archive and in no partition. The owner alone adds to it.
archived = Table(
    "archived",
    metadata,
    Column("log", SmallInteger, primary_key=True, autoincrement=False),
    Column("first_index", BigInteger, primary_key=True, autoincrement=False),
    Column("end_index", BigInteger, nullable=False),
    Column("labels", LargeBinary, nullable=False, comment="SHA-256 of the index of its labels"),
    Column("time", DateTime(timezone=True), nullable=False),
)

# What an operator's entry commits to by its SHA-256, as it was written (losses.py).
document = Table(
    "document",
    metadata,
    Column("log", SmallInteger, primary_key=True, autoincrement=False),
    Column("index", BigInteger, primary_key=True, autoincrement=False),
    Column("document", Text, nullable=False),
)

# What leads from a closed log to the one opened in its place: entry 0 of the latter, for everyone to verify.
succession = Table(
    "succession",
    metadata,
    Column("log", SmallInteger, primary_key=True, autoincrement=False, comment="the log that was opened"),
    Column("opening", Text, nullable=False, comment="of its entry 0, JSON"),
    Column("receipt", Text, nullable=False, comment="of its entry 0"),
)

# What the log's witnesses cosigned last, how they failed, and the newest checkpoint their quorum cosigned.
witness = Table(
    "witness",
    metadata,
    Column("log", SmallInteger, primary_key=True, autoincrement=False),
    Column("key", Text, primary_key=True, comment="its verifier key"),
    Column("name", Text, nullable=False, comment="its name in the policy"),
    Column("size", BigInteger, nullable=False),
    Column("time", DateTime(timezone=True), nullable=False),
)

witness_failure = Table(
    "witness_failure",
    metadata,
    Column("log", SmallInteger, primary_key=True, autoincrement=False),
    Column("key", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("count", BigInteger, nullable=False),
    Column("time", DateTime(timezone=True), nullable=False),
)

witnessed = Table(
    "witnessed",
    metadata,
    Column("log", SmallInteger, primary_key=True, autoincrement=False),
    Column("size", BigInteger, nullable=False),
    Column("note", Text, nullable=False, comment="the checkpoint with its cosignatures"),
    Column("time", DateTime(timezone=True), nullable=False),
)
