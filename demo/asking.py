"""What a body does with an answer: it verifies the receipt before it believes anything."""

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from uuid import UUID

import httpx

from access_log.entry import EntryType
from access_log.errors import AccessLogError
from access_log.payload import check_opening
from access_log.receipt import VerifiedReceipt, verify_receipt
from demo.client import BodyClient
from demo.narrator import Narrator, StoryError
from demo.people import Invented
from demo.stage import Stage


@dataclass(frozen=True)
class Inquiry:
    """One body's way of asking about one person: client, token, and the query its token is for.

    Attributes:
        client: the body's client.
        token: its access token.
        officer: who asks inside the body.
        subject: whom it asks about.
        purpose: what for.
        fields: what.
        case: its own reference of the case.
    """

    client: BodyClient
    token: str
    officer: UUID
    subject: Invented
    purpose: str
    fields: tuple[str, ...]
    case: str

    def body(
        self,
        *,
        subject: Invented | None = None,
        purpose: str | None = None,
        fields: Sequence[str] | None = None,
    ) -> dict[str, Any]:
        """The query, or one that differs in something."""
        return {
            "subject": (subject or self.subject).subject,
            "purpose": purpose or self.purpose,
            "fields": list(fields or self.fields),
            "officer": str(self.officer),
            "case_reference": self.case,
        }

    async def ask(self, **other: Any) -> httpx.Response:  # noqa: ANN401 -- the members of `body`
        """Asks."""
        return await self.client.query(self.token, self.body(**other))


@dataclass(frozen=True)
class Logged:
    """An answer whose receipt and opening were verified.

    Attributes:
        answer: the JSON of the answer.
        index: of its entry in the log.
    """

    answer: dict[str, Any]
    index: int

    @property
    def records(self) -> list[dict[str, Any]]:
        """What was disclosed."""
        found: list[dict[str, Any]] = self.answer["records"]
        return found


def permitted(stage: Stage, response: httpx.Response) -> Logged:
    """An answer of a permitted query, verified.

    Raises:
        StoryError: it was not permitted, or its receipt does not verify.
    """
    if response.status_code != HTTPStatus.OK:
        raise StoryError(
            f"a query that should be permitted was answered {response.status_code}: {response.text}"
        )
    return _verified(stage, response.json(), EntryType.QUERY_PERMITTED)


def refused(stage: Stage, narrator: Narrator, response: httpx.Response, rule: str, words: str) -> Logged:
    """Checks that a query was refused by this very rule, with a receipt that verifies.

    Raises:
        StoryError: it was not.
    """
    answer = response.json()
    narrator.check(
        response.status_code == HTTPStatus.FORBIDDEN and answer.get("rule") == rule,
        f"{words}: refused by {rule}. {answer.get('detail', '')}",
    )
    return _verified(stage, answer, EntryType.QUERY_REFUSED)


def _verified(stage: Stage, answer: dict[str, Any], kind: EntryType) -> Logged:
    try:
        receipt: VerifiedReceipt = verify_receipt(answer["receipt"], stage.log_keys)
        opened = check_opening(receipt.entry, answer["opening"])
    except AccessLogError as error:
        raise StoryError(f"the receipt of an answer does not verify: {error}") from error
    decision = "permitted" if kind is EntryType.QUERY_PERMITTED else "refused"
    if receipt.entry.type is not kind or opened["decision"] != decision:
        raise StoryError("the receipt of an answer is of another entry")
    return Logged(answer, receipt.index)
