"""The shape of a pack's files, decoded strictly: an unknown member or a wrong type does not load.

What a shape cannot say (which codes exist, what contradicts what) is in `rules`.
Months are calendar months; codes are ASCII.
"""

from collections.abc import Mapping

from msgspec import Struct

TIERS = ("T1", "T2", "T3")
"""Low, personal, sensitive; they compare as strings."""

DOCUMENT_DATE = "document_date"
"""The anchor that every record resting on a document has."""

FieldValue = str | int | bool


class Limits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds that hold for every category of the pack."""

    adult_years: int
    text_length: int
    code_length: int
    open_months: int


class Adverse(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long adverse data may live after its conduct ended, and whether the person is told before."""

    months: int
    anchor: str
    notice: bool
    source: str


class DisplayTier(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A band of display periods that a source of law prescribes."""

    code: str
    title: str
    title_local: str = ""
    min_months: int
    max_months: int
    source: str


class Pack(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`pack.toml`: which law this is."""

    schema: int
    code: str
    version: str
    jurisdiction: str
    title: str
    title_local: str = ""
    language: str = ""
    timezone: str
    limits: Limits
    adverse: Adverse
    display_tiers: tuple[DisplayTier, ...]


class Source(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A text of law. `verified`: what the pack takes from it was checked against a source."""

    code: str
    title: str
    title_local: str = ""
    verified: bool


class Sources(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`sources.toml`."""

    sources: tuple[Source, ...]


class Basis(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What allows a record to be collected, or an exemption from giving notice of it."""

    code: str
    title: str
    title_local: str = ""
    source: str
    article: str = ""
    verified: bool


class Bases(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`bases.toml`."""

    bases: tuple[Basis, ...]
    exemptions: tuple[Basis, ...] = ()


class BodyKind(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A kind of body that asks. `tier`: how far it reaches where a category does not say."""

    code: str
    title: str
    title_local: str = ""
    tier: str


class Purpose(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why a body asks, and the categories that purpose reaches."""

    code: str
    title: str
    title_local: str = ""
    categories: tuple[str, ...]


class Requesters(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`requesters.toml`."""

    body_kinds: tuple[BodyKind, ...]
    purposes: tuple[Purpose, ...]


class ForbiddenKind(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A kind of data the vault may not hold, and how it betrays itself.

    Attributes:
        level: `never`, or `warned-consent`: only with written consent after a warning.
        names: Parts of field and column names.
        exact: Whole field and column names.
        words: What free text may not say.
    """

    code: str
    title: str
    title_local: str = ""
    level: str
    reason: str
    source: str
    article: str = ""
    names: tuple[str, ...]
    exact: tuple[str, ...] = ()
    words: tuple[str, ...] = ()


class ForbiddenPattern(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A regular expression that free text may not match; `everywhere`: nor may references."""

    code: str
    title: str
    regex: str
    everywhere: bool = False


class Forbidden(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`forbidden.toml`."""

    kinds: tuple[ForbiddenKind, ...]
    patterns: tuple[ForbiddenPattern, ...] = ()


class Condition(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Holds where a field of the record has one of these values."""

    field: str
    values: tuple[str | bool, ...]

    def holds(self, values: Mapping[str, object]) -> bool:
        """Says whether `values` meets the condition; an absent field does not."""
        return self.field in values and values[self.field] in self.values


class Field(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One field of a category.

    Attributes:
        name: Its name inside the category.
        category: The category's code.
        kind: `text`, `code`, `enum`, `class` (ordered values), `date`, `boolean` or `integer`.
        tier: How sensitive it is; the category's unless the pack says otherwise.
        required: A record without it is refused.
        max_length: Characters, for `text` and `code`.
        values: What an `enum` or `class` may be, a class from low to high.
        minimum: Of an integer, inclusive.
        maximum: Of an integer, inclusive.
        future: Whether a date may lie ahead.
        after: The date field this one may not precede.
        required_when: Makes it required depending on another field.
        screened: Whether free text is searched for what is forbidden.
        sensitive: The kind of data, among those that need a warned consent, that this field is.
    """

    name: str
    category: str
    kind: str
    title: str
    title_local: str = ""
    tier: str
    required: bool = False
    max_length: int = 0
    values: tuple[str, ...] = ()
    minimum: int | None = None
    maximum: int | None = None
    future: bool = False
    after: str = ""
    required_when: Condition | None = None
    screened: bool = True
    sensitive: str = ""

    @property
    def full_name(self) -> str:
        """The name a query uses, as `FIN.type`."""
        return f"{self.category}.{self.name}"


class DisplayRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """From when until when a record may be shown.

    Attributes:
        rule: `months` (that many after the anchor), `validity` (up to and with the anchor), `until` (up to
            the day before the anchor), `while-consented` or `never`.
        tier: The display tier whose bounds the months keep.
        anchor: `document_date` or a date field of the category.
        min_months: Months after the anchor before which repair cannot be asked for.
        max_months: Months after the anchor when display ends.
        start: Where display begins; `document_date` or a date field.
        source: The text of law that says so.
    """

    rule: str
    tier: str = ""
    anchor: str = ""
    min_months: int = 0
    max_months: int | None = None
    start: str = DOCUMENT_DATE
    source: str


class Category(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One kind of record.

    Attributes:
        tier: How sensitive it is.
        bases: Codes of the bases a furnisher may cite.
        requesters: The kinds of body that reach it, and no other; None: every kind whose tier suffices.
        adverse: `always`, `never` or `when` (then `adverse_when` says when).
        effective_document: Whether a record must rest on a legally effective document.
        notice: Whether adverse data needs proof of notice, or an exemption.
        exemptions: Codes of the exemptions from notice that are allowed.
        age_gate: Whether no date of the record may lie before the person came of age.
        opt_in: Whether it is held only at the person's own wish.
        warned_consent: Whether it may have sensitive fields, with written consent after a warning.
    """

    code: str
    title: str
    title_local: str = ""
    tier: str
    bases: tuple[str, ...]
    requesters: tuple[str, ...] | None = None
    adverse: str
    adverse_when: Condition | None = None
    effective_document: bool
    notice: bool
    exemptions: tuple[str, ...] = ()
    age_gate: bool
    opt_in: bool
    warned_consent: bool = False
    display: DisplayRule
    fields: Mapping[str, Field]

    def is_adverse(self, values: Mapping[str, object]) -> bool:
        """Says whether a record with these field values speaks against the person."""
        if self.adverse_when is not None:
            return self.adverse_when.holds(values)
        return self.adverse == "always"
