"""Tables of the vault (schema `vault`). Every per-person table leads its key with `subject_id`."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)

metadata = MetaData(schema="vault")
_now = text("now()")

# Versions of the provider's keys `root` and `index`, which are never here: one of each makes all that is new.
key_version = Table(
    "key_version",
    metadata,
    Column("name", Text, primary_key=True),
    Column("version", SmallInteger, primary_key=True, autoincrement=False),
    Column("made_at", DateTime(timezone=True), nullable=False, server_default=_now),
    Column("retired_at", DateTime(timezone=True), comment="since when a newer one makes all that is new"),
    Column("emptied_at", DateTime(timezone=True), comment="since when nothing here needs it"),
    Column("destroyed_at", DateTime(timezone=True)),
    Column("provider", Text, nullable=False, server_default="file", comment="in which it lives"),
    CheckConstraint(
        "(emptied_at IS NULL OR retired_at IS NOT NULL) AND (destroyed_at IS NULL OR emptied_at IS NOT NULL)",
        name="order",
    ),
)
Index(
    "key_version_one_is_in_use",
    key_version.c.name,
    unique=True,
    postgresql_where=key_version.c.retired_at.is_(None),
)

# Label master, payload key, signing keys, keys of digests and hashes: each wrapped by the root key, which is
# never here.
system_key = Table(
    "system_key",
    metadata,
    Column("name", Text, primary_key=True),
    Column("version", SmallInteger, primary_key=True, autoincrement=False),
    Column("wrapped", LargeBinary, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=_now),
    Column("root_version", SmallInteger, nullable=False, comment="of the root key that wrapped it"),
)

# Later versions of those keys of the system that every process uses from one moment on (`announced`).
announced_key = Table(
    "announced_key",
    metadata,
    Column("name", Text, primary_key=True),
    Column(
        "version",
        SmallInteger,
        primary_key=True,
        autoincrement=False,
        comment="of the key; 1 is the first and stands in no row",
    ),
    Column("announced_at", DateTime(timezone=True), nullable=False),
    Column(
        "in_use_from",
        DateTime(timezone=True),
        nullable=False,
        comment="from then on until a later one is",
    ),
    CheckConstraint("version > 1", name="version"),
    CheckConstraint("in_use_from >= announced_at", name="period"),
)

# The row of a month outlives its key, so that no second one is ever made for it.
expiry_key = Table(
    "expiry_key",
    metadata,
    Column("expiry_id", Integer, primary_key=True, autoincrement=False, comment="yyyymm"),
    Column("wrapped", LargeBinary, comment="null once the month has ended"),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=_now),
    Column("ended_at", DateTime(timezone=True)),
    Column(
        "records",
        BigInteger,
        nullable=False,
        server_default=text("0"),
        comment="how many record versions were removed with it",
    ),
    Column("destroyed_at", DateTime(timezone=True)),
    Column(
        "final_on", Date, comment="when no backup opens it any more; null where its provider keeps the key"
    ),
    CheckConstraint("(wrapped IS NULL) = (ended_at IS NOT NULL)", name="ended"),
    CheckConstraint("destroyed_at IS NULL OR ended_at IS NOT NULL", name="destroyed"),
)

subject = Table(
    "subject",
    metadata,
    Column("subject_id", Uuid, primary_key=True),
    Column("wrapped_key", LargeBinary, nullable=False),
    Column("stream_id", LargeBinary, nullable=False, unique=True),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=_now),
    Column("root_version", SmallInteger, nullable=False, comment="of the root key that wrapped it"),
    Column("joined", Uuid, comment="shared with the other identities of the same person, if it is joined"),
)
Index("subject_joined", subject.c.joined, postgresql_where=subject.c.joined.is_not(None))

identifier = Table(
    "identifier",
    metadata,
    Column("subject_id", ForeignKey(subject.c.subject_id), primary_key=True),
    Column("scheme", Text, primary_key=True),
    Column("blind", LargeBinary, nullable=False),
    Column("key_version", SmallInteger, nullable=False),
    UniqueConstraint("scheme", "blind"),
)

# One row per version; versions are immutable, so a log entry that names one fixes what was opened.
record = Table(
    "record",
    metadata,
    Column("subject_id", ForeignKey(subject.c.subject_id), primary_key=True),
    Column("record_id", Uuid, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("category", Text, nullable=False),
    Column("furnisher", Uuid, nullable=False),
    Column("reference", LargeBinary, nullable=False, comment="keyed digest of the furnisher's reference"),
    Column("content", LargeBinary, nullable=False, comment="keyed digest of the submission"),
    Column("basis", Text, nullable=False),
    Column("display_from", Date, nullable=False),
    Column("display_until", Date, comment="last day shown; null while no end is known"),
    Column("how_counted", Text, nullable=False),
    Column("state", Text, nullable=False, comment="shown, held, repaired, annulled, sealed"),
    Column("expiry_id", ForeignKey(expiry_key.c.expiry_id), nullable=False),
    Column("wrapped_key", LargeBinary, nullable=False),
    Column("key_check", LargeBinary, nullable=False),
    Column("fields", ARRAY(Text), nullable=False),
    Column("sealed", ARRAY(LargeBinary), nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=_now),
    Column("superseded", Boolean, nullable=False, server_default=text("false")),
    UniqueConstraint("furnisher", "reference", "version"),
)
Index("record_by_expiry", record.c.expiry_id)
# Whose stream a person's was who is erased, for as long as the log says something of them.
erased_subject = Table(
    "erased_subject",
    metadata,
    Column("subject_id", Uuid, primary_key=True),
    Column("stream_id", LargeBinary, nullable=False, unique=True),
)

# What ended before its time, so that it need not hang on its own month.
Index(
    "record_shown_no_more",
    record.c.expiry_id,
    postgresql_where=text("superseded OR state = ANY (ARRAY['annulled', 'repaired'])"),
)
# What lasts longer than the month it hangs on, so that it is found beside all that ends with its month.
Index(
    "record_to_carry",
    record.c.expiry_id,
    postgresql_where=text(
        "NOT superseded AND state <> ALL (ARRAY['annulled', 'repaired'])"
        " AND (display_until IS NULL OR"
        " extract(year FROM display_until) * 100 + extract(month FROM display_until) > expiry_id)"
    ),
)

# What the rows of a whole file would make stand (whole.py): written and read in one transaction that is never
# committed. The application role may make no temporary tables.
examined = Table(
    "examined",
    metadata,
    Column("run", Uuid, primary_key=True),
    Column("reference", LargeBinary, primary_key=True),
    Column("owner", LargeBinary, nullable=False),
    Column("record_id", Uuid, nullable=False),
    Column("version", Integer, nullable=False),
    Column("category", Text, nullable=False),
    Column("shown", Boolean, nullable=False),
    Column("contents", ARRAY(LargeBinary), nullable=False),
    prefixes=["UNLOGGED"],
)

# How well a body furnishes (quality.py): numbers, and nothing of a person.
furnishing_count = Table(
    "furnishing_count",
    metadata,
    Column("body_id", Uuid, primary_key=True),
    Column("month", Integer, primary_key=True, autoincrement=False, comment="yyyymm"),
    Column("measure", Text, primary_key=True),
    Column("key", Text, primary_key=True, comment="category, age in days, reason or rule"),
    Column("records", BigInteger, nullable=False),
    CheckConstraint("measure IN ('enrolled', 'late', 'corrected', 'rejected')", name="measure"),
    CheckConstraint("records > 0", name="records"),
)

# One authorization with delayed notice about one person; its queries stand in a stream of their own.
covert_case = Table(
    "covert_case",
    metadata,
    Column("subject_id", ForeignKey(subject.c.subject_id), primary_key=True),
    Column("authorization_id", Uuid, primary_key=True),
    Column("body_id", Uuid, nullable=False),
    Column("stream_id", LargeBinary, nullable=False, unique=True),
    Column("court_reference", Text, nullable=False),
    Column("opened_at", DateTime(timezone=True), nullable=False),
    Column(
        "ends_at", DateTime(timezone=True), nullable=False, comment="from then on nothing is covert any more"
    ),
    Column("disclosed_at", DateTime(timezone=True)),
    CheckConstraint("length(btrim(court_reference)) > 0", name="court_reference"),
    CheckConstraint("ends_at > opened_at", name="period"),
    CheckConstraint("disclosed_at >= ends_at", name="disclosure"),
)
# What is published of them once a month has ended: numbers, and the entry that committed to these.
covert_count = Table(
    "covert_count",
    metadata,
    Column("month", Integer, primary_key=True, autoincrement=False, comment="yyyymm, UTC"),
    Column("opened", Integer, nullable=False),
    Column("standing", Integer, nullable=False),
    Column("disclosed", Integer, nullable=False),
    Column("entry_index", BigInteger, nullable=False),
    Column("opening", Text, nullable=False, comment="of that entry, JSON"),
    Column("origin", Text, nullable=False, comment="of the log that has the entry"),
)
Index("covert_case_due", covert_case.c.ends_at, postgresql_where=covert_case.c.disclosed_at.is_(None))

# *I don't recognise this query*: how a case stands, and where the log has it. Whose it is, and about
# which query, stands in the sealed payload of that entry alone.
access_case = Table(
    "access_case",
    metadata,
    Column("case_id", Uuid, primary_key=True, comment="keyed digest of person and entry"),
    Column("state", Text, nullable=False),
    Column("log", SmallInteger, nullable=False, server_default="1", comment="in which it was opened"),
    Column("opened_index", BigInteger, nullable=False, comment="of the entry that opened it"),
    Column("answered_index", BigInteger, comment="of the entry that answers it"),
    Column("opened_at", DateTime(timezone=True), nullable=False),
    Column("changed_at", DateTime(timezone=True), nullable=False),
    UniqueConstraint("log", "opened_index", name="access_case_opened_index_key"),
    CheckConstraint("state IN ('open', 'taken up', 'answered')", name="state"),
    CheckConstraint("(state = 'answered') = (answered_index IS NOT NULL)", name="answer"),
)

# Where the log has flags; what they say is sealed there.
flag = Table(
    "flag",
    metadata,
    Column("log", SmallInteger, primary_key=True, autoincrement=False, server_default="1"),
    Column("flag_index", BigInteger, primary_key=True, autoincrement=False, comment="of its entry"),
    Column("raised_at", DateTime(timezone=True), nullable=False),
)

# How far the log's entries were watched for flags.
watched = Table(
    "watched",
    metadata,
    Column("log", SmallInteger, primary_key=True, autoincrement=False),
    Column("size", BigInteger, nullable=False),
)

# By which it is told that a key which makes MACs is the one it was (FORMAT 7.2).
key_check = Table(
    "key_check",
    metadata,
    Column("name", Text, primary_key=True),
    Column("version", SmallInteger, primary_key=True, autoincrement=False),
    Column("value", LargeBinary, nullable=False, comment="MAC of a known message"),
)

# What retention must not remove while a proceeding needs it. A hold keeps rows, and shows nothing to anybody.
hold = Table(
    "hold",
    metadata,
    Column("hold_id", Uuid, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("object_id", Uuid, nullable=False, comment="a person, or a case of a query not recognised"),
    Column("reason", Text, nullable=False),
    Column("reference", Text, nullable=False),
    Column("placed_at", DateTime(timezone=True), nullable=False),
    Column("lifted_at", DateTime(timezone=True)),
    CheckConstraint("kind IN ('person', 'case')", name="kind"),
    CheckConstraint("lifted_at >= placed_at", name="period"),
)
Index(
    "hold_one_stands",
    hold.c.kind,
    hold.c.object_id,
    unique=True,
    postgresql_where=hold.c.lifted_at.is_(None),
)

# Of which months the payloads were removed, once their retention had ended.
removal = Table(
    "removal",
    metadata,
    Column("log", SmallInteger, primary_key=True, autoincrement=False),
    Column(
        "month",
        Integer,
        primary_key=True,
        autoincrement=False,
        comment="yyyymm: their retention ended",
    ),
    Column("removed_at", DateTime(timezone=True), nullable=False),
    Column("payloads", BigInteger, nullable=False, comment="those held back excepted"),
)
