"""A page of the browser under watch: what goes wrong on it, and whether everybody can use it."""

from dataclasses import dataclass, field
from pathlib import Path

from playwright.async_api import ConsoleMessage, Page, Request, Response

_BARRIERS = (Path(__file__).parent / "barriers.js").read_text()


@dataclass
class Watched:
    """One page. `wrong` is every error the browser reported, and every request to another place."""

    page: Page
    url: str
    wrong: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.wrong.append(f"a script failed: {error}"))
        self.page.on("request", self._asked)
        self.page.on("response", self._answered)

    async def require_open_to_all(self) -> None:
        """Finds no barrier on the page as it is shown now."""
        barriers = await self.barriers()
        assert barriers == [], f"{self.page.url}: {barriers}"

    async def barriers(self) -> list[str]:
        """What keeps people from using the page as it is shown now, a sentence each."""
        return list(await self.page.evaluate(_BARRIERS))

    def require_nothing_wrong(self) -> None:
        """No error in the console, nothing failed, nothing asked of anybody else."""
        assert self.wrong == []

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.wrong.append(f"{message.type} on {self.page.url}: {message.text}")

    def _asked(self, request: Request) -> None:
        if not request.url.startswith(self.url + "/"):
            self.wrong.append(f"asked {request.url}")

    def _answered(self, response: Response) -> None:
        policy = response.headers.get("content-security-policy", "")
        if (
            response.ok
            and response.request.resource_type == "document"
            and "default-src 'none'" not in policy
        ):
            self.wrong.append(f"no policy for {response.url}: {policy!r}")
        if not response.ok and not 300 <= response.status < 400:
            self.wrong.append(f"{response.status} for {response.url}")
