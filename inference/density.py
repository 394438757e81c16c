"""BI-RADS breast composition: its concept and its four categories, PS3.16 CID 6001."""

from dataclasses import asdict
from typing import Any

from archive.findings import Code

BREAST_COMPOSITION = Code("129715009", "SCT", "Breast composition")

CATEGORIES = {
    "a": Code("129716005", "SCT", "Almost entirely fat"),
    "b": Code("129717001", "SCT", "Scattered fibroglandular densities"),
    "c": Code("129718006", "SCT", "Heterogeneously dense"),
    "d": Code("129719003", "SCT", "Extremely dense"),
}


def passport_outputs() -> dict[str, Any]:
    """The table `outputs` of the passport of a model that tells the four categories, in the order a to d."""
    classes = [{"label": label} | asdict(code) for label, code in CATEGORIES.items()]
    return {"kind": "classes", "concept": asdict(BREAST_COMPOSITION), "classes": classes}
