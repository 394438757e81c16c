"""What a steward writes of a dataset and of the node: the fields of a record, and which values they take.

Properties are those of EUCAIM-DCAT-AP 2.0 on HealthDCAT-AP release 8.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from archive.errors import BadRequest

LONGEST = 4000  # characters of a text
MOST = 32  # values of a field
_EMAIL = re.compile(r"[A-Za-z0-9.!$&'*+/=_~-]{1,64}@[A-Za-z0-9.-]{1,190}")
_ADDRESS = re.compile(r"https?://[^\s<>\"{}|\\^`]{1,1000}")
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
"""What XML or PostgreSQL has no place for."""

ACCESS = ("DOWNLOAD", "IN_SITU_PROCESSING", "REMOTE_PROCESSING")
"""EUCAIM's access conditions (controlled vocabulary access-conditions 1.0.0)."""
RIGHTS = ("NON_PUBLIC", "RESTRICTED", "PUBLIC")
"""The access rights of the EU's authority table; each has its own official shapes."""
TIERS = {1: "SPEC1000009", 2: "SPEC1000011", 3: "SPEC1000010"}
"""EUCAIM's tiers: catalogue, federated search, federated processing."""
METHODS = {
    "only-image": "SPEC1000003",
    "patient-based": "SPEC1000004",
    "case-control": "SPEC1000005",
    "longitudinal": "SPEC1000006",
    "disease-specific": "SPEC1000007",
}
KINDS = {"original": "SPEC1000020", "annotated": "SPEC1000019", "processed": "SPEC1000018"}
CATEGORIES = ("EHRS", "HRAD", "RQSH", "RMMD", "EINS")


@dataclass(frozen=True, slots=True)
class Node:
    """Who publishes: the catalogue's own record. Raises BadRequest for a value that can't be.

    `hdab_name` stays empty while no Health Data Access Body is designated: nothing stands in its place.
    """

    title: str = ""
    description: str = ""
    publisher: str = ""
    publisher_page: str = ""
    publisher_email: str = ""
    country: str = ""  # ISO 3166-1, three letters, as the EU's authority table has it
    hdab_name: str = ""
    hdab_page: str = ""
    hdab_email: str = ""

    def __post_init__(self) -> None:
        _check(self)
        if self.country and not re.fullmatch("[A-Z]{3}", self.country):
            raise BadRequest("country takes three capital letters, such as ESP")


@dataclass(frozen=True, slots=True)
class Written:
    """What a steward writes of a dataset. Raises BadRequest for a value that can't be."""

    title: str = ""
    description: str = ""
    keywords: tuple[str, ...] = ()
    provenance: str = ""
    contact_page: str = ""
    contact_email: str = ""
    rights: str = "NON_PUBLIC"
    access: tuple[str, ...] = ("REMOTE_PROCESSING",)
    tier: int = 3
    methods: tuple[str, ...] = ("patient-based",)
    kinds: tuple[str, ...] = ("original",)
    categories: tuple[str, ...] = ("EHRS",)
    legislation: tuple[str, ...] = ("http://data.europa.eu/eli/reg/2025/327/oj",)
    population: str = ""
    landing_page: str = ""
    licence: str = ""
    citation: str = ""

    def __post_init__(self) -> None:
        _check(self)
        for name, values, allowed in (
            ("rights", (self.rights,), RIGHTS),
            ("access", self.access, ACCESS),
            ("methods", self.methods, tuple(METHODS)),
            ("kinds", self.kinds, tuple(KINDS)),
            ("categories", self.categories, CATEGORIES),
            ("tier", (str(self.tier),), tuple(map(str, TIERS))),
        ):
            if not values or not set(values) <= set(allowed):
                raise BadRequest("%(name)s takes %(values)s", name=name, values=", ".join(allowed))
        for address in self.legislation:
            _check_address("legislation", address)

    def missing(self) -> tuple[str, ...]:
        """Names of the mandatory fields that are empty: a record with any is not published."""
        wanted = ("title", "description", "keywords", "provenance")
        contact = () if self.contact_page or self.contact_email else ("contact_page or contact_email",)
        return (*(name for name in wanted if not getattr(self, name)), *contact)


def parse_fields(kind: type[Any], content: Mapping[str, Any]) -> Any:
    """A `Node` or `Written` of a mapping of its fields. Raises BadRequest, which names a field that is none."""
    known = {one.name: one.default for one in fields(kind)}
    if unknown := sorted(content.keys() - known.keys()):
        raise BadRequest("the catalogue has no field %(names)s", names=", ".join(unknown))
    return kind(**{name: _value(name, value, known[name]) for name, value in content.items()})


def find_faults(kind: type[Any], content: Mapping[str, Any]) -> dict[str, BadRequest]:
    """By the name of each field that can't be as it is, what is wrong with it."""
    faults: dict[str, BadRequest] = {}
    for name, value in content.items():
        try:
            parse_fields(kind, {name: value})
        except BadRequest as error:
            faults[name] = error
    return faults


def is_address(text: str) -> bool:
    """Whether a text is an address that a record can lead to."""
    return _ADDRESS.fullmatch(text) is not None


def _value(name: str, value: object, default: object) -> object:
    """A field's value, without white space around it. Raises BadRequest for one of another kind than its default."""
    if isinstance(default, tuple):
        if not isinstance(value, list | tuple) or not all(isinstance(one, str) for one in value):
            raise BadRequest("%(name)s takes a list of texts", name=name)
        return tuple(one.strip() for one in value if one.strip())
    if type(value) is not type(default):
        if isinstance(default, int):
            raise BadRequest("%(name)s takes a number", name=name)
        raise BadRequest("%(name)s takes a text", name=name)
    return value.strip() if isinstance(value, str) else value


def _check(record: Node | Written) -> None:
    for name, value in asdict(record).items():
        for text in value if isinstance(value, tuple) else (value,):
            if isinstance(text, str) and (len(text) > LONGEST or _CONTROLS.search(text)):
                raise BadRequest(
                    "%(name)s has %(most)s characters at most, and no control characters",
                    name=name,
                    most=LONGEST,
                )
        if isinstance(value, tuple) and len(value) > MOST:
            raise BadRequest("%(name)s has %(most)s values at most", name=name, most=MOST)
        if name.endswith("page") and value:
            _check_address(name, value)
        if name.endswith("email") and value and not _EMAIL.fullmatch(value):
            raise BadRequest("%(name)s takes an address such as data@hospital.example", name=name)


def _check_address(name: str, address: str) -> None:
    if not is_address(address):
        raise BadRequest("%(name)s takes an address that begins with https:// or http://", name=name)
