"""What a line of a log looks like: text for people, or JSON for what collects logs.

Of an exception its kind and its place are told and never its text, which could quote an attribute's value.
"""

import json
import logging
import traceback
from datetime import UTC, datetime

from archive.errors import ConfigurationError
from archive.trace_context import current

FORMATS = ("text", "json")
_NOISY = ("httpx", "httpcore", "pynetdicom", "procrastinate", "pydicom", "opentelemetry", "urllib3")
_FRAMES = 4


def configure(level: str = "", form: str = "", part: str = "") -> None:
    """Write logs to standard error. Raises ConfigurationError for a level or a form that is none."""
    known = logging.getLevelNamesMapping()
    if level and level.upper() not in known:
        raise ConfigurationError(f"SENOGATE_LOG_LEVEL must be one of {', '.join(known)}")
    if form and form not in FORMATS:
        raise ConfigurationError(f"SENOGATE_LOG_FORMAT must be one of {', '.join(FORMATS)}")
    handler = logging.StreamHandler()
    handler.setFormatter(Json(part) if form == "json" else Text())
    logging.basicConfig(level=(level or "INFO").upper(), handlers=[handler], force=True)
    for noisy in _NOISY:
        logging.getLogger(noisy).setLevel(logging.ERROR)


class Text(logging.Formatter):
    """Time, level, logger, message, and what was raised."""

    def format(self, record: logging.LogRecord) -> str:
        said = f"{self.formatTime(record)} {record.levelname} {record.name}: {record.getMessage()}"
        error = _raised(record)
        return f"{said}: {said_of(error)}" if error else said


class Json(logging.Formatter):
    """An object a line: `time` (UTC), `level`, `logger`, `message`, `part` of the site, `trace` and `span`, `error`.

    What a record carries in `fields` is added to it.
    """

    def __init__(self, part: str = "") -> None:
        super().__init__()
        self._part = part

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {"time": moment, "level": record.levelname, "logger": record.name}
        line |= {"message": record.getMessage(), "part": self._part, "process": str(record.process)}
        if context := current.get():
            line |= {"trace": context.trace_id, "span": context.span_id}
        if error := _raised(record):
            line["error"] = said_of(error)
        return json.dumps(line | getattr(record, "fields", {}))  # ASCII: no collector ends a line elsewhere


def _raised(record: logging.LogRecord) -> BaseException | None:
    return record.exc_info[1] if record.exc_info else None


def said_of(error: BaseException) -> str:
    """An exception's kind and where it was raised."""
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
    places = [f"{frame.name} ({frame.filename}:{frame.lineno})" for frame in reversed(frames)]
    return " < ".join([type(error).__name__, *places])
