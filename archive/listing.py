"""Datasets read in the order of searches, so that a page of a small one is found without passing all studies.

Where it is not that a search begins with, PostgreSQL looks for each study that matches whether a dataset has it. A
page deep in a list begins in a study that is found by counting: sets of bits say which studies of a month a dataset
has, and so count those of several that have studies in common (`archive/schema/0014_dataset_counts.sql`).
"""

from dataclasses import dataclass

from psycopg import AsyncConnection

from archive.attributes import Level, tag
from archive.conditions import Parameters, condition, every
from archive.policy import Scope
from archive.pool import queries
from archive.query import Query
from archive.resource import Resource
from archive.statements import fetch

SIDE_BY_SIDE = 16
"""Datasets that are merged, each read in its order; more are sorted together."""
DEEP = 500
"""Rows before a page from which on it is looked for by counts of what lies before."""
# Keys of which few studies have the same value: what they find is looked for in the datasets, and not the other way.
_FEW = {
    (tag(keyword),)
    for keyword in (
        *("PatientID", "PatientName", "AccessionNumber", "StudyID"),
        *("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"),
    )
}
_STUDY_DATE = (tag("StudyDate"),)
# What counts the rows of a level among the bits of `seen`: the tables, the sum; and how many a study has.
_COUNTED_BY: dict[Level, tuple[dict[str, str], str]] = {
    Level.STUDY: ({"numbered": "", "members": "seen.members", "weight": "0", "level": ""}, "1"),
    **{
        level: (
            {
                "numbered": "join month_numbers numbered using (month, chunk)",
                "members": "seen.members & numbered.members",
                "weight": "numbered.power",
                "level": f"and numbered.level = '{table}'",
            },
            f"number_of_{table}",
        )
        for level, table in ((Level.SERIES, "series"), (Level.INSTANCE, "instances"))
    },
}
_ORDER = "study_date desc, study_instance_uid desc"
_ONE = "select study_date, study_instance_uid from dataset_study where not withheld and {dates} and dataset = {number}"


@dataclass(frozen=True, slots=True)
class Among:
    """The datasets of a scope as a join that gives a search its studies in its order, under the name `seen`.

    `is_page`: only those of the search's page.
    """

    join: str
    is_page: bool


@dataclass(frozen=True, slots=True)
class Begin:
    """The study that a page begins in, and the rows of it that come before the page."""

    study_date: str
    study_instance_uid: str
    skipped: int


def datasets_in_order(
    scope: Scope,
    resource: Resource,
    query: Query,
    parameters: Parameters,
    begin: Begin | None = None,
    *,
    is_filtered: bool = False,
) -> Among | None:
    """The datasets to begin a search with; None where it is better begun with the studies that match.

    `is_filtered`: the caller asks for more than the query says.
    """
    numbers = scope.numbers
    is_selective = resource.level is not None or any(match.path in _FEW for match in query.matches)
    if scope.everything or not numbers or (is_selective and len(numbers) > 1):
        return None
    dates = [match for match in query.matches if match.path == _STUDY_DATE]
    conditions = [condition(match, parameters, table="dataset_study") for match in dates]
    if begin:
        last = f"{parameters.add(begin.study_date)}, {parameters.add(begin.study_instance_uid)}"
        conditions.append(f"(dataset_study.study_date, dataset_study.study_instance_uid) <= ({last})")
    is_page = False
    if is_counted(resource, query) and not is_filtered:
        found = _first_of_each(numbers, every(conditions), parameters)
        if is_page := query.level == Level.STUDY:
            found = f"select * from ({found}) page order by {_ORDER} limit %(limit)s offset %(offset)s"  # noqa: S608
    else:
        placeholders = [f"{parameters.add(number)}::integer" for number in numbers]
        found = _together(placeholders, every(conditions))
    return Among(f"join ({found}) seen on seen.study_instance_uid = study.study_instance_uid", is_page)


def is_counted(resource: Resource, query: Query) -> bool:
    """Whether each row of the search's studies is one that it finds."""
    return resource.level is None and all(match.path == _STUDY_DATE for match in query.matches)


async def begin_of_page(connection: AsyncConnection, scope: Scope, query: Query) -> Begin | None:
    """Where a page of a counted search among datasets begins; None where it lies behind the last row."""
    parameters = Parameters()
    sql = queries("search.sql")
    dates = [condition(match, parameters, table="day_places") for match in query.matches]
    count, here = _COUNTED_BY[query.level]
    months = {} if dates else {"month": sql["month_among"].format(**count)}
    statement = sql["begin_among"].format(
        **count,
        here=here,
        month=months.get("month", ""),
        dates=every(dates) if dates else "day_places.month = (select month from month)",
        offset="%(offset)s" if dates else "(select skipped from month)",
        scope=restrict(scope, parameters),
        numbers=f"{parameters.add(list(scope.numbers))}::integer[]",
    )
    rows = await fetch(connection, statement, parameters.values | {"offset": query.offset}, prepare=not dates)
    return Begin(*rows[0]) if rows else None


def restrict(scope: Scope, parameters: Parameters) -> str:
    """The studies of a scope, as a condition on the table `study`; none that is withheld."""
    if scope.everything or not scope.numbers:
        return f"not study.withheld and {'true' if scope.everything else 'false'}"
    return f"""not study.withheld and exists (
        select from dataset_study seen
        where seen.study_instance_uid = study.study_instance_uid
            and seen.dataset = any({parameters.add(list(scope.numbers))}::integer[]) and not seen.withheld)"""


def _first_of_each(numbers: tuple[int, ...], conditions: str, parameters: Parameters) -> str:
    """Of each dataset as many studies as the page and what lies before it have rows at most."""
    first = f"order by {_ORDER} limit %(limit)s::bigint + %(offset)s::bigint"
    one = _ONE.format(number="number", dates=conditions)
    each = f"unnest({parameters.add(list(numbers))}::integer[]) number, lateral ({one} {first}) part"  # noqa: S608
    if len(numbers) == 1:
        return f"select study_date, study_instance_uid from {each}"  # noqa: S608
    return f"select distinct study_date, study_instance_uid from {each} {first}"  # noqa: S608


def _together(numbers: list[str], dates: str) -> str:
    """Each study of the datasets once, in order. DISTINCT ON merges what is in order, and hashes nothing."""
    if len(numbers) == 1:
        return _ONE.format(number=numbers[0], dates=dates)
    if len(numbers) > SIDE_BY_SIDE:
        parts = _ONE.format(number=f"any(array[{', '.join(numbers)}])", dates=dates)
    else:
        each_in_order = (f"({_ONE.format(number=each, dates=dates)} order by {_ORDER})" for each in numbers)
        parts = " union all ".join(each_in_order)
    distinct = "select distinct on (study_date, study_instance_uid) study_date, study_instance_uid"
    return f"{distinct} from ({parts}) part order by {_ORDER}"
