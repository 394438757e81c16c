"""A site's settings: `senogate.toml` in its home, each key also as an environment variable `SENOGATE_…`.

The environment beats the file, the file beats the default. `SENOGATE_…_FILE` names a file that holds the value. Read
once, when a process starts. docs/settings.md describes every key.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from ipaddress import ip_network
from pathlib import Path
from urllib.parse import urlsplit

from archive.destinations import Destination, check_acknowledgement
from archive.errors import ConfigurationError
from archive.job_questions import JobKind
from archive.setting_values import of_environment, of_file, to_text, variable

MOST_GATEWAYS = 16
_LOOPBACK = {("http", "127.0.0.1"), ("http", "::1"), ("http", "localhost")}
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
    requests_at_once: int = 500
    dicom_host: str = "127.0.0.1"
    dicom_port: int = 4242
    dicom_aet: str = "SENOGATE"
    orthanc_port: int = 8042
    orthanc_url: str = ""
    orthanc_user: str = "senogate"
    orthanc_password: str = field(default="", repr=False)
    orthanc_prefix: str = ""
    orthanc_python: str = ""
    orthanc_options: str = ""
    orthanc_untested: str = ""
    database_url: str = field(default="", repr=False)
    storage: str = ""
    storage_mount: str = ""
    storage_s3_url: str = ""
    storage_s3_bucket: str = ""
    storage_s3_region: str = "us-east-1"
    storage_s3_access_key: str = field(default="", repr=False)
    storage_s3_secret_key: str = field(default="", repr=False)
    storage_s3_encryption: str = "AES256"
    storage_s3_authorities: str = ""
    storage_s3_after_days: int = 90
    storage_cache: str = ""
    storage_cache_gib: int = 50
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
    upgrade_backup: bool = True
    jobs_approved: tuple[str, ...] = ("counts", "features", "evaluation")
    jobs_released: tuple[str, ...] = ()
    jobs_per_permit: int = 50
    jobs_seconds: int = 14_400
    jobs_memory: int = 8192
    jobs_package_days: int = 90
    federation_inputs: int = 50
    catalogue_shapes: str = ""
    committee_votes: int = 0
    search_public: bool = False
    search_budget: int = 60
    search_hub_budget: int = 300
    search_noise: int = 5
    webhook_networks: str = ""
    webhook_authorities: str = ""
    tracing_url: str = ""
    tracing_token: str = field(default="", repr=False)
    federation_authorities: str = ""
    federation_certificate: str = ""
    federation_key: str = ""
    federation_proxy: str = ""
    federation_client_certificates: str = "optional"
    federation_relay_port: int = 0
    federation_superlink_port: int = 0
    federation_supernode_port: int = 0
    federation_training_seconds: int = 14_400
    federation_training_memory: int = 0
    metrics_networks: str = ""
    traces_url: str = ""
    traces_share: int = 100
    access_log: bool = False
    log_level: str = "INFO"
    log_format: str = "text"

    def __post_init__(self) -> None:
        """Fill what is derived from other keys."""
        derived = {
            "public_url": f"http{'s' if self.tls_certificate else ''}://127.0.0.1:{self.port}",
            "orthanc_url": f"http://127.0.0.1:{self.orthanc_port}",
            "tracing_url": "",
            "traces_url": "",
            "storage": str(self.home / "orthanc" / "storage"),
            "storage_s3_url": "",
            "storage_cache": str(self.home / "cache"),
            "secrets": str(self.home / "secrets"),
        }
        derived["crosswalk_key"] = f"{self.secrets or derived['secrets']}/crosswalk.key"
        if self.profile.endswith(".toml"):
            object.__setattr__(self, "profile", str(self.home / self.profile))
        for name, value in derived.items():
            object.__setattr__(self, name, (getattr(self, name) or value).rstrip("/"))
        for name in ("storage", "storage_cache", "secrets", "crosswalk_key"):
            object.__setattr__(self, name, str(self.home / getattr(self, name)))
        for name in (
            "storage_mount",
            "storage_s3_authorities",
            "tls_certificate",
            "tls_key",
            "tls_client_authorities",
            "issuer_authorities",
            "webhook_authorities",
            "federation_authorities",
            "federation_certificate",
            "federation_key",
            "catalogue_shapes",
            "orthanc_options",
        ):
            if getattr(self, name):
                object.__setattr__(self, name, str(self.home / getattr(self, name)))
        self._check_words()
        self._check_storage()
        self._check_numbers()
        self._check_jobs()
        self._check_edges()
        self._check_delivery()
        self._check_federation()

    def _check_words(self) -> None:
        if self.pixel_cleaning not in ("review", "automatic"):
            raise ConfigurationError("pixel_cleaning must be review or automatic")
        if self.documents not in ("quarantine", "refuse"):
            raise ConfigurationError("documents must be quarantine or refuse")
        if self.log_format not in ("text", "json"):
            raise ConfigurationError("log_format must be text or json")
        if self.traces_url and not self.traces_url.startswith(("http://", "https://")):
            raise ConfigurationError("traces_url must be an address such as http://collector:4318")
        if self.reviewers not in ("pseudonym", "subject"):
            raise ConfigurationError("reviewers must be pseudonym or subject")
        if self.inference_device not in ("auto", "cpu", "cuda", "tensorrt"):
            raise ConfigurationError("inference_device must be auto, cpu, cuda or tensorrt")
        if "sr" not in self.results or not set(self.results) <= set(RESULTS):
            raise ConfigurationError(f"results must be a list with sr, of these: {', '.join(RESULTS)}")

    def _check_storage(self) -> None:
        mount = Path(self.storage_mount)
        if self.storage_mount and mount not in (Path(self.storage), *Path(self.storage).parents):
            raise ConfigurationError("storage_mount must be the storage folder, or one that it lies in")
        if min(self.storage_s3_after_days, self.storage_cache_gib - 1) < 0:
            raise ConfigurationError("storage_s3_after_days must be 0 at least, storage_cache_gib 1")
        if self.storage_s3_url:
            self._check_bucket()

    def _check_bucket(self) -> None:
        url = urlsplit(self.storage_s3_url)
        if url.scheme != "https" and (url.scheme, url.hostname) not in _LOOPBACK:
            raise ConfigurationError("storage_s3_url must begin with https://, unless it is on loopback")
        for name in ("bucket", "region", "access_key", "secret_key", "encryption"):
            if not getattr(self, f"storage_s3_{name}"):
                raise ConfigurationError(f"storage_s3_url needs storage_s3_{name}")

    def _check_numbers(self) -> None:
        for name in ("port", "dicom_port", "orthanc_port"):
            if not 0 < getattr(self, name) < 2**16:
                raise ConfigurationError(f"{name} must be from 1 to 65535")
        if min(self.inference_gpu, self.inference_readings, self.inference_memory) < 0:
            raise ConfigurationError(
                "inference_gpu, inference_readings and inference_memory must be 0 at least"
            )
        if self.inference_seconds < 1:
            raise ConfigurationError("inference_seconds must be 1 at least")
        if self.audit_retention_days < 0:
            raise ConfigurationError("audit_retention_days must be 0, for ever, or more")
        if self.committee_votes < 0:
            raise ConfigurationError("committee_votes must be 0 at least")
        if min(self.search_budget, self.search_hub_budget) < 0 or not 0 <= self.search_noise <= 1000:
            raise ConfigurationError("budgets of searches must be 0 at least, search_noise from 0 to 1000")
        if not 0 <= self.traces_share <= 100:
            raise ConfigurationError("traces_share must be from 0 to 100, of a hundred")
        if self.federation_inputs < 1:
            raise ConfigurationError("federation_inputs must be 1 at least")
        if not 0 < self.gateway_processes <= MOST_GATEWAYS:
            raise ConfigurationError(f"gateway_processes must be from 1 to {MOST_GATEWAYS}")

    def _check_jobs(self) -> None:
        for name in ("jobs_approved", "jobs_released"):
            if not set(getattr(self, name)) <= set(JobKind):
                raise ConfigurationError(f"{name} must be a list of these: {', '.join(JobKind)}")
        if (
            min(self.jobs_per_permit, self.jobs_seconds) < 1
            or min(self.jobs_memory, self.jobs_package_days) < 0
        ):
            raise ConfigurationError(
                "jobs_per_permit and jobs_seconds must be 1 at least, jobs_memory and jobs_package_days 0 or more"
            )

    def _check_edges(self) -> None:
        if bool(self.tls_certificate) != bool(self.tls_key):
            raise ConfigurationError("tls_certificate and tls_key go together")
        if self.tls_client_authorities and not self.tls_certificate:
            raise ConfigurationError(
                "tls_client_authorities is for a gateway with a tls_certificate of its own"
            )
        for name in ("session_idle", "session_lifetime", "rate_burst", "requests_at_once"):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"{name} must be 1 at least")
        if self.rate_limit < 0:
            raise ConfigurationError("rate_limit must be 0 at least")
        for name in ("trusted_proxies", "webhook_networks", "metrics_networks"):
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

    def _check_federation(self) -> None:
        if bool(self.federation_certificate) != bool(self.federation_key):
            raise ConfigurationError("federation_certificate and federation_key go together")
        if self.federation_client_certificates not in ("optional", "required"):
            raise ConfigurationError("federation_client_certificates must be optional or required")
        if self.federation_training_seconds < 1 or self.federation_training_memory < 0:
            raise ConfigurationError(
                "federation_training_seconds must be 1 at least, federation_training_memory 0 or more"
            )
        ports = [getattr(self, f"federation_{name}_port") for name in ("relay", "superlink", "supernode")]
        if not all(0 <= port < 2**16 for port in ports) or len(set(filter(None, ports))) < sum(
            map(bool, ports)
        ):
            raise ConfigurationError("each federation_…_port must be 0, for any, or a port of its own")

    @property
    def federation(self) -> Path:
        """Where lies what a node of a federation keeps: what it is, its runs, the state of Flower's processes."""
        return self.home / "federation"

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
        return {variable(name): to_text(name, value) for name, value in vars(self).items()}

    @property
    def dicomweb_url(self) -> str:
        return f"{self.public_url}/dicom-web"


def home_of(environment: Mapping[str, str]) -> Path:
    """The site's folder: what `SENOGATE_HOME` names, else `./.senogate`."""
    return Path(environment.get("SENOGATE_HOME") or ".senogate").resolve()


def load(environment: Mapping[str, str] | None = None) -> Settings:
    """Read the settings of the site that `SENOGATE_HOME` (default `./.senogate`) names.

    Raises ConfigurationError, which names the key, for an unknown key or a value of the wrong type.
    """
    environment = os.environ if environment is None else environment
    home = home_of(environment)
    types: dict[str, type] = {
        each.name: type(each.default) for each in fields(Settings) if each.name != "home"
    }
    values = of_file(home / "senogate.toml", types, home) | of_environment(environment, types, home)
    return Settings(home=home, **values)
