"""Forks programs that so begin where importing other people's packages has ended.

    python -m tests.crash.forker <descriptor of a socket>

Most of what a process does that is killed after a moment is to import. So one process, which does nothing
else, imports what the product is built on, and forks for each program that `tests.crash.forking` asks for.
Nothing of the product is imported before the fork: the program begins with its own first line, in its own
session, folder and environment.
"""

import importlib
import json
import os
import runpy
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

PACKAGES = (
    "alembic.command", "authlib.oauth2.rfc6749", "cryptography.x509", "fastapi", "httpx", "jinja2",
    "joserfc.jws", "joserfc.jwt", "msgspec", "procrastinate", "prometheus_client", "psycopg_pool",
    "pydantic_settings", "rich.progress", "rich.table", "sqlalchemy.ext.asyncio",
    "sqlalchemy.dialects.postgresql.psycopg", "structlog", "typer", "uvicorn.config", "uvloop",
)  # fmt: skip
LONGEST = 1 << 17


def main(descriptor: str) -> None:
    """Forks until nobody asks any more."""
    for package in PACKAGES:
        importlib.import_module(package)
    asked = socket.socket(fileno=int(descriptor))
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who wait
    while True:
        content, descriptors, _, _ = socket.recv_fds(asked, LONGEST, 3)
        if not content:
            return
        if os.fork() == 0:
            asked.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            told, out, err = descriptors
            if _forked_from(told):
                _become(out, err, *json.loads(content))
        for each in descriptors:
            os.close(each)


def _forked_from(told: int) -> bool:
    """True in the program's process; the other tells which that is and how it ended, and does not return."""
    program = os.fork()
    if program == 0:
        os.close(told)
        return True
    with socket.socket(fileno=told) as telling:
        telling.send(b"%d" % program)
        ended = os.waitid(os.P_PID, program, os.WEXITED | os.WNOWAIT)
        assert ended is not None
        telling.send(b"%d" % (ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status))
        # Its number stays its own until who asked has read that: they may be about to send it a signal.
        telling.recv(1)
    os._exit(0)


def _become(out: int, err: int, program: Sequence[str], environment: Mapping[str, str], folder: str) -> None:
    """Runs the program as Python itself would: a file, or `-m` and a module, with its arguments."""
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDONLY)
    for ours, standard in ((nothing, 0), (out, 1), (err, 2)):
        os.dup2(ours, standard)
        os.close(ours)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    if program[0] == "-m":
        sys.argv = list(program[1:])
        runpy.run_module(program[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = list(program)
        sys.path[0] = str(Path(program[0]).parent)
        runpy.run_path(program[0], run_name="__main__")
    sys.exit()  # through `main`, as any program of Python ends


if __name__ == "__main__":
    main(sys.argv[1])
