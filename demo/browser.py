"""A small browser: follows redirects, keeps cookies, fills in forms. No page needs a script."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Self
from urllib.parse import urljoin, urlsplit

import httpx

_MOST_REDIRECTS = 10
_SECONDS = 60.0


@dataclass
class Form:
    """A form as a page shows it.

    Attributes:
        action: where it is sent.
        method: `get` or `post`.
        fields: names and values that would be sent as it stands, boxes excepted.
        boxes: names and values of boxes one can tick, ticked or not.
        buttons: names and values of the buttons.
    """

    action: str
    method: str
    fields: list[tuple[str, str]] = field(default_factory=list)
    boxes: list[tuple[str, str]] = field(default_factory=list)
    buttons: list[tuple[str, str]] = field(default_factory=list)

    @property
    def names(self) -> set[str]:
        """The names of everything in it."""
        return {name for name, _ in (*self.fields, *self.boxes, *self.buttons)}


@dataclass(frozen=True)
class Page:
    """A page that was opened.

    Attributes:
        url: its address.
        status: HTTP status.
        text: what a person reads.
        forms: its forms.
    """

    url: str
    status: int
    text: str
    forms: tuple[Form, ...]

    def form_with(self, *names: str) -> Form:
        """The first form that has all of these names.

        Raises:
            LookupError: there is none.
        """
        for form in self.forms:
            if form.names >= set(names):
                return form
        raise LookupError(f"the page {urlsplit(self.url).path} has no form with {', '.join(names)}")


class Browser:
    """One person's browser. Use it in an `async with` block.

    Args:
        base: the vault's address.
    """

    def __init__(self, base: str) -> None:
        self._base = base
        self._http = httpx.AsyncClient(base_url=base, timeout=_SECONDS, trust_env=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self._http.aclose()

    async def open(self, url: str) -> Page:
        """Opens an address and follows where it leads, as far as it stays with the vault."""
        return await self._follow(await self._http.get(url))

    async def send(
        self,
        page: Page,
        form: Form,
        *,
        fill: Mapping[str, str] | None = None,
        tick: Collection[tuple[str, str]] = (),
        press: tuple[str, str] | None = None,
    ) -> Page:
        """Fills in a form, presses a button of it, and follows where that leads.

        Args:
            page: where the form stands.
            form: the form.
            fill: new values by name.
            tick: boxes, as name and value; no other is ticked.
            press: the button, where there is more than one.
        """
        fill = fill or {}
        kept = [pair for pair in form.fields if pair[0] not in fill]
        pairs = [*kept, *fill.items(), *tick, *([press] if press is not None else [])]
        answer = await self._http.post(urljoin(page.url, form.action), data=_grouped(pairs))
        return await self._follow(answer)

    async def get(self, path: str) -> httpx.Response:
        """Asks the API, with the session's cookie."""
        return await self._http.get(path)

    async def post(self, path: str, headers: Mapping[str, str]) -> httpx.Response:
        """Sends the API a command, with the session's cookie."""
        return await self._http.post(path, headers=headers)

    async def _follow(self, answer: httpx.Response) -> Page:
        for _ in range(_MOST_REDIRECTS):
            if not answer.is_redirect:
                break
            url = urljoin(str(answer.url), answer.headers["location"])
            if not url.startswith(f"{self._base}/"):
                # Back to whoever sent the person here; their own server takes it from there.
                return Page(url, answer.status_code, "", ())
            answer = await self._http.get(url)
        reader = _Reader()
        reader.feed(answer.text)
        words = " ".join(" ".join(reader.words).split())
        return Page(str(answer.url), answer.status_code, words, tuple(reader.forms))


class _Reader(HTMLParser):
    """Reads words and forms."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self.forms: list[Form] = []
        self._silent = 0
        self._form: Form | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag in ("script", "style"):
            self._silent += 1
        elif tag == "form":
            self._form = Form(given.get("action", ""), given.get("method", "get").lower())
            self.forms.append(self._form)
        elif self._form is not None and "name" in given:
            self._control(self._form, tag, given)

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style"):
            self._silent -= 1
        elif tag == "form":
            self._form = None

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.words.append(data)

    @staticmethod
    def _control(form: Form, tag: str, given: Mapping[str, str]) -> None:
        kind = given.get("type", "text" if tag == "input" else "submit").lower()
        pair = given["name"], given.get("value", "")
        if tag == "button" or (tag == "input" and kind == "submit"):
            form.buttons.append(pair)
        elif tag == "input":
            (form.boxes if kind == "checkbox" else form.fields).append(pair)


def _grouped(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Repeated names as lists, which is how they are encoded one after the other."""
    grouped: dict[str, list[str]] = {}
    for name, value in pairs:
        grouped.setdefault(name, []).append(value)
    return grouped
