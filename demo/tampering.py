"""Chapter 7: somebody with the owner's rights in the database changes the past, and is found out."""

import json
from typing import Any

from demo.inspector import GOOD, TAMPERED, Inspector
from demo.narrator import Narrator, StoryError
from demo.stage import Stage
from demo.tamperer import Tamperer


async def tamper(
    stage: Stage, narrator: Narrator, inspector: Inspector, *, altered: int, deleted: int, unsealed: int
) -> None:
    """Tells the chapter.

    Args:
        stage: the running vault.
        narrator: speaks.
        inspector: verifies.
        altered: index of the entry that is altered.
        deleted: of the one that is deleted.
        unsealed: of the one whose sealed payload is altered.
    """
    narrator.chapter(7, "Somebody who owns the database changes the past")
    tamperer = Tamperer(stage.owner_url, stage.home)
    with tamperer.altered_entry(altered):
        _names(narrator, inspector.verify(stage.log_url), altered, "An entry is altered")
    _good_again(stage, narrator, inspector)
    with tamperer.deleted_entry(deleted):
        _names(narrator, inspector.verify(stage.log_url), deleted, "An entry is deleted")
    _good_again(stage, narrator, inspector)
    with tamperer.altered_payload(unsealed):
        code, found = _fsck(stage)
        narrator.check(
            code == TAMPERED and unsealed in _indexes(found),
            f"One bit of a sealed payload is altered: `creditvault log fsck` names entry {unsealed:,}.",
        )
        code, found = inspector.verify(stage.log_url)
        narrator.check(
            code == GOOD,
            "(What is published is untouched by that, so whoever looks from outside sees no harm.)",
        )
    code, found = _fsck(stage)
    narrator.check(code == GOOD, "Put back as it was, `creditvault log fsck` finds everything in order.")
    _good_again(stage, narrator, inspector)
    await inspector.download(stage.http, narrator)
    narrator.check(
        inspector.verify(str(inspector.log))[0] == GOOD,
        "Downloaded once more, the log verifies offline as well.",
    )


def _names(narrator: Narrator, verified: tuple[int, dict[str, Any]], index: int, words: str) -> None:
    code, found = verified
    narrator.check(
        code == TAMPERED and found["index"] == index,
        f"{words}: `python -m access_log verify` names entry {index:,}: {found['reason']}.",
    )


def _good_again(stage: Stage, narrator: Narrator, inspector: Inspector) -> None:
    code, _ = inspector.verify(stage.log_url)
    narrator.check(code == GOOD, "Put back as it was, the log verifies again.")


def _fsck(stage: Stage) -> tuple[int, dict[str, Any]]:
    run = stage.run("log", "fsck", "--json")
    try:
        found: dict[str, Any] = json.loads(run.stdout)
    except ValueError:
        raise StoryError(
            f"`creditvault log fsck` answered nothing (exit code {run.returncode}): {run.stderr}"
        ) from None
    return run.returncode, found


def _indexes(found: dict[str, Any]) -> set[int]:
    return {one["index"] for one in found["findings"]}
