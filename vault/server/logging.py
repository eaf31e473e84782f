"""The operator log: JSON lines with request ids and static event names, from which personal data is kept out.

Three fences: an event name is a fixed identifier, never a sentence with values in it; a key that could carry
a person's data is redacted by name; a value that looks like an identity number or a token is redacted by
shape. Exceptions are written as type and place, never as text, because a library's message may quote data.
"""

import logging
import re
import sys
import traceback
from collections.abc import Mapping
from typing import TextIO

import structlog
from structlog.typing import EventDict, WrappedLogger

REDACTED = "[redacted]"
_EVENT = re.compile(r"[a-z][a-z0-9_.]{2,63}")
_SENSITIVE_KEYS = frozenset(
    {
        "access_token", "address", "authorization", "body", "case_reference", "client_assertion", "code",
        "cookie", "dpop", "field_value", "fields", "id_number", "id_token", "identifier", "name", "number",
        "passphrase", "password", "proof", "query_string", "secret", "subject", "token", "url", "value",
    }
)  # fmt: skip
# Any run of digits as long as one, whatever stands around it: Chinese text puts no space there.
_IDENTITY_NUMBER = re.compile(r"\d{15,}[Xx]?")
_MOST_CAUSES = 16
_TOKEN = re.compile(r"eyJ[\w-]{8,}\.[\w-]+(?:\.[\w-]*)?")


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Replaces what may be personal or secret, by key and by shape."""
    return {key: REDACTED if key in _SENSITIVE_KEYS else _redact_value(value) for key, value in event.items()}


def _redact_value(value: object) -> object:
    if isinstance(value, str):
        return _TOKEN.sub(REDACTED, _IDENTITY_NUMBER.sub(REDACTED, value))
    if isinstance(value, Mapping):
        return {
            _redact_value(str(key)): REDACTED if key in _SENSITIVE_KEYS else _redact_value(inner)
            for key, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return [_redact_value(inner) for inner in value]
    if value is None or isinstance(value, bool | int | float):
        return _redact_value(str(value)) if isinstance(value, int) and abs(value) >= 10**14 else value
    return f"[{type(value).__name__}]"


def static_event(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Lets only fixed identifiers through as event names: a sentence could hold a value."""
    if not _EVENT.fullmatch(str(event.get("event"))):
        event["event"] = "event_name_not_static"
    return event


def exception_place(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Writes an exception as its types and the places it passed, without its text."""
    given = event.pop("exc_info", None)
    error = sys.exc_info()[1] if given is True else given
    if isinstance(error, BaseException):
        chain: list[str] = []
        walked: BaseException | None = error
        while walked is not None and len(chain) < _MOST_CAUSES:  # causes may run in a circle
            chain.append(f"{type(walked).__module__}.{type(walked).__qualname__}")
            walked = walked.__cause__ or walked.__context__
        event["exception"] = chain
        event["frames"] = [
            f"{frame.filename.rsplit('/', 2)[-2]}/{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno}"
            for frame in traceback.extract_tb(error.__traceback__)[-8:]
            if "/" in frame.filename
        ]
    return event


def configure(level: str, stream: TextIO | None = None) -> None:
    """Sets structlog, and the standard loggers behind it, to JSON lines on standard error."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            static_event,
            exception_place,
            redact,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        # A line is one write: several workers share this stream.
        logger_factory=structlog.WriteLoggerFactory(stream or sys.stderr),
        cache_logger_on_first_use=True,
    )
    # Libraries log sentences: they keep their level and place, and lose their words.
    logging.basicConfig(handlers=[_Forward()], level=logging.WARNING, force=True)


class _Forward(logging.Handler):
    """Passes a library's log record on as a static event with its logger and place."""

    def emit(self, record: logging.LogRecord) -> None:
        """Writes the record without its message."""
        structlog.get_logger().log(
            record.levelno,
            "library_message",
            logger=record.name,
            place=f"{record.module}:{record.lineno}",
            exc_info=record.exc_info[1] if record.exc_info else None,
        )
