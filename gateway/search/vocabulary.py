"""The codes by which others ask for what a question's criteria and values are.

Of EUCAIM's hyper-ontology, SNOMED CT, RadLex, the NCI Thesaurus, BIRNLex and DICOM, as the federation's catalogue and
its ontology pair them. Codes are CURIEs; `find` takes them as any of those others write them.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from gateway.search.question import UNKNOWN

HYPER_ONTOLOGY = "EUCAIM_Hyper-Ontology_V1.0."
PREFIXES = {
    "EUCAIM": "https://cancerimage.eu/ontology/EUCAIM#",
    "SNOMED": "http://snomed.info/id/",
    "RADLEX": "http://radlex.org/RID/",
    "NCIT": "http://purl.obolibrary.org/obo/NCIT_",
    "BIRNLEX": "http://bioontology.org/projects/ontologies/birnlex#birnlex_",
    "DCM": "http://dicom.nema.org/resources/ontology/DCM/",
}
"""The vocabularies, by the prefix of their CURIEs here."""
ONTOLOGIES = {
    "EUCAIM": "EUCAIM Hyper-Ontology",
    "SNOMED": "SNOMED CT",
    "RADLEX": "RadLex",
    "NCIT": "NCI Thesaurus",
    "BIRNLEX": "BIRNLex",
    "DCM": "DICOM Controlled Terminology",
}


@dataclass(frozen=True, slots=True)
class Term:
    """A value of a criterion, its name, and the codes that mean it; `other` are names that some ask for it by."""

    criterion: str
    value: str
    label: str
    codes: tuple[str, ...] = ()
    other: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Field:
    """A criterion, its name, and the codes of it as a key."""

    criterion: str
    label: str
    codes: tuple[str, ...] = ()


FIELDS = (
    Field("sex", "Sex", ("SNOMED:263495000", "EUCAIM:COM1001396")),
    Field("age", "Age at the exam, in years", ("SNOMED:423493009",)),
    Field("year", "Year of the exam", ("SNOMED:432213005",)),
    Field("diagnosis", "Diagnosis", ("SNOMED:439401001",)),
    Field("modality", "Modality", ("RADLEX:10311", "EUCAIM:IMG1000009")),
    Field("body_part", "Body part", ("SNOMED:123037004",)),
    Field("manufacturer", "Manufacturer", ("NCIT:C25392", "EUCAIM:IMG1000010")),
    Field("assessment", "BI-RADS assessment", ("EUCAIM:IMG1005459", "DCM:111005")),
    Field("density", "Breast density", ("EUCAIM:CLIN1052158", "SNOMED:129715009", "DCM:111006")),
    Field("laterality", "Laterality", ("EUCAIM:IMG1016305", "SNOMED:272741003")),
    Field("finding", "Finding"),
    Field("views", "Views"),
    Field("round", "Screening round"),
    Field("date", "Date of the exam"),
)
"""Age and year are those of the exam: when a diagnosis was made a node of images does not know."""


def _assessments() -> tuple[Term, ...]:
    numbered = {
        "0": ("IMG1005470", "COM1002085"),
        "1": ("IMG1005469", "COM1002097"),
        "2": ("IMG1005468", "COM1002110"),
        "3": ("IMG1005466", "COM1002139"),
        "4": ("IMG1005465", "COM1002155"),
        "5": ("IMG1005464", "COM1002124"),
        "6": ("IMG1005463", "COM1002190"),
    }
    snomed = {"0": "397138000", "1": "397140005", "2": "397141009", "3": "397143007"}
    snomed |= {"4": "397144001", "5": "397145000"}
    return tuple(
        Term(
            "assessment",
            number,
            f"BI-RADS {number}",
            (
                *(f"EUCAIM:{code}" for code in codes),
                *([f"SNOMED:{snomed[number]}"] if number in snomed else []),
            ),
        )
        for number, codes in numbered.items()
    )


TERMS = (
    Term("sex", "F", "Female", ("SNOMED:248152002", "EUCAIM:COM1001370"), ("female",)),
    Term("sex", "M", "Male", ("SNOMED:248153007", "EUCAIM:COM1001366"), ("male",)),
    Term("sex", "O", "Other", ("SNOMED:74964007",), ("other",)),
    Term(
        "sex",
        UNKNOWN,
        "Not known",
        ("SNOMED:261665006", "EUCAIM:COM1002760", "EUCAIM:COM1001289"),
        ("unknown",),
    ),
    Term("diagnosis", "breast-cancer", "Breast cancer", ("SNOMED:254837009", "EUCAIM:CLIN1000060")),
    Term("diagnosis", UNKNOWN, "Not known", ("SNOMED:261665006",)),
    Term(
        "modality",
        "MG",
        "Mammography",
        ("EUCAIM:IMG1000030", "EUCAIM:IMG1004455", "SNOMED:71651007", "RADLEX:10357", "DCM:MG"),
    ),
    Term("modality", "DBT", "Tomosynthesis"),
    Term(
        "modality",
        "US",
        "Ultrasound",
        (
            *("EUCAIM:IMG1000040", "EUCAIM:IMG1000035", "SNOMED:16310003"),
            *("RADLEX:10326", "DCM:US"),
        ),
    ),
    Term(
        "modality",
        "MR",
        "Magnetic resonance",
        (*("RADLEX:10312", "EUCAIM:IMG1000022", "EUCAIM:IMG1000038", "DCM:MR"),),
    ),
    Term(
        "modality",
        "PT",
        "Positron emission tomography",
        ("RADLEX:10337", "EUCAIM:IMG1000037", "DCM:PT"),
        ("PET",),
    ),
    Term("modality", "NM", "Nuclear medicine", ("RADLEX:10334", "DCM:NM"), ("SPECT",)),
    Term("modality", "CT", "Computed tomography", ("RADLEX:10321", "EUCAIM:IMG1000026", "DCM:CT")),
    Term("modality", "DX", "Digital radiography", ("EUCAIM:IMG1000028", "DCM:DX")),
    Term("modality", "CR", "Computed radiography", ("EUCAIM:IMG1000024", "DCM:CR")),
    Term("body_part", "BREAST", "Breast", ("SNOMED:76752008", "EUCAIM:BP1000136")),
    Term("body_part", "COLON", "Colon", ("SNOMED:71854001",)),
    Term("body_part", "LUNG", "Lung", ("SNOMED:39607008",)),
    Term("body_part", "PELVIS", "Pelvis", ("SNOMED:12921003", "SNOMED:816092008")),
    Term("body_part", "PROSTATE", "Prostate", ("SNOMED:41216001",)),
    Term("body_part", "ABDOMEN", "Abdomen", ("SNOMED:818981001",)),
    Term("body_part", "HEAD", "Head", ("SNOMED:69536005",)),
    Term(
        "manufacturer",
        "SIEMENS",
        "Siemens",
        ("NCIT:C200140", "BIRNLEX:3066", "EUCAIM:IMG1000044"),
        ("Siemens Healthineers", "Siemens Medical Solutions"),
    ),
    Term("manufacturer", "GE", "GE", ("BIRNLEX:12833", "EUCAIM:IMG1000047"), ("General Electric",)),
    Term("manufacturer", "PHILIPS", "Philips", ("BIRNLEX:3065", "EUCAIM:IMG1000046")),
    Term("manufacturer", "TOSHIBA", "Toshiba", ("BIRNLEX:3067", "EUCAIM:IMG1000045")),
    Term("manufacturer", "HOLOGIC", "Hologic", ("EUCAIM:IMG1000064",)),
    Term("manufacturer", "FUJIFILM", "Fujifilm", ("EUCAIM:IMG1000060",)),
    Term("manufacturer", "IMS", "I.M.S", ("EUCAIM:IMG1000048",)),
    Term("manufacturer", "CANON", "Canon", ("EUCAIM:IMG1000050",)),
    Term("manufacturer", "AGFA", "Agfa", ("EUCAIM:IMG1000051",)),
    Term("manufacturer", "HITACHI", "Hitachi", ("EUCAIM:IMG1000057",)),
    *_assessments(),
    Term("density", "a", "Almost entirely fat", ("EUCAIM:IMG1016685", "SNOMED:129716005")),
    Term("density", "b", "Scattered fibroglandular", ("EUCAIM:IMG1016680", "SNOMED:129717001")),
    Term(
        "density",
        "c",
        "Heterogeneously dense",
        ("EUCAIM:IMG1016692", "SNOMED:129718006"),
    ),
    Term("density", "d", "Extremely dense", ("EUCAIM:IMG1016693", "SNOMED:129719003")),
    Term("density", UNKNOWN, "Not known", ("SNOMED:261665006",)),
    Term("assessment", UNKNOWN, "Not known", ("SNOMED:261665006",)),
    Term("laterality", "L", "Left", ("EUCAIM:IMG1016670", "SNOMED:7771000")),
    Term("laterality", "R", "Right", ("EUCAIM:IMG1016682", "SNOMED:24028007")),
    Term("laterality", "B", "Both", ("EUCAIM:IMG1016659", "SNOMED:51440002")),
    Term("laterality", UNKNOWN, "Not known", ("SNOMED:261665006",)),
    Term("finding", "mass", "Mass", ("EUCAIM:IMG1016511",)),
    Term(
        "finding",
        "calcifications",
        "Calcifications",
        ("EUCAIM:CLIN1000102",),
    ),
    Term("finding", "other", "Other finding"),
    Term("finding", "any", "Any finding"),
    Term("finding", "none", "No finding"),
    Term("views", "complete", "Complete: both breasts in CC and MLO"),
    Term("views", "incomplete", "Incomplete"),
)
"""A code that says more than its value, such as that of microcalcifications or of an ultrasound of the breast, is none
of them, for the answer would be wider than what was asked. The hyper-ontology has no term for tomosynthesis."""


def _written(code: str) -> str:
    """A code without its vocabulary; as no two of those named here have one code, it is enough."""
    prefix, _, rest = code.partition(":")
    return {"RADLEX": f"RID{rest}", "BIRNLEX": f"birnlex_{rest}"}.get(prefix, rest).casefold()


_PREFIX = re.compile(
    r"(?:SNOMEDCT|SNOMED|SCT|EUCAIM|RADLEX|NCIT|BIRNLEX|DCM):?(?=[A-Z0-9])", re.ASCII | re.IGNORECASE
)


def bare(code: str) -> str:
    """A code as others write it, without its vocabulary and in lower case."""
    text = code.removeprefix(HYPER_ONTOLOGY)
    found = _PREFIX.match(text)
    prefix, rest = (found[0].upper().rstrip(":"), text[found.end() :]) if found else ("", text)
    if prefix in ("RADLEX", "BIRNLEX") and rest.isdigit():
        return _written(f"{prefix}:{rest}")
    return rest.casefold()


_FIELDS: Mapping[str, str] = {_written(code): each.criterion for each in FIELDS for code in each.codes}
_VALUES: Mapping[tuple[str, str], str] = {
    (each.criterion, _written(code)): each.value for each in TERMS for code in each.codes
} | {
    (each.criterion, name.casefold()): each.value
    for each in TERMS
    for name in (each.value, each.label, *each.other)
}
_BY_CODE: Mapping[str, Term] = {
    _written(code): each for each in reversed(TERMS) for code in each.codes if each.value != UNKNOWN
}
LABELS: Mapping[tuple[str, str], str] = {(each.criterion, each.value): each.label for each in TERMS}


def find_field(key: str) -> str | None:
    """The criterion that a key names; None for one that is not asked for here."""
    return _FIELDS.get(bare(key))


def find_value(criterion: str, code: str) -> str | None:
    """The value of a criterion that a code or a name means; None for one that means none."""
    return _VALUES.get((criterion, bare(code))) or _VALUES.get((criterion, code.casefold()))


def find_containing(criterion: str, text: str) -> tuple[str, ...]:
    """The values of a criterion that a code means, or whose names have a text in them."""
    exact = find_value(criterion, text)
    if exact or not text.strip():
        return (exact,) if exact else ()
    sought = text.strip().casefold()
    named = [each for each in TERMS if each.criterion == criterion and each.value != UNKNOWN]
    return tuple(
        each.value
        for each in named
        if any(sought in name.casefold() for name in (each.value, each.label, *each.other))
    )


def find_term(code: str) -> Term | None:
    """The term that a CURIE stands for, whatever it is asked of."""
    return _BY_CODE.get(bare(code)) if ":" in code else None
