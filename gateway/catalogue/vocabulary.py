"""The terms that records are written in: EUCAIM-DCAT-AP 2.0 on HealthDCAT-AP release 8, and codes of breast imaging."""

from rdflib import Namespace

ADMS = Namespace("http://www.w3.org/ns/adms#")
CV = Namespace("http://data.europa.eu/m8g/")
DCAT = Namespace("http://www.w3.org/ns/dcat#")
DCATAP = Namespace("http://data.europa.eu/r5r/")
DCT = Namespace("http://purl.org/dc/terms/")
DPV = Namespace("https://w3id.org/dpv#")
EUCAIM = Namespace("https://cancerimage.eu/ontology/EUCAIM#")
FOAF = Namespace("http://xmlns.com/foaf/0.1/")
HEALTH = Namespace("http://healthdataportal.eu/ns/health#")
LDP = Namespace("http://www.w3.org/ns/ldp#")
FDP = Namespace("https://w3id.org/fdp/fdp-o#")
SKOS = Namespace("http://www.w3.org/2004/02/skos/core#")
VCARD = Namespace("http://www.w3.org/2006/vcard/ns#")
EU = Namespace("http://publications.europa.eu/resource/authority/")
HEALTH_AUTHORITY = Namespace("https://hdeu-dcat.data.health.europa.eu/resource/authority/")
ACCESS = Namespace(
    "https://eucaim.github.io/eucaim_dcat_ap/releases/controlled-vocabularies/access-conditions/#"
)
ELI = Namespace("http://data.europa.eu/eli/ontology#")

PREFIXES = {
    "adms": ADMS,
    "cv": CV,
    "dcat": DCAT,
    "dcatap": DCATAP,
    "dct": DCT,
    "dpv": DPV,
    "eli": ELI,
    "eucaim": EUCAIM,
    "fdp-o": FDP,
    "foaf": FOAF,
    "healthdcatap": HEALTH,
    "ldp": LDP,
    "skos": SKOS,
    "vcard": VCARD,
}

EHDS = "http://data.europa.eu/eli/reg/2025/327/oj"
BREAST = EUCAIM.BP1000136
BREAST_CANCER = EUCAIM.CLIN1000060
MODALITIES = {
    "MG": EUCAIM.IMG1000030,
    "US": EUCAIM.IMG1000040,
    "MR": EUCAIM.IMG1000022,
    "CT": EUCAIM.IMG1000026,
    "PT": EUCAIM.IMG1000037,
    "DX": EUCAIM.IMG1000028,
    "CR": EUCAIM.IMG1000024,
}
"""By Modality (0008,0060). The ontology has no term for tomosynthesis: it is mammography there."""
MODALITY = EUCAIM.IMG1000009
MANUFACTURERS = {
    "AGFA": EUCAIM.IMG1000051,
    "CANON": EUCAIM.IMG1000050,
    "FUJIFILM": EUCAIM.IMG1000060,
    "FUJI": EUCAIM.IMG1000060,
    "GE": EUCAIM.IMG1000047,
    "HITACHI": EUCAIM.IMG1000057,
    "HOLOGIC": EUCAIM.IMG1000064,
    "LORAD": EUCAIM.IMG1000064,
    "GIOTTO": EUCAIM.IMG1000048,
    "IMS": EUCAIM.IMG1000048,
    "PHILIPS": EUCAIM.IMG1000046,
    "SIEMENS": EUCAIM.IMG1000044,
    "TOSHIBA": EUCAIM.IMG1000045,
}
"""By how Manufacturer (0008,0070) begins."""
MANUFACTURER = EUCAIM.IMG1000010
SEXES = {"F": EUCAIM.COM1001370, "M": EUCAIM.COM1001366}
UNSPECIFIED_SEX = EUCAIM.COM1001288


def manufacturer(name: str) -> str:
    """The term for a Manufacturer, or for any where the ontology has none."""
    words = name.upper().replace(".", "").replace(",", " ").split()
    return str(MANUFACTURERS.get(words[0], MANUFACTURER) if words else MANUFACTURER)
