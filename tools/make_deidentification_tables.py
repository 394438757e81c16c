"""Make the tables of `deidentification` from Table E.1-1 and the dictionaries of pydicom and highdicom.

    python tools/make_deidentification_tables.py ../shared/reference/ps3.15_table_e1-1.csv \\
        ../shared/reference/ps3.15_safe_private.csv

writes, into deidentification/tables/:

    confidentiality.csv   each row of Table E.1-1, with the action taken where the code leaves a choice
    keep.csv              the allow-list: what the IODs below need, with the check that a kept value must pass
    codes.csv             the code meanings of PS3.16 that may stay
    safe_private.csv      the private elements of Table E.3.10-1, and numbers and terms of mammography vendors

terms.csv, words.txt and the profiles (*.toml) beside them are written by hand.
"""

import argparse
import csv
import json
import re
from collections.abc import Iterable, Iterator
from importlib.resources import files
from pathlib import Path

from pydicom.datadict import (
    dictionary_VM,
    dictionary_VR,
    keyword_for_tag,
    private_dictionary_VR,
    tag_for_keyword,
)
from pydicom.sr._concepts_dict import concepts
from pydicom.sr._snomed_dict import mapping as snomed

TABLES = Path(__file__).parents[1] / "deidentification" / "tables"

IODS = """
    breast-projection-x-ray-image breast-tomosynthesis-image color-softcopy-presentation-state
    comprehensive-3d-sr computed-radiography-image ct-image digital-mammography-x-ray-image
    digital-x-ray-image enhanced-ct-image enhanced-mr-color-image enhanced-mr-image
    enhanced-us-volume grayscale-softcopy-presentation-state key-object-selection-document
    mammography-cad-sr mr-image parametric-map positron-emission-tomography-image segmentation
    ultrasound-image ultrasound-multi-frame-image
""".split()  # noqa: SIM905

# Modules that describe people, trials, specimens and visits: only options of E.1-1 keep anything of them.
LEFT_OUT = (
    "patient",
    "clinical-trial",
    "specimen",
    "general-study",
    "intervention",
    "contrast-bolus",
    "overlay",
)

