"""The rules of a category, `README.md` sections 2 and 4."""

from vault.catalogue.field_rules import FieldCheck
from vault.catalogue.files import CategoryFile
from vault.catalogue.schema import DOCUMENT_DATE, TIERS

DISPLAY_RULES = ("months", "validity", "until", "while-consented", "never")
ADVERSE = ("always", "never", "when")


class CategoryCheck:
    """The rules of one category, in the order of their numbers."""

    def __init__(self, of: CategoryFile) -> None:
        self._of = of
        self._files = of.files
        self._category = of.category

    def run(self) -> None:
        """Raises `CatalogueError` for the first rule the category breaks."""
        self._check_references()
        self._check_reach()
        self._check_adverse()
        for field in self._category.fields.values():
            FieldCheck(self._of, field).run()
        self._check_display()

    def _check_references(self) -> None:
        category, files = self._category, self._files
        known = {
            "bases": ({basis.code for basis in files.bases.bases}, category.bases),
            "exemptions": ({basis.code for basis in files.bases.exemptions}, category.exemptions),
            "requesters": ({kind.code for kind in files.requesters.body_kinds}, category.requesters or ()),
            "display.source": ({source.code for source in files.sources.sources}, (category.display.source,)),
        }
        for place, (codes, named) in known.items():
            if not codes.issuperset(named):
                raise self._of.broken(
                    "1.5",
                    f"{place} names a code the pack does not define",
                    "Define it, or name another.",
                    place,
                )

    def _check_reach(self) -> None:
        category = self._category
        if category.tier not in TIERS:
            raise self._of.broken("2.1", "the tier is unknown", "Use T1, T2 or T3.", "tier")
        if not category.bases:
            raise self._of.broken(
                "2.2",
                "no basis allows collection",
                "Name at least one basis; without one it may not exist.",
                "bases",
            )
        if category.tier == TIERS[-1] and category.requesters is None:
            raise self._of.broken(
                "2.3",
                "sensitive data does not say who may ask for it",
                "List the kinds of body in requesters; an empty list means nobody.",
                "requesters",
            )
        if not category.fields:
            raise self._of.broken(
                "2.10", "the category has no field", "Declare its fields, or remove it.", "fields"
            )

    def _check_adverse(self) -> None:
        category = self._category
        if category.adverse not in ADVERSE:
            raise self._of.broken("2.7", "adverse is unknown", f"Use one of {', '.join(ADVERSE)}.", "adverse")
        if (category.adverse == "when") != (category.adverse_when is not None):
            raise self._of.broken(
                "2.7",
                "adverse and adverse_when contradict each other",
                'Give adverse_when with adverse = "when".',
                "adverse",
            )
        if category.adverse_when is not None:
            self._of.check_condition(category.adverse_when, "2.7", "adverse_when")
        if category.adverse != "never":
            self._check_protection()
        if category.exemptions and not category.notice:
            raise self._of.broken(
                "2.9",
                "there are exemptions from a notice nobody gives",
                "Set notice = true or drop them.",
                "exemptions",
            )
        if category.opt_in and category.adverse != "never":
            raise self._of.broken(
                "2.8", "nobody opts in to adverse data", 'Set adverse = "never", or opt_in = false.', "opt_in"
            )

    def _check_protection(self) -> None:
        category, adverse = self._category, self._files.pack.adverse
        if not category.effective_document:
            raise self._of.broken(
                "2.4",
                "adverse data needs no document",
                "Set effective_document = true: a finding rests on a legally effective document.",
                "effective_document",
            )
        if adverse.notice and not category.notice:
            raise self._of.broken(
                "2.5",
                "adverse data needs no notice",
                "Set notice = true: the person is told before such data is supplied.",
                "notice",
            )
        if not category.age_gate:
            raise self._of.broken(
                "2.6",
                "adverse data has no age gate",
                "Set age_gate = true: minors' conduct is sealed.",
                "age_gate",
            )

    def _check_display(self) -> None:
        category, rule = self._category, self._category.display
        if rule.rule not in DISPLAY_RULES:
            raise self._of.broken(
                "4.1",
                "the display rule is unknown",
                f"Use one of {', '.join(DISPLAY_RULES)}.",
                "display.rule",
            )
        anchored = rule.rule in {"months", "validity", "until"}
        if anchored != bool(rule.anchor) or (anchored and not self._is_anchor(rule.anchor)):
            raise self._of.broken(
                "4.2",
                "the anchor is unknown" if anchored else "nothing is counted, so there is no anchor",
                "Use document_date or a date field of the category; while-consented and never have none.",
                "display.anchor",
            )
        self._check_months()
        if category.adverse != "never" and rule.rule not in {"months", "until"}:
            raise self._of.broken(
                "4.5",
                "adverse data would be shown without end",
                'Use the rule "months" or "until".',
                "display.rule",
            )
        if category.opt_in != (rule.rule == "while-consented"):
            raise self._of.broken(
                "2.8",
                "opt-in data is shown while the person consents, and no other is",
                'Use opt_in = true together with the rule "while-consented".',
                "opt_in",
            )
        if rule.rule != "never" and not self._is_start(rule.start):
            raise self._of.broken(
                "4.6",
                "a record may lack the date from which display starts",
                "Start at document_date with effective_document = true, or at a required date field.",
                "display.start",
            )

    def _check_months(self) -> None:
        rule = self._category.display
        if (rule.rule == "months") != (rule.max_months is not None):
            raise self._of.broken(
                "4.3",
                "the longest display is missing"
                if rule.rule == "months"
                else "months are counted by no rule",
                'Give max_months with the rule "months", and with no other.',
                "display.max_months",
            )
        if rule.max_months is None:
            if rule.min_months or rule.tier:
                raise self._of.broken(
                    "4.3",
                    "months are counted by no rule",
                    'Drop min_months and tier, or use "months".',
                    "display.tier",
                )
            return
        if not 0 <= rule.min_months <= rule.max_months:
            raise self._of.broken(
                "4.3",
                "the shortest display is longer than the longest",
                "Make min_months at least 0 and at most max_months.",
                "display.min_months",
            )
        if rule.tier:
            tiers = {tier.code: tier for tier in self._files.pack.display_tiers}
            tier = tiers.get(rule.tier)
            if tier is None:
                raise self._of.broken(
                    "1.5", "the display tier is unknown", "Use one that pack.toml defines.", "display.tier"
                )
            if rule.min_months < tier.min_months or rule.max_months > tier.max_months:
                raise self._of.broken(
                    "4.4",
                    f"the months leave display tier {tier.code}",
                    f"Stay between {tier.min_months} and {tier.max_months} months.",
                    "display.max_months",
                )
        longest = self._files.pack.adverse.months
        if self._category.adverse != "never" and rule.max_months > longest:
            raise self._of.broken(
                "4.5",
                "adverse data would be shown too long",
                f"Show it at most {longest} months ({self._files.pack.adverse.source}).",
                "display.max_months",
            )

    def _is_anchor(self, name: str) -> bool:
        if name == DOCUMENT_DATE:
            return self._category.effective_document
        field = self._category.fields.get(name)
        return field is not None and field.kind == "date"

    def _is_start(self, name: str) -> bool:
        if name == DOCUMENT_DATE:
            return self._category.effective_document
        field = self._category.fields.get(name)
        return field is not None and field.kind == "date" and field.required
