"""A citizen with a browser: signs in, decides about a consent, sees who asked, takes a consent back."""

from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from demo.browser import Browser, Form, Page
from demo.narrator import StoryError
from demo.people import Invented


class Citizen:
    """One invented person and their browser.

    Args:
        browser: theirs, nobody signed in.
        person: who they are.
    """

    def __init__(self, browser: Browser, person: Invented) -> None:
        self._browser = browser
        self.person = person

    async def open(self, url: str) -> Page:
        """Opens a page, and signs in at the identity provider when that is where it leads.

        Raises:
            StoryError: the provider does not ask who one is, or the page does not open.
        """
        page = _opened(await self._browser.open(url))
        if urlsplit(page.url).path.startswith("/demo-provider/"):
            chosen = {"number": self.person.number}
            page = _opened(await self._browser.send(page, _form(page, "number"), fill=chosen))
        return page

    async def grant(self, consent_page: Page, without: str) -> dict[str, str]:
        """Grants what is asked for on the page, one field excepted; returns what the body is sent back.

        Raises:
            StoryError: the page has no such field, or the person is not sent back.
        """
        form = _form(consent_page, "decision", "fields")
        if ("fields", without) not in form.boxes:
            raise StoryError(f"the consent page does not offer {without}")
        granted = [box for box in form.boxes if box != ("fields", without)]
        back = await self._browser.send(consent_page, form, tick=granted, press=("decision", "grant"))
        return dict(parse_qsl(urlsplit(back.url).query))

    async def ask(self, path: str) -> dict[str, Any]:
        """Asks the API about oneself.

        Raises:
            StoryError: it does not answer.
        """
        answer = await self._browser.get(path)
        if not answer.is_success:
            raise StoryError(f"{path} answered {answer.status_code}")
        body: dict[str, Any] = answer.json()
        return body

    async def withdraw(self, consent_id: str) -> dict[str, Any]:
        """Takes a consent back; returns the answer, with the receipt of that.

        Raises:
            StoryError: the vault does not take it.
        """
        token = (await self.ask("/v1/me"))["csrf_token"]
        answer = await self._browser.post(f"/v1/me/consents/{consent_id}/withdraw", {"X-CSRF-Token": token})
        if not answer.is_success:
            raise StoryError(f"the withdrawal was answered {answer.status_code}")
        body: dict[str, Any] = answer.json()
        return body


def _opened(page: Page) -> Page:
    if page.status != HTTPStatus.OK:
        raise StoryError(f"the page {urlsplit(page.url).path} answered {page.status}: {page.text}")
    return page


def _form(page: Page, *names: str) -> Form:
    try:
        return page.form_with(*names)
    except LookupError as error:
        raise StoryError(str(error)) from None
