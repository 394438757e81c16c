"""How a version of a dataset is cited: as text, BibTeX, CSL-JSON and DataCite's metadata (schema 4.5)."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any

from archive.catalogue_fields import Node, Written

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{each: f"\\{each}" for each in "&%$#_{}"},
}


@dataclass(frozen=True, slots=True)
class Citation:
    """What a citation is made of. `address` is that of the version, which stays as it is."""

    name: str
    title: str
    publisher: str
    version: str
    issued: date
    address: str
    description: str
    keywords: tuple[str, ...]
    licence: str
    wanted: str  # the words that the steward wants instead of the text made here

    @property
    def text(self) -> str:
        """After DataCite's recommendation: creator (year): title. Version. Publisher. Type. Identifier."""
        if self.wanted:
            return f"{self.wanted} Version {self.version}, {self.issued.isoformat()}. {self.address}"
        return (
            f"{self.publisher} ({self.issued.year}): {self.title}. Version {self.version}. "
            f"{self.publisher}. Dataset, {self.issued.isoformat()}. {self.address}"
        )


def citation_of(
    name: str, node: Node, written: Written, version: str, issued: date, address: str
) -> Citation:
    """The citation of a version at its address."""
    return Citation(
        name,
        written.title,
        node.publisher or "The operator of this node",
        version,
        issued,
        address,
        written.description,
        written.keywords,
        written.licence,
        written.citation,
    )


def bibtex(citation: Citation) -> str:
    """An entry `@dataset` (biblatex); in BibTeX's own styles it is printed as `@misc`."""
    fields = {
        "author": f"{{{_escape(citation.publisher)}}}",
        "title": f"{{{_escape(citation.title)}}}",
        "year": str(citation.issued.year),
        "date": citation.issued.isoformat(),
        "publisher": f"{{{_escape(citation.publisher)}}}",
        "version": citation.version,
        "url": citation.address,
    }
    key = re.sub("[^A-Za-z0-9-]", "-", citation.name) + f"-{citation.version}"
    lines = [f"  {name} = {{{value}}}" for name, value in fields.items()]
    return f"@dataset{{{key},\n" + ",\n".join(lines) + "\n}\n"


def csl(citation: Citation) -> str:
    """An item of CSL-JSON 1.0.2 in the list that reference managers import."""
    day = citation.issued
    item = {
        "id": f"{citation.name}-{citation.version}",
        "type": "dataset",
        "title": citation.title,
        "author": [{"literal": citation.publisher}],
        "publisher": citation.publisher,
        "issued": {"date-parts": [[day.year, day.month, day.day]]},
        "version": citation.version,
        "URL": citation.address,
        "abstract": citation.description,
        "keyword": ", ".join(citation.keywords),
    }
    return json.dumps([item], ensure_ascii=False, indent=1)


def datacite(citation: Citation) -> str:
    """The attributes with which DataCite registers a DOI; this node has none of its own."""
    content: dict[str, Any] = {
        "identifiers": [{"identifier": citation.address, "identifierType": "URL"}],
        "creators": [{"name": citation.publisher, "nameType": "Organizational"}],
        "titles": [{"title": citation.title, "lang": "en"}],
        "publisher": {"name": citation.publisher},
        "publicationYear": citation.issued.year,
        "types": {"resourceTypeGeneral": "Dataset", "resourceType": "Breast images (DICOM)"},
        "subjects": [{"subject": each} for each in citation.keywords],
        "dates": [{"date": citation.issued.isoformat(), "dateType": "Issued"}],
        "formats": ["application/dicom"],
        "version": citation.version,
        "descriptions": [{"description": citation.description, "descriptionType": "Abstract", "lang": "en"}],
        "url": citation.address,
        "schemaVersion": "http://datacite.org/schema/kernel-4",
    }
    if citation.licence:
        content["rightsList"] = [{"rights": citation.licence}]
    return json.dumps(content, ensure_ascii=False, indent=1)


def _escape(text: str) -> str:
    return "".join(_SPECIAL.get(each, each) for each in text)


@dataclass(frozen=True, slots=True)
class Form:
    """A form of a citation, and its media type."""

    title: str
    media_type: str
    write: Callable[[Citation], str]


FORMS = {
    "text": Form("Text", "text/plain", lambda citation: citation.text + "\n"),
    "bibtex": Form("BibTeX", "application/x-bibtex", bibtex),
    "csl": Form("CSL-JSON", "application/vnd.citationstyles.csl+json", csl),
    "datacite": Form("DataCite", "application/vnd.datacite.datacite+json", datacite),
}
"""By the value of `format` in an address."""
