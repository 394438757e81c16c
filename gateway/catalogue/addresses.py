"""Where records are found, under the node's public URL."""

from dataclasses import dataclass, replace

PATH = "/catalogue"
POINT = "/fdp"


@dataclass(frozen=True, slots=True)
class Addresses:
    """Addresses of the records of a node; of datasets as of a `version`, 0: as they are now."""

    public_url: str
    version: int = 0

    def at(self, version: int) -> "Addresses":
        """Those of another version."""
        return replace(self, version=version)

    @property
    def point(self) -> str:
        return self.public_url + POINT

    @property
    def catalogue(self) -> str:
        return self.public_url + PATH

    def dataset(self, name: str) -> str:
        now = f"{self.catalogue}/{name}"
        return f"{now}/versions/{self.version}" if self.version else now

    def distribution(self, name: str) -> str:
        """The same of all versions: images are asked for as they are now."""
        return f"{self.catalogue}/{name}/distribution"
