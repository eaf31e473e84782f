"""The whole main job of a credit vault, on real input, over real HTTP, told in seven chapters.

Every claim is checked as it is told; one that does not hold ends the story with exit code 1.
"""

import asyncio
import contextlib
import shlex
import shutil
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import NoReturn

import httpx
from sqlalchemy.exc import SQLAlchemyError

from access_log.errors import AccessLogError
from consent.errors import ConsentError
from demo.browser import Browser
from demo.citizen import Citizen
from demo.client import OAuthError
from demo.consenting import ask_with_consent
from demo.enforcing import ask_as_court
from demo.furnishing import enrol
from demo.home import SetUpError, demo_home, reserved
from demo.inspector import Inspector, inspect
from demo.narrator import Narrator, StoryError
from demo.own_view import look
from demo.people import CITIZEN
from demo.refusing import keep_silent, refuse, turn_away
from demo.stage import Stage, database, stage
from demo.tampering import tamper
from vault.crypto.errors import CryptoError
from vault.errors import VaultError
from vault.server.embedded import EmbeddedDatabase

_GOOD, _FAILED, _CANNOT_BEGIN = 0, 1, 2
_SIGNALLED = 128
_WATCH_SECONDS = 0.5
_FAILURES = (
    StoryError, OAuthError, httpx.HTTPError, SQLAlchemyError,
    VaultError, ConsentError, AccessLogError, CryptoError,
)  # fmt: skip


def run(*, once: bool = False, port: int | None = None) -> int:
    """Sets a vault up, tells the story, and on a terminal leaves the server running until Ctrl-C.

    Args:
        once: end with the story, on a terminal too.
        port: to serve on; None: the usual one, or another that is free.

    Returns:
        0 when every claim of the story held, 1 when one did not or something failed, 2 when the demo cannot
        begin, 130 when Ctrl-C cut the story off.
    """
    narrator = Narrator()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    try:
        _perform(narrator, port, stay=not once and sys.stdout.isatty())
    except SetUpError as error:
        narrator.warn(f"The demo cannot begin: {error}")
        return _CANNOT_BEGIN
    except KeyboardInterrupt:
        narrator.warn("The demo was cut off. Nothing is left running; the next one begins where it must.")
        return _SIGNALLED + signal.SIGINT
    except _FAILURES as error:
        narrator.warn(f"The demo FAILED: {_words(error)}")
        return _FAILED
    return _GOOD


def _perform(narrator: Narrator, port: int | None, *, stay: bool) -> None:
    started = time.monotonic()
    home = demo_home()
    with reserved(home):
        narrator.say(f"This demo keeps its files under {home}.")
        with database(home) as embedded:
            asyncio.run(_play(home, embedded, port, narrator, started, stay=stay))


async def _play(
    home: Path,
    embedded: EmbeddedDatabase,
    port: int | None,
    narrator: Narrator,
    started: float,
    *,
    stay: bool,
) -> None:
    async with stage(home, embedded, port, narrator) as running:
        narrator.say(
            f"The vault serves at {running.base}, {time.monotonic() - started:.1f} s after the start."
        )
        await _tell(running, narrator)
        narrator.say("")
        narrator.say(
            f"The story is told: {narrator.checks} claims, all checked, {time.monotonic() - started:.1f} s."
        )
        if stay:
            await _stay(running, narrator)


async def _tell(running: Stage, narrator: Narrator) -> None:
    """The seven chapters."""
    await enrol(running, narrator)
    async with Browser(running.base) as browser:
        citizen = Citizen(browser, CITIZEN)
        consented = await ask_with_consent(running, narrator, citizen)
        enforced = await ask_as_court(running, narrator)
        await turn_away(running, narrator, consented)
        refusals = await refuse(running, narrator, consented, enforced, citizen)
        await keep_silent(running, narrator)
        await look(running, narrator, citizen, (consented, enforced), refusals)
    inspector = Inspector(running.home / "inspector", running.log_key)
    await inspect(running, narrator, inspector, consented.logged)
    await tamper(
        running,
        narrator,
        inspector,
        altered=consented.logged.index,
        deleted=refusals[0].index,
        unsealed=enforced.logged.index,
    )


async def _stay(running: Stage, narrator: Narrator) -> None:
    """Leaves the server running until Ctrl-C.

    Raises:
        StoryError: the server ended by itself.
    """
    narrator.say(f"The server keeps running at {running.base}. Three things to try in another terminal:")
    narrator.command("The log's newest checkpoint:", _get(f"{running.log_url}/checkpoint"))
    verify = ("-m", "access_log", "verify", running.log_url, "--log-key", running.log_key)
    narrator.command("Verify the whole log:", shlex.join([sys.executable, *verify]))
    narrator.command(
        f"In a browser: sign in as anybody, {CITIZEN.name} for example, and see who asked:",
        shlex.join([sys.executable, "-m", "webbrowser", f"{running.base}/accesses"]),
    )
    narrator.say("Ctrl-C ends it.")
    with contextlib.suppress(asyncio.CancelledError):
        while True:
            running.server.check()
            await asyncio.sleep(_WATCH_SECONDS)


def _get(url: str) -> str:
    """A command that fetches a page with what this machine has."""
    for program in (["curl", "-s"], ["wget", "-qO-"]):
        if shutil.which(program[0]):
            return shlex.join([*program, url])
    fetch = f"from urllib.request import urlopen; print(urlopen({url!r}).read().decode())"
    return shlex.join([sys.executable, "-c", fetch])


def _words(error: Exception) -> str:
    """What went wrong, in words."""
    if isinstance(error, OAuthError):
        return f"the authorization server answered {error}"
    if isinstance(error, httpx.HTTPError):
        return f"the server does not answer ({type(error).__name__}); its log is in the folder named above"
    if isinstance(error, SQLAlchemyError):
        return "the database does not answer; its log is in the folder named above"
    return str(error)


def _end(number: int, _frame: FrameType | None) -> NoReturn:
    """Ends in order: server and database stop with the blocks that hold them."""
    raise SystemExit(_SIGNALLED + number)
