"""docs/deidentification.md is made from the profile, and says what the profile says."""

from deidentification.refusal import Reason
from tools.make_deidentification_docs import DOCUMENT, make


def test_tables_are_up_to_date() -> None:
    document = DOCUMENT.read_text("utf-8")
    assert make(document) == document, "run python tools/make_deidentification_docs.py"


def test_every_reason_of_a_refusal_is_there() -> None:
    document = DOCUMENT.read_text("utf-8")
    assert [reason.code for reason in Reason if f"`{reason.code}`" not in document] == []
