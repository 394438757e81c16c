"""BI-RADS breast composition: its concept and its four categories, PS3.16 CID 6001."""

from archive.findings import Code

BREAST_COMPOSITION = Code("129715009", "SCT", "Breast composition")

CATEGORIES = {
    "a": Code("129716005", "SCT", "Almost entirely fat"),
    "b": Code("129717001", "SCT", "Scattered fibroglandular densities"),
    "c": Code("129718006", "SCT", "Heterogeneously dense"),
    "d": Code("129719003", "SCT", "Extremely dense"),
}
