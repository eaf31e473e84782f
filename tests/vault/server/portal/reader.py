"""Reads an HTML page as a browser without scripts would: its words, its links, its forms."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

import httpx


@dataclass
class Form:
    action: str
    hidden: dict[str, str] = field(default_factory=dict)
    boxes: dict[str, list[str]] = field(default_factory=dict)
    ticked: list[str] = field(default_factory=list)
    buttons: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Page:
    response: httpx.Response
    text: str
    forms: list[Form]
    links: list[str]

    @property
    def status(self) -> int:
        return self.response.status_code

    @property
    def path(self) -> str:
        return self.response.url.path

    def form_to(self, action: str) -> int:
        """The position of the form sent to an action that begins so."""
        return next(at for at, form in enumerate(self.forms) if form.action.startswith(action))


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.words: list[str] = []
        self.forms: list[Form] = []
        self.links: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append(Form(given["action"]))
        elif tag == "a":
            self.links.append(given["href"])
        elif tag == "input" and given.get("type") in ("hidden", "number"):
            self.forms[-1].hidden[given["name"]] = given["value"]
        elif tag == "input" and given.get("type") == "checkbox":
            self.forms[-1].boxes.setdefault(given["name"], []).append(given["value"])
            if "checked" in given:
                self.forms[-1].ticked.append(given["value"])
        elif tag == "button" and "name" in given:
            self.forms[-1].buttons.append((given["name"], given["value"]))

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def read_page(response: httpx.Response) -> Page:
    reader = _Reader()
    if response.headers.get("content-type", "").startswith("text/html"):
        reader.feed(response.text)
        assert "script" not in reader.tags
    return Page(response, " ".join(" ".join(reader.words).split()), reader.forms, reader.links)
