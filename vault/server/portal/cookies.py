"""Cookies that hold a ticket and nothing else (RFC 6265bis): for this host alone, out of reach of scripts."""

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from vault.crypto.tickets import Ticket


@dataclass(frozen=True, slots=True)
class TicketCookie:
    """One cookie.

    Attributes:
        name: with the prefix `__Host-` where it is sent over https alone.
        secure: whether it is.
    """

    name: str
    secure: bool

    @classmethod
    def of(cls, name: str, issuer: str) -> "TicketCookie":
        """The cookie of this name for a server at `issuer`: plain on http, which is loopback alone."""
        secure = issuer.startswith("https://")
        return cls(f"__Host-{name}" if secure else name, secure)

    def read(self, request: Request) -> Ticket | None:
        """The ticket a request shows, if it shows one."""
        return Ticket.read(request.cookies.get(self.name))

    def give(self, response: Response, ticket: Ticket) -> None:
        """Gives a ticket until the browser is closed; how long it lasts is for its row to say."""
        # Lax, because a person comes back here from the identity provider and from the body that asks.
        response.set_cookie(
            self.name, ticket.text, path="/", secure=self.secure, httponly=True, samesite="lax"
        )

    def take_back(self, response: Response) -> None:
        """Makes the browser forget it."""
        response.delete_cookie(self.name, path="/", secure=self.secure, httponly=True, samesite="lax")
