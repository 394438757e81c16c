"""Files of labels: CSV, row by row, whose problems name rows and columns and no value."""

import csv
import io
from collections.abc import Sequence
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive.errors import BadRequest
from archive.label_file import COLUMNS, KINDS, MOST_LESIONS, VIEWS, Exam, Known, Lesion, Row, merge, parse

SECRET = "MUSTERMANN-1950"
MASS = Lesion(("L", "CC"), "mass", (10.0, 20.0, 30.5, 40.0))


def file(*rows: Sequence[object], header: Sequence[str] = COLUMNS, delimiter: str = ",") -> bytes:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter).writerows([header, *rows])
    return text.getvalue().encode()


def row(**cells: object) -> list[object]:
    return [cells.get(name, "") for name in COLUMNS]


def lesion(**cells: object) -> list[object]:
    box = {"View": "LCC", "Kind": "mass", "Left": 10, "Top": 20, "Right": 30.5, "Bottom": 40}
    return row(**{"StudyInstanceUID": "1.2.3", **box, **cells})


def problem(content: bytes) -> str:
    with pytest.raises(BadRequest) as caught:
        parse(content)
    return str(caught.value)


def test_a_row_tells_a_density_and_a_row_a_lesion() -> None:
    rows = parse(file(row(StudyInstanceUID="1.2.3", Density="C"), lesion()))
    assert [one.density for one in rows] == ["c", ""]
    assert [one.lesion for one in rows] == [None, MASS]


def test_an_exam_may_be_named_by_patient_and_date() -> None:
    (found,) = parse(file(row(PatientID="P1", StudyDate="2024-02-29", Density="a")))
    assert found.exam == Exam(patient_id="P1", study_date="20240229")


@pytest.mark.parametrize("written", ["LCC", "L CC", "l-cc", "L_CC"])
def test_views_are_written_in_several_ways(written: str) -> None:
    (found,) = parse(file(lesion(View=written)))
    assert found.lesion == MASS


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_spreadsheets_part_cells_in_their_own_way(delimiter: str) -> None:
    content = "\ufeff".encode() + file(
        ["1.2.3", "b"], header=["StudyInstanceUID", "Density"], delimiter=delimiter
    )
    assert [one.density for one in parse(content)] == ["b"]


@pytest.mark.parametrize(
    ("cells", "column"),
    [
        ({"StudyInstanceUID": SECRET}, "StudyInstanceUID"),
        ({"StudyInstanceUID": ""}, "StudyInstanceUID"),
        ({"PatientID": f"{SECRET}\\"}, "PatientID"),
        ({"StudyDate": "20240230"}, "StudyDate"),
        ({"Density": SECRET}, "Density"),
        ({"View": SECRET}, "View"),
        ({"Kind": SECRET}, "Kind"),
        ({"Left": SECRET}, "Left"),
        ({"Left": "nan"}, "Left"),
        ({"Left": "-1"}, "Left"),
        ({"Left": "31"}, "Right"),
        ({"Top": "40"}, "Bottom"),
        ({"Kind": "None"}, "View"),
        ({"Kind": ""}, "View"),
    ],
)
def test_a_wrong_cell_is_named_by_row_and_column_alone(cells: dict[str, str], column: str) -> None:
    told = problem(file(lesion(), lesion(**cells)))
    assert f"row 3, {column}: " in told and "row 2" not in told and SECRET not in told


def test_a_file_without_a_header_is_refused_without_a_word_of_it() -> None:
    told = problem(file(["1.2.3", "b"], header=[SECRET, "a"]))
    assert "row 1, column 1" in told and SECRET not in told


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "row 1"),
        (b"\xff\xfe", "UTF-8"),
        (b"StudyInstanceUID,Density\n", "no rows"),
        (b'StudyInstanceUID,Density\n"1.2', "line"),
        (b"StudyInstanceUID,Density\n1.2\n", "row 2, all"),
        (b"Density\na\n", "StudyInstanceUID is missing"),
        (b"StudyInstanceUID\n1.2\n", "Density is missing"),
        (b"StudyInstanceUID,Kind\n1.2,none\n", "View"),
        (b"StudyInstanceUID,Density\n1.2,\n", "says nothing"),
    ],
)
def test_what_is_no_such_file_is_refused(content: bytes, told: str) -> None:
    assert told in problem(content)


