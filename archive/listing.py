"""Datasets read in the order of searches, so that a page of a small one is found without passing all studies.

Where it is not that a search begins with, PostgreSQL looks for each study that matches whether a dataset has it.
"""

from dataclasses import dataclass

from archive.attributes import Level, tag
from archive.conditions import Parameters
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
_ORDER = "study_date desc, study_instance_uid desc"
_ONE = "select study_date, study_instance_uid from dataset_study where not withheld and dataset = {}"


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
    found = _ONE.format(placeholders[0]) if len(numbers) == 1 else _together(placeholders)
    is_page = query.level == Level.STUDY and not query.matches and not resource.level
    if is_page:
        found += (f" order by {_ORDER}" if len(numbers) == 1 else "") + " limit %(limit)s offset %(offset)s"
    return Among(f"join ({found}) seen on seen.study_instance_uid = study.study_instance_uid", is_page)


def _together(placeholders: list[str]) -> str:
    """Each study of several datasets once, in order."""
    if len(placeholders) > SIDE_BY_SIDE:
        every = _ONE.format(f"any(array[{', '.join(placeholders)}])")
    else:
        every = " union all ".join(_ONE.format(each) for each in placeholders)
    return f"select distinct study_date, study_instance_uid from ({every}) each_one order by {_ORDER}"  # noqa: S608
