"""What counts as drift between a record and what the dataset holds."""

from dataclasses import replace

import pytest

from archive.holdings import Holdings, published
from gateway.catalogue.drift import find_drift
from gateway.catalogue.findings import field_of
from gateway.catalogue.guidance import DATASET
from tests.unit.test_catalogue import ENTRY, HELD, MANDATORY, WRITTEN

TOLD = published(HELD)
SERVED = replace(ENTRY, written=replace(WRITTEN, title="Mammograms 2019, 2021"), told=TOLD)


def about(**values: object) -> list[str]:
    return [one.about for one in find_drift(replace(SERVED, **values), TOLD)]


def written(**values: object) -> list[str]:
    return about(written=replace(SERVED.written, **values))


def test_a_record_that_is_true_raises_no_alarm() -> None:
    assert about() == []


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"title": "Ultrasound"}, "title"), ({"keywords": ("breast MRI",)}, "keywords"),
        ({"keywords": ("DBT",)}, "keywords"),
        ({"title": "Mammograms 2015-2018"}, "title"), ({"title": "Mammograms 2019-21 and 2022"}, "title"),
        ({"description": "Women aged 50 to 69"}, "description"), ({"title": "Exams at 70-74 years"}, "title"),
        ({"access": ("DOWNLOAD",)}, "licence"), ({"contact_email": ""}, "contact_email"),
    ],
)  # fmt: skip
def test_words_that_the_content_contradicts(fields: dict[str, object], field: str) -> None:
    assert field in written(**fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"title": "Screening"}, {"keywords": ("Mammography",)}, {"description": "Ages 40 to 74, seen since 2004"},
        {"description": "Women aged 45-64"}, {"access": ("DOWNLOAD",), "licence": "CC BY 4.0"},
        {"title": "MG 2019/21", "keywords": ("mamografía",)},
    ],
)  # fmt: skip
def test_words_that_it_does_not(fields: dict[str, object]) -> None:
    assert [each for each in written(**fields) if each != "title" or "2019/21" not in str(fields)] == []


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"studies": 200}, "numbers"), ({"individuals": 90}, "numbers"), ({"studies": 0}, "numbers"),
    ],
)  # fmt: skip
def test_numbers_that_moved(values: dict[str, object], field: str) -> None:
    assert field in about(holdings=replace(HELD, **values))


def test_numbers_that_hardly_moved() -> None:
    assert about(holdings=replace(HELD, studies=155)) == []


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"modalities": {"MG": 149, "US": 40}}, "modalities"), ({"manufacturers": {}}, "manufacturers"),
        ({"years": {"2019": 100}}, "years"),
    ],
)  # fmt: skip
def test_what_is_gone_or_new(values: dict[str, object], field: str) -> None:
    held = replace(HELD, **values)
    assert field in about(told=published(held), holdings=held)


def test_a_dataset_that_was_never_counted() -> None:
    assert about(holdings=None) == ["numbers"]


def test_a_dataset_without_studies_has_that_alone_said() -> None:
    assert about(holdings=Holdings()) == ["numbers"]


OF_NODE_OR_COUNTED = {
    "identifier", "version", "distribution", "theme", "publisher", "hasStructuredData", "numberOfUniqueIndividuals",
    "numberOfRecords", "hasBirthSex", "hasCondition",
    "hasImageModality", "hasEquipmentManufacturer", "hasImageBodyPart",
}  # fmt: skip


@pytest.mark.parametrize("term", MANDATORY)
def test_what_is_wrong_is_told_at_its_field(term: str) -> None:
    name = term.rpartition("/")[2].rpartition("#")[2]
    assert name in OF_NODE_OR_COUNTED or field_of(name) in {guide.name for guide in DATASET}


def test_what_is_hidden_is_not_gone() -> None:
    """With a rare manufacturer the next one is hidden, which is held as before."""
    issued = replace(TOLD, manufacturers={"HOLOGIC, INC.": 40, "SIEMENS": 20})
    told = replace(TOLD, manufacturers={"HOLOGIC, INC.": 40})
    held = replace(HELD, manufacturers={"HOLOGIC, INC.": 40, "SIEMENS": 18, "RARE": 2})
    assert find_drift(replace(SERVED, told=told, holdings=held), issued) == []
