"""The site that is looked at, and how it runs: by `senogate up` in this home, or its parts elsewhere."""

from dataclasses import dataclass
from functools import cached_property

from archive.settings import Settings
from senogate import home
from senogate.cluster import complete


@dataclass(frozen=True)
class Place:
    """`settings` are complete where a database is known. `has_cluster`: PostgreSQL is a private one of this home."""

    settings: Settings
    has_cluster: bool

    @cached_property
    def pid(self) -> int | None:
        """The process that runs the site in this home."""
        return home.running_pid(self.settings.home)

    @property
    def runs_here(self) -> bool:
        """Whether Orthanc and all else is for `senogate up` to run, and not somewhere else."""
        return self.settings.orthanc_url == f"http://127.0.0.1:{self.settings.orthanc_port}"

    @property
    def is_new(self) -> bool:
        """Whether nothing was made in this home yet."""
        return self.runs_here and not any(
            (self.settings.home / name).exists() for name in ("secrets", "postgresql", "orthanc")
        )


def look_at(settings: Settings) -> Place:
    """The site of these settings. Raises ConfigurationError where its PostgreSQL can't be told."""
    return Place(complete(settings), not settings.database_url)