def test_all_rows_are_checked_and_the_first_problems_told() -> None:
    told = problem(file(*[lesion(Kind=SECRET)] * 30)).splitlines()
    assert len(told) == 22 and told[-1] == "and 10 more"


def test_empty_lines_are_passed_over_and_counted() -> None:
    told = problem(b"StudyInstanceUID,Density\n1.2,a\n\n,\n1.3,x\n\n")
    assert told.splitlines()[1:] == ["row 5, Density: is a, b, c or d"]


def test_an_exam_has_so_many_lesions_at_most() -> None:
    rows = parse(file(*[lesion(Right=100 + number) for number in range(MOST_LESIONS + 1)]))
    with pytest.raises(BadRequest, match=f"row {MOST_LESIONS + 2}, Kind"):
        merge(rows, {one.number: "1" for one in rows})


def test_the_rows_of_an_exam_are_one_label() -> None:
    rows = parse(file(lesion(), lesion(), lesion(View="LMLO", Density="b")))
    known = merge(rows, dict.fromkeys((2, 3, 4), "2.25.1"))
    assert known == {"2.25.1": Known("b", (MASS, Lesion(("L", "MLO"), "mass", MASS.box)))}


def test_no_lesions_is_something_else_than_nothing_known_of_them() -> None:
    rows = parse(file(row(StudyInstanceUID="1.2.3", Kind="none"), row(StudyInstanceUID="1.2.4", Density="a")))
    assert merge(rows, {2: "3", 3: "4"}) == {"3": Known(None, ()), "4": Known("a", None)}


@pytest.mark.parametrize(
    ("first", "second", "column"),
    [
        (row(StudyInstanceUID="1.2", Density="a"), row(PatientID="1", Density="b"), "Density"),
        (lesion(), row(StudyInstanceUID="1.2.3", Kind="none"), "Kind"),
        (row(StudyInstanceUID="1.2.3", Kind="none"), lesion(), "Kind"),
    ],
)
def test_rows_that_contradict_each_other_are_refused(
    first: list[object], second: list[object], column: str
) -> None:
    with pytest.raises(BadRequest, match=f"row 3, {column}: "):
        merge(parse(file(first, second)), {2: "1", 3: "1"})


TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
SIDES = st.floats(0, 30_000).map(lambda one: round(one, 3))


@given(st.binary(max_size=200))
def test_any_bytes_are_rows_or_refused(content: bytes) -> None:
    with suppress(BadRequest):
        assert all(isinstance(one, Row) for one in parse(content))


@given(
    st.lists(st.lists(TEXT.map(lambda one: SECRET + one), min_size=1, max_size=13), min_size=1, max_size=4)
)
def test_a_refusal_quotes_no_cell(rows: list[list[str]]) -> None:
    assert SECRET not in problem(file(*rows))


@given(st.lists(st.tuples(st.sampled_from(sorted(VIEWS)), st.sampled_from(KINDS), SIDES, SIDES), min_size=1))
def test_what_is_written_is_read(lesions: list[tuple[str, str, float, float]]) -> None:
    rows = [
        lesion(View=view, Kind=kind, Left=left, Top=top, Right=left + 1, Bottom=top + 2)
        for view, kind, left, top in lesions
    ]
    assert [one.lesion for one in parse(file(*rows))] == [
        Lesion(VIEWS[view], kind, (left, top, left + 1, top + 2)) for view, kind, left, top in lesions
    ]


def test_an_assessment_and_cancer_are_told_beside_the_rest() -> None:
    rows = parse(b"StudyInstanceUID,Density,Assessment,Cancer\n1.2,b,4b,\n1.2,,,No\n1.3,,6,yes\n")
    known = merge(rows, {2: "2", 3: "2", 4: "3"})
    assert known == {"2": Known("b", None, "4", False), "3": Known(None, None, "6", True)}


@pytest.mark.parametrize("row", ["1.2,7,", "1.2,4D,", "1.2,,maybe"])
def test_what_is_no_assessment(row: str) -> None:
    with pytest.raises(BadRequest, match="row 2"):
        parse(f"StudyInstanceUID,Assessment,Cancer\n{row}\n".encode())


def test_two_assessments_of_one_exam_contradict() -> None:
    rows = parse(b"StudyInstanceUID,Assessment\n1.2,1\n1.2,2\n")
    with pytest.raises(BadRequest, match="row 3, Assessment"):
        merge(rows, {2: "2", 3: "2"})
