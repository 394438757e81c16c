"""Made-up studies as values, a question evaluated on them one by one, and the same studies as a gateway holds them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from hypothesis import strategies as st

from archive.search_facts import DENSITIES, DIAGNOSES, LATERALITIES, SEXES, SOURCES, VIEWS
from gateway.search.facts import Facts, Published
from gateway.search.matching import Columns, Kinds
from gateway.search.question import All, Condition, Either, Not, Question

BITS = {"mass": 1, "calcifications": 2, "other": 4, "none": 8}
SERIES = (
    ("MG", "HOLOGIC, INC.", "BREAST"),
    ("DBT", "GE MEDICAL SYSTEMS", "BREAST"),
    ("MG", "SIEMENS", "BREAST"),
    ("US", "GE MEDICAL SYSTEMS", "BREAST"),
    ("MR", "SIEMENS", ""),
    ("SR", "", ""),
)
MANUFACTURERS = {
    "hologic": {"HOLOGIC, INC."},
    "GE": {"GE MEDICAL SYSTEMS"},
    "General Electric": {"GE MEDICAL SYSTEMS"},
    "Siemens Healthineers": {"SIEMENS"},
    "unknown": {""},
    "SIE": set(),
}


@dataclass(frozen=True)
class Study:
    patient: int = 1
    series: tuple[tuple[str, str, str], ...] = (SERIES[0],)
    day: int = 20200102
    age: int = 55
    sex: str = "F"
    views: str = "complete"
    laterality: str = "B"
    density: str = "b"
    assessment: int = 1
    diagnosis: str = "unknown"
    findings: tuple[tuple[str, str], ...] = ()  # source, finding
    round: int = 1


def holds(question: Question, study: Study) -> bool:
    """As `gateway.search.question` says it, word by word."""
    return any(
        _of_series(question, study, series, set(SOURCES)) for series in study.series or [("", "-", "-")]
    )


def _of_series(question: Question, study: Study, series: tuple[str, str, str], sources: set[str]) -> bool:
    match question:
        case All(children):
            for child in children:
                if isinstance(child, Condition) and child.criterion == "finding_source":
                    sources = sources & set(child.values or ())
            return all(_inner(child, study, series, sources) for child in children)
        case Either(children):
            return any(_inner(child, study, series, sources) for child in children)
        case Not(child):
            return not holds(child, study)
        case Condition():
            return _condition(question, study, series, sources)


def _inner(question: Question, study: Study, series: tuple[str, str, str], sources: set[str]) -> bool:
    return (
        holds(question, study) if isinstance(question, All) else _of_series(question, study, series, sources)
    )


def _condition(asked: Condition, study: Study, series: tuple[str, str, str], sources: set[str]) -> bool:
    name, values = asked.criterion, set(asked.values or ())
    if name == "modality":
        return series[0] in values or (series[0] == "DBT" and "MG" in values)
    if name == "body_part":
        return series[2] in {"" if value == "unknown" else value for value in values}
    if name == "manufacturer":
        return any(series[1] in MANUFACTURERS[value] for value in values)
    if name == "finding_source":
        return any(source in values for source, _ in study.findings)
    if name == "finding":
        wanted = values | ({"mass", "calcifications", "other"} if "any" in values else set())
        return any(source in sources and found in wanted for source, found in study.findings)
    if name in ("age", "round", "date", "year"):
        number = {"age": study.age, "round": study.round, "date": study.day, "year": study.day // 10_000}[
            name
        ]
        is_known = number >= 0 if name == "age" else number > 0
        return is_known and not (
            (asked.low is not None and number < asked.low) or (asked.high is not None and number > asked.high)
        )
    if name == "assessment":
        return ("unknown" if study.assessment < 0 else str(study.assessment)) in values
    return getattr(study, name) in values


def columns(studies: Sequence[Study]) -> Columns:
    kinds, codes = Kinds(), {}
    for study in studies:
        code = codes.setdefault(study.series, len(codes) + 1)
        kinds.add(code, study.series)
    made = {
        "day": [study.day for study in studies],
        "age": [study.age for study in studies],
        "sex": [SEXES.index(study.sex) for study in studies],
        "kinds": [codes[study.series] for study in studies],
        "views": [VIEWS.index(study.views) for study in studies],
        "laterality": [LATERALITIES.index(study.laterality) for study in studies],
        "density": [DENSITIES.index(study.density) for study in studies],
        "assessment": [study.assessment for study in studies],
        "diagnosis": [DIAGNOSES.index(study.diagnosis) for study in studies],
        "findings": [
            sum(BITS[found] << SOURCES[source] for source, found in study.findings) for study in studies
        ],
        "round": [study.round for study in studies],
    }
    kinds_of = {"day": np.int32, "kinds": np.int32, "age": np.int16, "findings": np.int16, "round": np.int16}
    return Columns({name: np.array(held, kinds_of.get(name, np.int8)) for name, held in made.items()}, kinds)


def facts(studies: Sequence[Study], **datasets: Iterable[int]) -> Facts:
    """The studies as a gateway holds them, and published datasets by the places of their studies."""
    found = Facts(columns(studies), np.ones(len(studies), bool))
    found.patients = np.array([study.patient for study in studies], np.int32)
    for number, (name, members) in enumerate(datasets.items(), 1):
        found.published.append(Published(number, name, name, "", datetime.now(UTC)))
        found.members[number] = np.isin(np.arange(len(studies)), list(members))
        found.states[number] = hash((number, tuple(members), tuple(studies[one] for one in members))) % 2**64
    return found


def _findings(draw: st.DrawFn) -> tuple[tuple[str, str], ...]:
    said: list[tuple[str, str]] = []
    for source in SOURCES:
        kinds = draw(st.sampled_from([(), (), ("none",), ("mass",), ("mass", "calcifications"), ("other",)]))
        said += [(source, kind) for kind in kinds]
    return tuple(said)


@st.composite
def studies(draw: st.DrawFn) -> Study:
    return Study(
        draw(st.integers(0, 5)),
        tuple(draw(st.lists(st.sampled_from(SERIES), max_size=3, unique=True))),
        draw(st.sampled_from([0, 20191231, 20200101, 20200102, 20210615])),
        draw(st.sampled_from([-1, 0, 49, 50, 51, 69])),
        draw(st.sampled_from(SEXES)),
        draw(st.sampled_from(VIEWS)),
        draw(st.sampled_from(LATERALITIES)),
        draw(st.sampled_from(DENSITIES)),
        draw(st.integers(-1, 6)),
        draw(st.sampled_from(DIAGNOSES)),
        _findings(draw),
        draw(st.integers(0, 3)),
    )


def _choices(name: str, values: Iterable[str]) -> st.SearchStrategy[Condition]:
    drawn = st.lists(st.sampled_from(sorted(values)), min_size=1, max_size=3, unique=True)
    return drawn.map(lambda chosen: Condition(name, tuple(chosen)))


def _limits(name: str, numbers: Iterable[float]) -> st.SearchStrategy[Condition]:
    one = st.sampled_from(sorted(numbers))
    either = st.one_of(st.tuples(one, st.none()), st.tuples(st.none(), one), st.tuples(one, one))
    return either.map(lambda limits: Condition(name, None, *limits))


CONDITIONS = st.one_of(
    _choices("modality", ["MG", "DBT", "US", "MR", "PT"]),
    _choices("manufacturer", MANUFACTURERS),
    _choices("body_part", ["BREAST", "CHEST", "unknown"]),
    _choices("views", ["complete", "incomplete"]),
    _choices("laterality", LATERALITIES),
    _choices("density", DENSITIES),
    _choices("assessment", ["unknown", "0", "1", "4", "6"]),
    _choices("finding", ["mass", "calcifications", "other", "any", "none"]),
    _choices("finding_source", SOURCES),
    _choices("diagnosis", DIAGNOSES),
    _choices("sex", SEXES),
    _limits("age", [0, 49, 49.5, 50, 200]),
    _limits("year", [2019, 2020, 2021]),
    _limits("round", [0, 1, 2]),
    _limits("date", [20191231, 20200101, 20200615]),
)
QUESTIONS: st.SearchStrategy[Question] = st.recursive(
    CONDITIONS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(lambda parts: All(tuple(parts))),
        st.lists(inner, max_size=4).map(lambda parts: Either(tuple(parts))),
        inner.map(Not),
    ),
    max_leaves=8,
)
