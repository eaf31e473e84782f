"""How surely somebody must be who they say for what they want to do: `acr` and how long ago they proved it.

Taking something back, or freezing it, is not among what needs more than being signed in: it has to be as
easy as giving.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from consent.oauth.sign_in import Demand
from vault.server.portal.errors import SignInSettingsError


class Act(StrEnum):
    """What can need more than being signed in."""

    READ = "read"
    GRANT = "grant"
    UNFREEZE = "unfreeze"
    KEYS = "keys"
    APPOINT = "appoint"


SENSITIVE: Final = frozenset(Act) - {Act.READ}
"""What nobody may do who finds a browser that was left alone: the person proves anew who they are."""


@dataclass(frozen=True, slots=True)
class Proof:
    """How somebody signed in.

    Attributes:
        acr: as the provider calls it; None where it did not say.
        authenticated_at: when they proved who they are; None where it did not say.
    """

    acr: str | None
    authenticated_at: datetime | None


@dataclass(frozen=True, slots=True)
class Assurance:
    """What this deployment asks for.

    Attributes:
        acr: of an act, any of which suffices; what is not here needs what reading needs.
        fresh: how long a proof is fresh.
    """

    acr: Mapping[Act, tuple[str, ...]]
    fresh: timedelta

    @classmethod
    def read(cls, text: str, fresh: timedelta) -> "Assurance":
        """From the setting.

        Args:
            text: for instance `read=low high,grant=high`.
            fresh: how long a proof is fresh.

        Raises:
            SignInSettingsError: it names what is no act.
        """
        acr: dict[Act, tuple[str, ...]] = {}
        for part in filter(None, text.split(",")):
            name, _, values = part.partition("=")
            if name not in tuple(Act):
                raise SignInSettingsError(
                    f"CREDITVAULT_SIGN_IN_ACR names {name!r}: name one of {', '.join(Act)}"
                )
            acr[Act(name)] = tuple(values.split())
        return cls(acr, fresh)

    def demand(self, act: Act) -> Demand:
        """How to sign in for this."""
        return Demand(self.acr.get(act, self.acr.get(Act.READ, ())), fresh=act in SENSITIVE)

    def suffices(self, proof: Proof, act: Act, now: datetime) -> bool:
        """Whether somebody who signed in so may do this now."""
        demand = self.demand(act)
        if demand.acr and proof.acr not in demand.acr:
            return False
        return not demand.fresh or (
            proof.authenticated_at is not None and now - proof.authenticated_at <= self.fresh
        )
