"""What a steward is told of each field of a record: what the profile asks, an example, and what it is entered with.

M, R and O are mandatory, recommended and optional in EUCAIM-DCAT-AP 2.0.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.portal.languages import marked


@dataclass(frozen=True, slots=True)
class Guide:
    """A field: `kind` is line, text, lines (a value a line), choice (one of `values`) or checks (some of them).

    `values` are by value what it means.
    """

    name: str
    label: str
    asks: str
    example: str = ""
    kind: str = "line"
    values: Mapping[str, str] = field(default_factory=dict)


ACCESS = {
    "DOWNLOAD": marked("download"),
    "IN_SITU_PROCESSING": marked("processing on the node"),
    "REMOTE_PROCESSING": marked("remote processing"),
}
"""EUCAIM's access conditions as pages call them."""
DATASET = (
    Guide(
        "title",
        marked("Title"),
        marked("dct:title, M. What the data are, of whom and from when, in English."),
        "Screening mammograms of women aged 50-69, 2015-2020",
    ),
    Guide(
        "description",
        marked("Description"),
        marked("dct:description, M. What tells a researcher whether the data serve her."),
        ("Four-view digital mammograms of a population-based programme, read twice, with BI-RADS density."),
        kind="text",
    ),
    Guide(
        "keywords",
        marked("Keywords"),
        marked("dcat:keyword, M. One a line, in English."),
        "mammography\nbreast cancer screening",
        kind="lines",
    ),
    Guide(
        "provenance",
        marked("Where the data come from"),
        marked(
            "dct:provenance, M. Who collected them, for what, how they were chosen, and that they "
            "were de-identified here."
        ),
        (
            "Collected in routine screening at two hospitals; de-identified on arrival after DICOM "
            "PS3.15 Annex E."
        ),
        kind="text",
    ),
    Guide(
        "contact_email",
        marked("Contact: e-mail"),
        marked("dcat:contactPoint, M: this or the page. Of an office, not of a person."),
        "data@hospital.example",
    ),
    Guide(
        "contact_page",
        marked("Contact: page"),
        marked("dcat:contactPoint, M: this or the e-mail."),
        "https://hospital.example/data",
    ),
    Guide(
        "rights",
        marked("Access rights"),
        marked(
            "dct:accessRights, M. Images of patients are not public; each of the three has official "
            "shapes of its own."
        ),
        kind="choice",
        values={
            "NON_PUBLIC": marked("Non-public"),
            "RESTRICTED": marked("Restricted"),
            "PUBLIC": marked("Public"),
        },
    ),
    Guide(
        "access",
        marked("How the data may be used"),
        marked(
            "dct:rights of the distribution, M: one of EUCAIM's access conditions at least. A permit "
            "can allow no more."
        ),
        kind="checks",
        values=ACCESS,
    ),
    Guide(
        "tier",
        marked("Interoperability level"),
        marked("eucaim:interoperabilityLevel, M. What this node offers of the dataset."),
        kind="choice",
        values={
            "1": marked("1: catalogue"),
            "2": marked("2: federated search"),
            "3": marked("3: federated processing"),
        },
    ),
    Guide(
        "methods",
        marked("How it was collected"),
        marked("eucaim:collectionMethod, M, several where they apply."),
        kind="checks",
        values={
            "only-image": marked("images only"),
            "patient-based": marked("patient-based"),
            "case-control": marked("case-control"),
            "longitudinal": marked("longitudinal"),
            "disease-specific": marked("disease-specific"),
        },
    ),
    Guide(
        "kinds",
        marked("Kind of data"),
        marked("dct:type, M. Annotated where readers' findings go along."),
        kind="checks",
        values={
            "original": marked("original"),
            "annotated": marked("annotated"),
            "processed": marked("processed"),
        },
    ),
    Guide(
        "categories",
        marked("Health categories"),
        marked("healthdcatap:healthCategory, M. After EHDS article 51; the ones that apply."),
        kind="checks",
        values={
            "EHRS": marked("electronic health records"),
            "HRAD": marked("administrative data of healthcare"),
            "RQSH": marked("research cohorts, questionnaires and surveys"),
            "RMMD": marked("registries of medicinal products and devices"),
            "EINS": marked("biobanks"),
        },
    ),
    Guide(
        "legislation",
        marked("Law that applies"),
        marked("dcatap:applicableLegislation, M. One address a line (ELI): the EHDS and national law."),
        "http://data.europa.eu/eli/reg/2025/327/oj",
        kind="lines",
    ),
    Guide(
        "population",
        marked("Population"),
        marked("healthdcatap:populationCoverage, R. Who was invited or seen, where and when."),
        "Women aged 50 to 69 of the region, invited every two years",
        kind="text",
    ),
    Guide(
        "licence",
        marked("Licence"),
        marked(
            "dct:license of the distribution, R. An address, or a name; needed where images may be "
            "downloaded."
        ),
        "https://creativecommons.org/licenses/by/4.0/",
    ),
    Guide(
        "citation",
        marked("Citation"),
        marked("dct:bibliographicCitation, O. Words to be cited with; version, date and address are added."),
        "Example Hospital (2026): Screening mammograms 2015-2020.",
        kind="text",
    ),
    Guide(
        "landing_page",
        marked("Page of the provider"),
        marked("dcat:landingPage, R. Where it is not this catalogue's own page."),
        "https://hospital.example/screening",
    ),
)
NODE = (
    Guide(
        "title",
        marked("Title of the catalogue"),
        marked("dct:title, M."),
        "Breast images of Example Hospital",
    ),
    Guide(
        "description",
        marked("Description"),
        marked("dct:description, M."),
        "The screening and research datasets of the hospital.",
        kind="text",
    ),
    Guide(
        "publisher",
        marked("Publisher"),
        marked("dct:publisher, M. The institution that answers for the records."),
        "Example Hospital",
    ),
    Guide(
        "publisher_page",
        marked("Publisher: page"),
        marked("cv:contactPage, M: this or the e-mail."),
        "https://hospital.example",
    ),
    Guide(
        "publisher_email",
        marked("Publisher: e-mail"),
        marked("cv:email, M: this or the page. Of an office."),
        "data@hospital.example",
    ),
    Guide(
        "country",
        marked("Country"),
        marked("dct:spatial, R. ISO 3166-1, three letters."),
        "ESP",
    ),
    Guide(
        "hdab_name",
        marked("Health Data Access Body"),
        marked(
            "healthdcatap:hdab, M once one is designated; never a placeholder. HealthDCAT-AP release "
            "8 asks for it always."
        ),
        "Health Data Access Body of the country",
    ),
    Guide(
        "hdab_page",
        marked("Access body: page"),
        marked("cv:contactPage, this or the e-mail."),
        "https://hdab.example",
    ),
    Guide(
        "hdab_email",
        marked("Access body: e-mail"),
        marked("cv:email, this or the page."),
        "office@hdab.example",
    ),
)
