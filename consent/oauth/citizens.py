"""What the authorization server needs of people and pages: protocols that the vault implements.

Nothing here tells the server, or a body that watches it, whether someone was known before.
"""

from dataclasses import dataclass
from datetime import date
from typing import Protocol
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from access_log.log import Writing
from consent.oauth.rar import Frequency
from consent.permit import Person
from consent.record import Notice


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A person who is signed in at this moment.

    Attributes:
        subject_id: None until the vault needs to know them.
        csrf: token of the session; a form that is sent must carry it.
        display_name: how the page addresses the person.
    """

    subject_id: UUID | None
    csrf: str
    display_name: str


@dataclass(frozen=True, slots=True)
class AskingBody:
    """The body that asks, as registered: never as it describes itself in the request."""

    name: str
    kind: str
    uscc: str
    address: str
    contact: str


@dataclass(frozen=True, slots=True)
class ConsentView:
    """Everything the consent page shows. Each value was validated; none is markup.

    The page's form is sent by POST to `action` with `client_id`, `request_uri`, `csrf`, `decision` (`grant`
    or `refuse`), `fields` (once for each field granted) and `validity` (days).

    Attributes:
        display_name: of the person who is signed in.
        fields: what is asked for, as `FIN.type`.
        mode: `view`, or `store`: whether the body may keep what it saw.
        validity: days asked for; the person may grant fewer.
        frequency: None where `max_uses` alone bounds the use.
        data_from: first date of the records asked for; None where open.
        data_until: last date.
        redirect_origin: where the answer is sent; Content-Security-Policy `form-action` must allow it.
        frozen: whether the person froze their consents, so that nothing can be granted now.
        mistake: what was wrong with the form just sent, for the person; None at first.
    """

    action: str
    client_id: str
    request_uri: str
    csrf: str
    display_name: str
    body: AskingBody
    purpose: str
    fields: tuple[str, ...]
    mode: str
    validity: int
    frequency: Frequency | None
    max_uses: int | None
    data_from: date | None
    data_until: date | None
    redirect_origin: str
    frozen: bool = False
    mistake: str | None = None


@dataclass(frozen=True, slots=True)
class ShownNotice:
    """The privacy notice that stands on the page, and the language of both (a BCP 47 tag)."""

    notice: Notice
    language: str


class Citizens(Protocol):
    """Sign-in of citizens."""

    async def signed_in(self, request: Request) -> SignedIn | None:
        """Who is signed in; None when nobody is."""

    def may_grant(self, signed_in: SignedIn) -> bool:
        """Whether they signed in surely and recently enough to grant a consent."""

    def sign_in_url(self, return_to: str) -> str:
        """Where to sign in so; afterwards the person comes back to `return_to`, a path of this server."""

    async def person(self, writing: Writing, signed_in: SignedIn) -> Person:
        """The person behind a session, made if the vault did not know them."""


class ConsentPage(Protocol):
    """The pages of the authorization endpoint."""

    def ask(self, request: Request, view: ConsentView) -> Response:
        """The page on which the person grants, narrows or refuses."""

    def notice(self, request: Request) -> ShownNotice:
        """The notice the page shows this person; it goes into the consent record."""

    def sign_in(self, request: Request, url: str) -> Response:
        """The page that leads to the sign-in, for whoever sent a form without having signed in so."""

    def failed(self, request: Request, reason: str) -> Response:
        """The page for a request that cannot be answered; `reason` is a fixed sentence for the person."""


class SubjectHasher(Protocol):
    """The keyed hash under which a token names the person asked about."""

    async def subject_hash(self, scheme: str, number: str) -> str:
        """64 hexadecimal digits, made alike for known and unknown persons.

        Raises:
            SubjectError: the identifier is not well formed.
        """
