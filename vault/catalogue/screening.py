"""Finds forbidden kinds of data by the names of fields and columns and by the words of free text.

Screening is a net for mistakes, not for malice: a furnisher bent on smuggling will find a synonym. What keeps
such data out is that no field for it exists.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping

from vault.catalogue.schema import Forbidden, ForbiddenKind, ForbiddenPattern

# Between `bloodType`'s two words, and between Latin and other scripts written together.
_SEAMS = re.compile(
    r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Za-z0-9])(?=[^\x00-\x7f])|(?<=[^\x00-\x7f])(?=[A-Za-z0-9])"
)
_BETWEEN_WORDS = re.compile(r"[\W_]+")


def _words(text: str) -> str:
    """Reduces text to lower-case words, each between two spaces: ` blood type `."""
    split = _SEAMS.sub(" ", unicodedata.normalize("NFKC", text))
    return f" {_BETWEEN_WORDS.sub(' ', split).strip().casefold()} "


class _Phrases:
    """Many phrases looked for at once. Latin ones match whole words, others match anywhere."""

    def __init__(self, kinds: Iterable[tuple[str, ForbiddenKind]]) -> None:
        self._latin: dict[str, ForbiddenKind] = {}
        self._other: dict[str, ForbiddenKind] = {}
        for phrase, kind in kinds:
            words = _words(phrase).strip()
            if words.isascii():
                self._latin.setdefault(words, kind)
            else:
                self._other.setdefault(words.replace(" ", ""), kind)
        # The longest comes first, so that `blood type` is found before `blood`.
        self._latin_pattern = _alternatives(self._latin, r" (", r")(?= )")
        self._other_pattern = _alternatives(self._other, r"(", r")")

    def find(self, words: str) -> ForbiddenKind | None:
        """Returns the kind of the first phrase in `words`, as `_words` made them."""
        if self._latin_pattern and (found := self._latin_pattern.search(words)):
            return self._latin[found[1]]
        if words.isascii() or not self._other_pattern:
            return None
        other = self._other_pattern.search(words.replace(" ", ""))
        return self._other[other[1]] if other else None


def _alternatives(phrases: Mapping[str, object], before: str, after: str) -> re.Pattern[str] | None:
    if not phrases:
        return None
    ordered = sorted(phrases, key=len, reverse=True)
    return re.compile(before + "|".join(re.escape(phrase) for phrase in ordered) + after)


class Screen:
    """What a pack forbids, ready to be looked for."""

    def __init__(self, forbidden: Forbidden) -> None:
        self._exact = {_words(name): kind for kind in forbidden.kinds for name in kind.exact}
        self._names = _Phrases((name, kind) for kind in forbidden.kinds for name in kind.names)
        self._text = _Phrases((word, kind) for kind in forbidden.kinds for word in kind.words)
        self._patterns = tuple((pattern, re.compile(pattern.regex)) for pattern in forbidden.patterns)

    def name(self, name: str) -> ForbiddenKind | None:
        """Returns the forbidden kind that a field or column of this name would hold."""
        words = _words(name)
        return self._exact.get(words) or self._names.find(words)

    def words(self, text: str) -> ForbiddenKind | None:
        """Returns the forbidden kind that free text speaks of."""
        return self._text.find(_words(text))

    def pattern(self, text: str, *, reference: bool) -> ForbiddenPattern | None:
        """Returns the forbidden pattern in free text, or in a reference."""
        normal = unicodedata.normalize("NFKC", text)
        for pattern, regex in self._patterns:
            if (pattern.everywhere or not reference) and regex.search(normal):
                return pattern
        return None
