"""A site's settings: `senogate.toml` in its home, each key also as an environment variable `SENOGATE_…`.

The environment beats the file, the file beats the default. Read once, when a process starts. docs/settings.md
describes every key.
"""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from archive.destinations import (
    Destination,
    check_acknowledgement,
    from_environment,
    read_destinations,
    to_environment,
)
from archive.errors import ConfigurationError

MOST_GATEWAYS = 16
RESULTS = ("sr", "cad-sr", "sc", "seg", "gsps", "kos")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a site is configured to be. Paths are absolute, URLs without a trailing slash.

    Raises ConfigurationError, which names the key, for a value that can't be.
    """

    home: Path
    host: str = "127.0.0.1"
    port: int = 8080
    public_url: str = ""
    gateway_processes: int = 1
    cors_origins: str = ""
    tls_certificate: str = ""
    tls_key: str = ""
    tls_client_authorities: str = ""
    trusted_proxies: str = ""
    client_certificate_header: str = ""
    issuer_authorities: str = ""
    session_idle: int = 1800
    session_lifetime: int = 43200
    rate_limit: int = 5000
    rate_burst: int = 50_000
    dicom_host: str = "127.0.0.1"
    dicom_port: int = 4242
    dicom_aet: str = "SENOGATE"
    orthanc_port: int = 8042
    orthanc_url: str = ""
    orthanc_user: str = "senogate"
    orthanc_password: str = field(default="", repr=False)
    orthanc_prefix: str = ""
    orthanc_python: str = ""
    database_url: str = field(default="", repr=False)
    storage: str = ""
    secrets: str = ""
    crosswalk_key: str = ""
    profile: str = "breast-screening"
    pixel_cleaning: str = "review"
    documents: str = "quarantine"
    results: tuple[str, ...] = ("sr",)
    reviewers: str = "pseudonym"
    viewer: str = ""
    stable_age: int = 2
    max_instance_bytes: int = 2 * 1024**3
    max_inflated_bytes: int = 512 * 1024**2
    inference_device: str = "auto"
    inference_gpu: int = 0
    inference_readings: int = 0
    inference_memory: int = 0
    inference_seconds: int = 900
    destinations: tuple[Destination, ...] = ()
    acknowledge: str = ""
    commitment_port: int = 0
    audit_retention_days: int = 0
    webhook_networks: str = ""
    webhook_authorities: str = ""
    log_level: str = "INFO"

    def __post_init__(self) -> None:
        """Fill what is derived from other keys."""
        derived = {
            "public_url": f"http{'s' if self.tls_certificate else ''}://127.0.0.1:{self.port}",
            "orthanc_url": f"http://127.0.0.1:{self.orthanc_port}",
            "storage": str(self.home / "orthanc" / "storage"),
            "secrets": str(self.home / "secrets"),
        }
        derived["crosswalk_key"] = f"{self.secrets or derived['secrets']}/crosswalk.key"
        if self.profile.endswith(".toml"):
            object.__setattr__(self, "profile", str(self.home / self.profile))
        for name, value in derived.items():
            object.__setattr__(self, name, (getattr(self, name) or value).rstrip("/"))
        for name in ("storage", "secrets", "crosswalk_key"):
            object.__setattr__(self, name, str(self.home / getattr(self, name)))
        for name in (
            "tls_certificate",
            "tls_key",
            "tls_client_authorities",
            "issuer_authorities",
            "webhook_authorities",
        ):
            if getattr(self, name):
                object.__setattr__(self, name, str(self.home / getattr(self, name)))
        for name in ("port", "dicom_port", "orthanc_port"):
            if not 0 < getattr(self, name) < 2**16:
                raise ConfigurationError(f"{name} must be from 1 to 65535")
        if self.pixel_cleaning not in ("review", "automatic"):
            raise ConfigurationError("pixel_cleaning must be review or automatic")
        if self.documents not in ("quarantine", "refuse"):
            raise ConfigurationError("documents must be quarantine or refuse")
        if self.reviewers not in ("pseudonym", "subject"):
            raise ConfigurationError("reviewers must be pseudonym or subject")
        if self.inference_device not in ("auto", "cpu", "cuda", "tensorrt"):
            raise ConfigurationError("inference_device must be auto, cpu, cuda or tensorrt")
        if min(self.inference_gpu, self.inference_readings, self.inference_memory) < 0:
            raise ConfigurationError(
                "inference_gpu, inference_readings and inference_memory must be 0 at least"
            )
        if self.inference_seconds < 1:
            raise ConfigurationError("inference_seconds must be 1 at least")
        if self.audit_retention_days < 0:
            raise ConfigurationError("audit_retention_days must be 0, for ever, or more")
        if not 0 < self.gateway_processes <= MOST_GATEWAYS:
            raise ConfigurationError(f"gateway_processes must be from 1 to {MOST_GATEWAYS}")
        if "sr" not in self.results or not set(self.results) <= set(RESULTS):
            raise ConfigurationError(f"results must be a list with sr, of these: {', '.join(RESULTS)}")
        self._check_edges()
        self._check_delivery()

    def _check_edges(self) -> None:
        if bool(self.tls_certificate) != bool(self.tls_key):
            raise ConfigurationError("tls_certificate and tls_key go together")
        if self.tls_client_authorities and not self.tls_certificate:
            raise ConfigurationError(
                "tls_client_authorities is for a gateway with a tls_certificate of its own"
            )
        for name in ("session_idle", "session_lifetime", "rate_burst"):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"{name} must be 1 at least")
        if self.rate_limit < 0:
            raise ConfigurationError("rate_limit must be 0 at least")
        for name in ("trusted_proxies", "webhook_networks"):
            try:
                for each in getattr(self, name).replace(",", " ").split():
                    ip_network(each)
            except ValueError:
                raise ConfigurationError(f"{name} must be addresses and networks") from None

    def _check_delivery(self) -> None:
        if self.acknowledge:
            check_acknowledgement(self.acknowledge)
        if not 0 <= self.commitment_port < 2**16:
            raise ConfigurationError("commitment_port must be 0, for none, or a port")
        if len({each.name for each in self.destinations}) < len(self.destinations):
            raise ConfigurationError("two destinations have one name")

    @property
    def spool(self) -> Path:
        """Where instances that may not be stored as they came lie sealed."""
        return self.home / "spool"

    @property
    def audit(self) -> Path:
        """Where the last signed head of the audit trail lies, and records that its table holds no more."""
        return self.home / "audit"

    @property
    def environment(self) -> dict[str, str]:
        """The variables that `load` reads these settings from."""
        return {f"SENOGATE_{name.upper()}": _text(name, value) for name, value in vars(self).items()}

    @property
    def dicomweb_url(self) -> str:
        return f"{self.public_url}/dicom-web"


def load(environment: Mapping[str, str] | None = None) -> Settings:
    """Read the settings of the site that `SENOGATE_HOME` (default `./.senogate`) names.

    Raises ConfigurationError, which names the key, for an unknown key or a value of the wrong type.
    """
    environment = os.environ if environment is None else environment
    home = Path(environment.get("SENOGATE_HOME") or ".senogate").resolve()
    types: dict[str, type] = {
        each.name: type(each.default) for each in fields(Settings) if each.name != "home"
    }
    values = _from_file(home / "senogate.toml", types, home)
    for name, kind in types.items():
        text = environment.get(f"SENOGATE_{name.upper()}")
        if text:
            found = from_environment(text, home) if name == "destinations" else _value(name, kind, text)
            values[name] = found
    return Settings(home=home, **values)


def _text(name: str, value: Any) -> str:
    """How a variable says it."""
    if name == "destinations":
        return to_environment(value)
    return " ".join(value) if isinstance(value, tuple) else str(value)


_NAMES = {str: "str", int: "int", tuple: "list of str"}


def _from_file(path: Path, types: Mapping[str, type], home: Path) -> dict:
    if not path.exists():
        return {}
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} is not valid TOML: {error}") from error
    for name, value in table.items():
        if name not in types:
            raise ConfigurationError(f"{path} has the unknown key {name!r}; docs/settings.md lists the keys")
        if name == "destinations":
            table[name] = read_destinations(value, home)
        elif types[name] is tuple and _is_list(value):
            table[name] = tuple(value)
        elif type(value) is not types[name]:
            raise ConfigurationError(f"{path}: {name} must be of type {_NAMES[types[name]]}")
    if "acknowledge" in table:
        check_acknowledgement(table["acknowledge"])
    return table


def _is_list(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _value(name: str, kind: type, text: str) -> Any:
    """What an environment variable says; a list is parted by spaces or commas."""
    if kind is tuple:
        return tuple(text.replace(",", " ").split())
    return _integer(name, text) if kind is int else text


def _integer(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ConfigurationError(f"SENOGATE_{name.upper()} must be a whole number") from None
