"""The output check lets through what answers are made of, and nothing else (federation.jobs.check)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.jobs.check import MOST_BYTES, check, is_known, written

GOOD = {
    "kind": "features",
    "features": {
        "age": {
            "patients": 15, "mean": 58.1, "sd": 9.2, "histogram": [[30.0, 55.0, 5], [55.0, 90.0, 10]],
            "groups": {"vendor": {"GE": {"patients": 5, "mean": 50.0, "sd": None}}}, "least_squares": {},
            "withheld": ["groups density: too few patients"],
        }
    },
}  # fmt: skip


def broken(content: object) -> list[str]:
    return [one.rule for one in check(written(content)) if not one.holds]


def changed(**change: object) -> dict[str, object]:
    return {"kind": "features", "features": {"age": GOOD["features"]["age"] | change}}


def test_an_answer_passes() -> None:
    assert broken(GOOD) == []


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (changed(patients=4), "cells"),
        (changed(patients=-5), "cells"),
        (changed(patients=5.5), "cells"),
        (changed(histogram=[[30.0, 90.0, 1]]), "cells"),
        (changed(groups={"vendor": {"GE": {"patients": 1}}}), "cells"),
        ({"kind": "counts", "by": ["age"], "columns": ["all"], "rows": {"40 to 49": [3]}}, "cells"),
        ({"kind": "evaluation", "exams": 4}, "cells"),
        ({"kind": "evaluation", "exams": {"here": {"GE": 4}}}, "cells"),
        ({"kind": "evaluation", "unread": {"here": [[1]]}}, "cells"),
        (changed(patients=[[3.0]]), "cells"),
        (changed(histogram={"GE": 3}), "cells"),
        (changed(histogram=[3, 15]), "cells"),
        (changed(histogram=3), "cells"),
        ({"kind": "counts", "by": ["age"], "columns": ["all"], "rows": {"40 to 49": 3}}, "cells"),
        ({"kind": "counts", "by": ["age"], "columns": ["all"], "rows": {"40 to 49": [[5.0]]}}, "cells"),
        (changed(mean="1.2.840.113619.2.55.3"), "words"),
        (changed(mean="2.25.1234567890"), "words"),
        (changed(withheld=["Doe^Jane"]), "words"),
        ({"kind": "features", "features": {"Doe^Jane": {}}}, "words"),
        (changed(mean=58.123456789), "numbers"),
        (changed(mean=19450312170501), "numbers"),
        (changed(mean=True), "numbers"),
        (changed(mean=0.12345670000000001), "numbers"),
        (changed(mean=1e200), "numbers"),
        (changed(mean=1.5e-120), "numbers"),
        (changed(histogram=[[0.0, 1.0, 5]] * 200), "lists"),
        ({"kind": "features", "features": {"age": [52.0] * 500}}, "lists"),
        ([1, 2], "form"),
    ],
    ids=range(28),
)
def test_what_could_tell_of_somebody_fails_its_rule(content: object, rule: str) -> None:
    assert rule in broken(content)


def test_what_is_too_long_or_no_json_fails() -> None:
    assert "size" in [one.rule for one in check(written([0] * MOST_BYTES)) if not one.holds]
    assert [one.rule for one in check('{"mean": NaN}') if not one.holds] == ["form"]
    assert [one.rule for one in check("[" * 100_000) if not one.holds] == ["form"]


@pytest.mark.parametrize(
    "text",
    [
        '{"kind": "counts"}',
        '{"kind":"counts","kind":"counts"}',
        '{"kind":"\\u0063ounts"}',
        '{"kind":"counts"}\n',
        '{"mean":1.50}',
        '{"mean":1.5,"kind":"features"}',
    ],
    ids=["spaces", "a name twice", "escapes", "a line's end", "digits", "order"],
)
def test_there_is_one_way_to_write_an_answer(text: str) -> None:
    """How it is written could hold what it does not say."""
    assert [one.rule for one in check(text) if not one.holds] == ["form"]


@given(st.text(min_size=1, max_size=40))
def test_a_finding_quotes_nothing_that_it_does_not_know(text: str) -> None:
    found = check(written({"kind": "features", text: "Doe^Jane"}))
    assert all("Doe" not in one.where for one in found)
    assert all(is_known(text) for one in found if one.where == text)


@given(st.text(max_size=60))
def test_a_free_text_is_no_word(text: str) -> None:
    assert not is_known(f"{text}^")
