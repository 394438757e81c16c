"""Datasets read in the order of searches, so that a page of a small one is found without passing all studies.

Where it is not that a search begins with, PostgreSQL looks for each study that matches whether a dataset has it.
"""

from dataclasses import dataclass

from archive.attributes import Level, tag
from archive.conditions import Parameters, condition, every
from archive.policy import Scope
from archive.query import Query
from archive.resource import Resource

SIDE_BY_SIDE = 16
"""Datasets that are merged, each read in its order; more are sorted together."""
# Keys of which few studies have the same value: what they find is looked for in the datasets, and not the other way.
_FEW = {
    (tag(keyword),)
    for keyword in (
        *("PatientID", "PatientName", "AccessionNumber", "StudyID"),
        *("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"),
    )
}
_STUDY_DATE = (tag("StudyDate"),)
_ORDER = "study_date desc, study_instance_uid desc"
_ONE = "select study_date, study_instance_uid from dataset_study where not withheld and {dates} and dataset = {number}"


@dataclass(frozen=True, slots=True)
class Among:
    """The datasets of a scope as a join that gives a search its studies in its order, under the name `seen`.

    `is_page`: only those of the search's page.
    """

    join: str
    is_page: bool


def datasets_in_order(scope: Scope, resource: Resource, query: Query, parameters: Parameters) -> Among | None:
    """The datasets to begin a search with; None where it is better begun with the studies that match."""
    numbers = scope.numbers
    is_selective = resource.level is not None or any(match.path in _FEW for match in query.matches)
    if scope.everything or not numbers or (is_selective and len(numbers) > 1):
        return None
    placeholders = [f"{parameters.add(number)}::integer" for number in numbers]
    dates = [match for match in query.matches if match.path == _STUDY_DATE]
    condition_of_dates = every(condition(match, parameters, table="dataset_study") for match in dates)
    found = _together(placeholders, condition_of_dates)
    is_page = query.level == Level.STUDY and len(dates) == len(query.matches) and resource.level is None
    if is_page:
        found = f"select * from ({found}) page order by {_ORDER} limit %(limit)s offset %(offset)s"  # noqa: S608
    return Among(f"join ({found}) seen on seen.study_instance_uid = study.study_instance_uid", is_page)


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
