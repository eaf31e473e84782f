"""What an examination found: the lowest bad indexes in words, and the number of all the others."""

from dataclasses import dataclass

MOST = 100
"""Findings kept in words; a log that is bad throughout must not fill the memory of who examines it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that does not hold.

    Attributes:
        index: The entry it is about; None where it is about no single one.
        reason: What is wrong, in plain words, without any value of a payload.
    """

    index: int | None
    reason: str


class Findings:
    """Collects findings: one for each entry, the first reason given, and of too many the lowest indexes."""

    def __init__(self) -> None:
        self._of_entries: dict[int, str] = {}
        self._of_the_log: list[str] = []
        self.more = 0

    def add(self, index: int | None, reason: str) -> None:
        """Keeps a finding, or counts it where enough are kept."""
        if index is None:
            if len(self._of_the_log) < MOST:
                self._of_the_log.append(reason)
            else:
                self.more += 1
        elif index not in self._of_entries:
            self._of_entries[index] = reason
            if len(self._of_entries) > MOST:
                del self._of_entries[max(self._of_entries)]
                self.more += 1

    def listed(self) -> tuple[Finding, ...]:
        """What was kept: entries from the lowest index on, then what is about no single one."""
        entries = [Finding(index, self._of_entries[index]) for index in sorted(self._of_entries)]
        return (*entries, *(Finding(None, reason) for reason in self._of_the_log))