NUMBERS = {"AT", "DS", "FD", "FL", "IS", "OD", "OF", "OL", "OV", "SL", "SS", "SV", "UL", "US", "UV"}
TEXTS = {"AE", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"}

CHECKS = {
    "CodeMeaning": "code_meaning",
    "CodeValue": "code_value",
    "CodingSchemeDesignator": "code_scheme",
    "CodingSchemeVersion": "version",
    "ContentLabel": "label",
    "GraphicLayer": "key",
    "LongCodeValue": "code_value",
    "Manufacturer": "product",
    "ManufacturerModelName": "product",
    "ModalityLUTType": "term",
    "ProcedureCodeSequence": "sequence",
    "RescaleType": "term",
    "SOPClassUID": "uid",
    "SpecificCharacterSet": "character_set",
    "StackID": "ordinal",
    "TextValue": "dummy",
}
LOOKUP_TABLES = {
    "BluePaletteColorLookupTableData",
    "GreenPaletteColorLookupTableData",
    "LUTData",
    "RedPaletteColorLookupTableData",
    "SegmentedBluePaletteColorLookupTableData",
    "SegmentedGreenPaletteColorLookupTableData",
    "SegmentedRedPaletteColorLookupTableData",
}
# Written anew by the rewriter, or dropped as of no use to a reader and open to hiding things.
NEVER = {
    "CodingSchemeIdentificationSequence",
    "ContextIdentifier",
    "ContextUID",
    "CreatorVersionUID",
    "DeidentificationMethod",
    "DeidentificationMethodCodeSequence",
    "EncryptedAttributesSequence",
    "EquivalentCodeSequence",
    "ExtendedOffsetTable",
    "ExtendedOffsetTableLengths",
    "FloatPixelData",
    "DoubleFloatPixelData",
    "HL7StructuredDocumentReferenceSequence",
    "LongitudinalTemporalInformationModified",
    "MappingResourceUID",
    "MACParametersSequence",
    "PatientIdentityRemoved",
    "PixelData",
    "PixelDataProviderURL",
    "PrivateDataElementCharacteristicsSequence",
}
# Meanings as PS3.16 gives them where SNOMED CT's own name is another: CID 4014 and 4015, and the breast.
PREFERRED = {
    "76752008": "Breast",
    "399067008": "Lateral",
    "399099002": "latero-medial oblique",
    "399101009": "cranio-caudal exaggerated laterally",
    "399162004": "cranio-caudal",
    "399188001": "superolateral to inferomedial oblique",
    "399192008": "cranio-caudal exaggerated",
    "399196006": "caudo-cranial (from below)",
    "399260004": "medio-lateral",
    "399265009": "cranio-caudal exaggerated medially",
    "399352003": "latero-medial",
    "399368009": "medio-lateral oblique",
    "441555000": "inferomedial to superolateral oblique",
}
OPTIONS = {
    "rtn_safe_priv_opt": "retain_safe_private",
    "rtn_uids_opt": "retain_uids",
    "rtn_dev_id_opt": "retain_device_identity",
    "rtn_inst_id_opt": "retain_institution_identity",
    "rtn_pat_chars_opt": "retain_patient_characteristics",
    "rtn_long_full_dates_opt": "retain_longitudinal_full_dates",
    "rtn_long_modif_dates_opt": "retain_longitudinal_modified_dates",
    "clean_desc_opt": "clean_descriptors",
    "clean_struct_cont_opt": "clean_structured_content",
    "clean_graph_opt": "clean_graphics",
}


def read_types() -> dict[str, str]:
    """The strictest type (1, 2 or 3) that any of the IODs gives each attribute, by keyword."""
    return _types(lambda module: True)


def read_allowed() -> dict[str, str]:
    """The same for the modules that are kept."""
    return _types(lambda module: not module.startswith(LEFT_OUT))


def _types(wanted) -> dict[str, str]:
    standard = files("highdicom") / "_standard"
    modules = json.loads((standard / "iod_module_map.json").read_text())
    attributes = json.loads((standard / "module_attribute_map.json").read_text())
    names = {module["key"] for iod in IODS for module in modules[iod] if wanted(module["key"])}
    types: dict[str, str] = {}
    for name in sorted(names):
        for attribute in attributes[name]:
            kind = attribute["type"][:1]
            types[attribute["keyword"]] = min(types.get(attribute["keyword"], "3"), kind)
    return types


def choose(code: str, kind: str) -> str:
    """The action where a code leaves a choice: X for type 3, Z for 2, D for 1, or the next safe one."""
    choices = code.replace("U*", "U").split("/")
    if "U" in choices:
        return "U"
    for action in {"1": "DZX", "2": "ZDX", "3": "XZD"}[kind]:
        if action in choices:
            return action
    raise ValueError(f"unknown action code {code!r}")


def confidentiality(source: Path) -> Iterator[dict[str, str]]:
    """The rows of confidentiality.csv."""
    types = read_types()
    with source.open(newline="") as lines:
        for row in csv.DictReader(lines):
            tag = row["tag"].split()[0].strip("()").replace(",", "")
            keyword = row["keyword"].strip("?") or _keyword(tag) or re.sub("[^A-Za-z0-9]", "", row["name"])
            yield {
                "tag": tag.upper().replace("X", "x"),
                "keyword": keyword,
                "vr": row["vr"],
                "basic": row["basic_profile"],
                "action": choose(row["basic_profile"], types.get(keyword, "3")),
                **{name: row[column] for column, name in OPTIONS.items()},
            }


def _keyword(tag: str) -> str:
    try:
        return keyword_for_tag(int(tag, 16))
    except ValueError:
        return ""


def keep(listed: set[str]) -> Iterator[dict[str, str]]:
    """The rows of keep.csv: what the kept modules name and E.1-1 does not."""
    allowed = read_allowed() | dict.fromkeys(CHECKS, "3") | dict.fromkeys(LOOKUP_TABLES, "1")
    for keyword in sorted(allowed, key=lambda name: tag_for_keyword(name) or 0):
        tag = tag_for_keyword(keyword)
        if tag is None or keyword in NEVER or f"{tag:08X}" in listed or tag >> 24 == 0x60:
            continue
        check = _check(keyword, dictionary_VR(tag), allowed[keyword])
        if check:
            yield {
                "tag": f"{tag:08X}",
                "keyword": keyword,
                "vr": dictionary_VR(tag),
                "vm": dictionary_VM(tag),
                "check": check,
            }


def _check(keyword: str, vr: str, kind: str) -> str:
    if keyword in CHECKS:
        return CHECKS[keyword]
    if keyword in LOOKUP_TABLES:
        return "lookup_table"
    if vr in TEXTS:
        return {"1": "dummy", "2": "empty", "3": ""}[kind]
    by_vr = {"CS": "term", "UI": "uid", "SQ": "sequence", "DA": "date", "TM": "time", "DT": "date_time"}
    return "number" if set(vr.split(" or ")) <= NUMBERS else by_vr.get(vr, "")


def safe_private(source: Path) -> Iterator[dict[str, str]]:
    """The rows of safe_private.csv. Bulk data can't be checked; what the standard does not list is no text."""
    checkable = NUMBERS | {"CS", "AS"}
    with source.open(newline="") as lines:
        for row in csv.DictReader(lines):
            listed = row["source"].startswith("PS3.15")
            allowed = checkable | TEXTS | {"DA", "TM", "DT", "UI", "SQ"} if listed else checkable
            found = re.fullmatch(r"\(([0-9A-Fa-f]{4}),xx([0-9A-Fa-f]{2})\)", row["element"].strip())
            if found is None:
                raise ValueError(f"not a private element: {row['element']}")
            vr = row["vr"] or _private_vr(found[1] + "00" + found[2], row["private_creator"])
            if vr in allowed - {"AT", "OB", "OD", "OF", "OL", "OV", "OW", "UN"}:
                yield {
                    "group": found[1].upper(),
                    "element": found[2].upper(),
                    "creator": row["private_creator"],
                    "vr": vr,
                    "meaning": row["meaning"],
                }


def _private_vr(tag: str, creator: str) -> str:
    """The VR of a private element in pydicom's dictionary, where the table gives none."""
    try:
        return private_dictionary_VR(int(tag, 16), creator)
    except KeyError:
        return ""


def codes() -> Iterator[dict[str, str]]:
    """The rows of codes.csv: pydicom's concepts, and SNOMED CT's under their older SNOMED RT codes."""
    meanings = {
        (scheme, code): _without_kind(meaning) if scheme == "SCT" else meaning
        for scheme in ("DCM", "SCT", "UCUM", "RADLEX", "NCIt", "IBSI", "BARI")
        for named in concepts[scheme].values()
        for code, (meaning, _) in named.items()
    }
    meanings |= {("SCT", code): meaning for code, meaning in PREFERRED.items()}
    for old, new in snomed["SRT"].items():
        if ("SCT", new) in meanings:
            meanings["SRT", old] = meanings["SCT", new]
    for (scheme, code), meaning in sorted(meanings.items()):
        if meaning.isascii() and len(meaning) <= 64:
            yield {"scheme": scheme, "code": code, "meaning": meaning}


def _without_kind(meaning: str) -> str:
    """SNOMED CT's fully specified name without its kind: "Breast structure (body structure)"."""
    return re.sub(r" \([a-z/ ]+\)$", "", meaning)


def write(name: str, rows: Iterable[dict[str, str]]) -> None:
    """Write one table, with a heading of its columns."""
    rows = list(rows)
    with (TABLES / name).open("w", newline="") as lines:
        writer = csv.DictWriter(lines, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print(f"{name}: {len(rows)} rows")


def main() -> None:
    """Make the tables from the copy of Table E.1-1 that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table_e1_1", type=Path, help="Table E.1-1 as CSV")
    parser.add_argument("safe_private", type=Path, help="Table E.3.10-1 as CSV")
    arguments = parser.parse_args()
    rows = list(confidentiality(arguments.table_e1_1))
    write("confidentiality.csv", rows)
    write("keep.csv", keep({row["tag"] for row in rows}))
    write("codes.csv", codes())
    write("safe_private.csv", safe_private(arguments.safe_private))


if __name__ == "__main__":
    main()
