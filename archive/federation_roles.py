"""What a node is in federations: a hub, where `federation/hub.json` is in its home; a site, where `site.json` is.

Both are replaced as a whole, so that whoever looks finds the one before or the one after.
"""

import base64
import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from archive import secrets
from archive.errors import BadRequest, ConfigurationError
from archive.settings import Settings

HUB, SITE, LEAVING = "hub.json", "site.json", "leaving.json"
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_T = TypeVar("_T", "Hub", "Joined")


@dataclass(frozen=True, slots=True)
class Hub:
    """This node is the hub of a federation of this name; `created_at` as ISO 8601 has it."""

    name: str
    created_at: str


@dataclass(frozen=True, slots=True)
class Joined:
    """This node has joined: what it is called there, the hub's address, name and public key (base64).

    `hub_url` has no trailing slash. The hub may not have approved it yet.
    """

    name: str
    hub_url: str
    hub_name: str
    hub_key: str
    joined_at: str

    @property
    def hub_key_bytes(self) -> bytes:
        """The hub's Ed25519 public key, 32 bytes."""
        return base64.b64decode(self.hub_key)


def check_name(name: str) -> str:
    """The name of a hub or of a site. Raises BadRequest for what is none."""
    if not _NAME.fullmatch(name):
        raise BadRequest("the name of a hub or a site takes 1 to 32 small letters, digits and dashes")
    return name


def read_hub(settings: Settings) -> Hub | None:
    """What this node is hub of; None where it is none. Raises ConfigurationError for a file that is damaged."""
    return _read(settings.federation / HUB, Hub)


def read_site(settings: Settings) -> Joined | None:
    """Where this node has joined; None where nowhere. Raises ConfigurationError for a file that is damaged."""
    return _read(settings.federation / SITE, Joined)


def read_leaving(settings: Settings) -> Joined | None:
    """What this node has left without that the hub knows; None without any. Raises ConfigurationError."""
    return _read(settings.federation / LEAVING, Joined)


def write_role(settings: Settings, role: Hub | Joined) -> None:
    """Make this node a hub, or a site: whole, and readable by its owner alone."""
    path = settings.federation / (HUB if isinstance(role, Hub) else SITE)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    secrets.write(path, json.dumps(asdict(role), indent=2).encode() + b"\n")
    owner = settings.home.stat()
    if os.geteuid() != owner.st_uid:  # root did it for the user that the site runs as
        for each in (path.parent, path):
            os.chown(each, owner.st_uid, owner.st_gid)


def begin_to_leave(settings: Settings) -> None:
    """Be no site any more, and keep what the hub is to be told by."""
    (settings.federation / SITE).replace(settings.federation / LEAVING)


def have_left(settings: Settings) -> None:
    """Forget what the hub was told by."""
    (settings.federation / LEAVING).unlink(missing_ok=True)


def _read(path: Path, kind: type[_T]) -> _T | None:
    try:
        found: Any = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path} can't be read ({type(error).__name__})") from None
    names = {each.name for each in fields(kind)}
    if not isinstance(found, Mapping) or found.keys() != names or not _are_texts(found):
        raise ConfigurationError(f"{path} is damaged: restore it from the backup")
    return kind(**found)


def _are_texts(found: Mapping[str, Any]) -> bool:
    return all(isinstance(value, str) for value in found.values())
