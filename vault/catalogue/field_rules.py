"""The rules of a field, `README.md` section 3."""

import re

from vault.catalogue.errors import CatalogueError
from vault.catalogue.files import CategoryFile
from vault.catalogue.schema import DOCUMENT_DATE, TIERS, Field

FIELD_KINDS = ("text", "code", "enum", "class", "date", "boolean", "integer")

_FIELD_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")


class FieldCheck:
    """The rules of one field, in the order of their numbers."""

    def __init__(self, of: CategoryFile, field: Field) -> None:
        self._of = of
        self._field = field

    def run(self) -> None:
        """Raises `CatalogueError` for the first rule the field breaks."""
        self._check_kind()
        self._check_name()
        self._check_values()
        self._check_sizes()
        self._check_relations()

    def _broken(self, rule: str, problem: str, remedy: str) -> CatalogueError:
        return self._of.broken(rule, problem, remedy, self._field.name)

    def _check_kind(self) -> None:
        field = self._field
        forbidden = {kind.code: kind for kind in self._of.files.forbidden.kinds}.get(field.kind)
        if forbidden is not None:
            raise self._broken(
                "3.2",
                f"no field may be of the kind {forbidden.code}: {forbidden.reason} ({forbidden.source})",
                "Remove the field.",
            )
        if field.kind not in FIELD_KINDS:
            raise self._broken("3.1", "the kind is unknown", f"Use one of {', '.join(FIELD_KINDS)}.")
        if field.tier not in TIERS:
            raise self._broken("3.6", "the tier is unknown", "Use T1, T2 or T3.")

    def _check_name(self) -> None:
        field = self._field
        if not _FIELD_NAME.fullmatch(field.name) or field.name == DOCUMENT_DATE:
            raise self._broken(
                "1.3", "the name is malformed or reserved", "Use lower-case words joined by _."
            )
        found = self._of.screen.name(field.name)
        if found is not None and found.level == "never":
            raise self._broken(
                "3.3",
                f"the name is that of forbidden data: {found.reason} ({found.source})",
                "Remove the field.",
            )
        declared = field.sensitive
        if found is not None and declared != found.code:
            raise self._broken(
                "3.3",
                f"the name is that of sensitive data: {found.reason} ({found.source})",
                f'Declare sensitive = "{found.code}", or remove the field.',
            )
        sensitive = {kind.code for kind in self._of.files.forbidden.kinds if kind.level == "warned-consent"}
        if declared and declared not in sensitive:
            raise self._broken("1.5", "the sensitive kind is unknown", "Use one that forbidden.toml defines.")
        if declared and not self._of.category.warned_consent:
            raise self._broken(
                "3.8", "sensitive data needs a warned consent", "Set warned_consent = true in the category."
            )

    def _check_values(self) -> None:
        for value in self._field.values:
            found = self._of.screen.words(value)
            if found is not None:
                raise self._broken(
                    "3.4",
                    f"a value speaks of forbidden data: {found.reason} ({found.source})",
                    "Remove the value.",
                )

    def _check_sizes(self) -> None:
        field, limits = self._field, self._of.files.pack.limits
        longest = {"text": limits.text_length, "code": limits.code_length}.get(field.kind, 0)
        if field.kind == "text" and not field.max_length:
            raise self._broken("3.5", "free text has no longest length", "Give max_length.")
        if not 0 <= field.max_length <= longest:
            raise self._broken("3.5", "max_length is out of bounds", f"Give at most {longest} for this kind.")
        listed = field.kind in {"enum", "class"}
        if listed != bool(field.values) or len(set(field.values)) != len(field.values):
            raise self._broken(
                "3.5",
                "the values do not fit the kind",
                "Give an enum or class distinct values, and no other kind any.",
            )
        if (field.kind == "integer") != (field.minimum is not None and field.maximum is not None):
            raise self._broken(
                "3.5", "the bounds do not fit the kind", "Give an integer, and nothing else, both bounds."
            )
        if field.minimum is not None and field.maximum is not None and field.minimum > field.maximum:
            raise self._broken(
                "3.5", "the least value is above the greatest", "Exchange minimum and maximum."
            )
        if field.future and field.kind != "date":
            raise self._broken("3.5", "only a date may lie ahead", "Drop future.")
        if not field.screened and self._of.category.display.rule != "never":
            raise self._broken(
                "2.11",
                "free text that is shown must be screened",
                "Drop screened = false: only data never shown may.",
            )

    def _check_relations(self) -> None:
        field, fields = self._field, self._of.category.fields
        if field.after:
            other = fields.get(field.after)
            if field.kind != "date" or other is None or other.kind != "date" or other is field:
                raise self._broken(
                    "3.7", "after does not name another date", "Name another date field, on a date field."
                )
        if field.required_when is not None:
            self._of.check_condition(field.required_when, "3.7", field.name)
