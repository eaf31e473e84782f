"""Persons named to a command: in a file, because every user of the machine can read a command line."""

from pathlib import Path

import typer


def read_persons(path: Path, option: str) -> list[tuple[str, str]]:
    """Scheme and number of each person of a file.

    Args:
        path: a file with `scheme number` on each line.
        option: that named it, for the message.
    """
    lines = path.read_text(errors="replace").splitlines()
    persons = [tuple(line.split(maxsplit=1)) for line in lines if line.strip()]
    if not persons or any(len(person) != len(("scheme", "number")) for person in persons):
        raise typer.BadParameter("the file holds `scheme number` on each line", param_hint=option)
    return [(person[0], person[1]) for person in persons]
