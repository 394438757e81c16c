"""What is wrong with a record."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """What is wrong with a record: where, and which rule, never the value that a shape was put to.

    `about` is a property's name without its namespace, or a field's of `archive.catalogue_fields`.
    """

    about: str
    told: str

    def __str__(self) -> str:
        return f"{self.about}: {self.told}"


_FIELDS = {
    "contactPoint": "contact_email",
    "hasEmail": "contact_email",
    "title": "title",
    "description": "description",
    "keyword": "keywords",
    "provenance": "provenance",
    "hasURL": "contact_page",
    "accessRights": "rights",
    "rights": "access",
    "interoperabilityLevel": "tier",
    "collectionMethod": "methods",
    "type": "kinds",
    "healthCategory": "categories",
    "applicableLegislation": "legislation",
    "populationCoverage": "population",
    "license": "licence",
    "bibliographicCitation": "citation",
    "landingPage": "landing_page",
}
"""By a property of a record the field that it tells."""


def field_of(about: str) -> str:
    """The field of a dataset's record that a property tells; the property where it tells none."""
    return _FIELDS.get(about, about)
