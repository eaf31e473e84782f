"""The invented people of the story, by their number among all of them."""

from dataclasses import dataclass

from vault.server.portal.fictitious import fictitious_identity


@dataclass(frozen=True)
class Invented:
    """One of them."""

    number: str
    name: str

    @classmethod
    def of(cls, n: int) -> "Invented":
        """Person `n`, who is also row `n` of the file."""
        return cls(*fictitious_identity(n))

    @property
    def subject(self) -> dict[str, str]:
        """How a body names this person in a query."""
        return {"scheme": "demo-id", "number": self.number}

    @property
    def full_subject(self) -> dict[str, str]:
        """How a furnisher names this person."""
        return {**self.subject, "name": self.name}


ENROLLED = 1_000
CITIZEN = Invented.of(2)
"""Whom the story follows."""
NEIGHBOUR = Invented.of(4)
"""Somebody else with a contract of their own."""
EMPLOYER = Invented.of(6)
DRIVER = Invented.of(8)
STRANGER = Invented.of(5_001)
"""Somebody the vault knows nothing of."""
