"""Lines of logs: what they hold, and what they never do."""

import json
import logging
import sys
from datetime import datetime

import pytest

from archive.errors import ConfigurationError
from archive.logs import Json, Text, configure
from archive.trace_context import begin, within


def record(
    message: str = "a reading of %s ended", *arguments: object, fails: bool = False
) -> logging.LogRecord:
    raised = None
    if fails:
        try:
            raise ValueError("DOE^JANE")
        except ValueError:
            raised = sys.exc_info()
    return logging.LogRecord("senogate.reader", logging.INFO, "here.py", 1, message, arguments, raised)


def test_a_line_of_json_says_when_who_and_what() -> None:
    line = json.loads(Json("worker").format(record("a reading of %s ended", "density")))
    assert datetime.fromisoformat(line.pop("time")).utcoffset() is not None
    assert line.pop("process")
    said = {"level": "INFO", "logger": "senogate.reader", "message": "a reading of density ended"}
    assert line == said | {"part": "worker"}


def test_a_line_names_the_trace_that_it_is_a_part_of() -> None:
    context = begin()
    with within(context):
        line = json.loads(Json().format(record()))
    assert (line["trace"], line["span"]) == (context.trace_id, context.span_id)


@pytest.mark.parametrize("formatter", [Text(), Json()], ids=["text", "json"])
def test_of_an_exception_only_kind_and_place_are_told(formatter: logging.Formatter) -> None:
    line = formatter.format(record(fails=True))
    assert "ValueError" in line and "test_logs.py" in line
    assert "JANE" not in line


def test_a_line_is_one_line_whatever_it_holds() -> None:
    line = Json().format(record("a\nb\u2028c"))
    assert line.isascii() and "\n" not in line


def test_a_form_that_is_none_is_refused_by_name() -> None:
    with pytest.raises(ConfigurationError, match="SENOGATE_LOG_FORMAT"):
        configure(form="xml")
