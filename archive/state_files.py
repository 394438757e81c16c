"""The part of a site's state that its files tell: room on disks, certificates, keys, models, federations."""

import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from archive import secrets
from archive.errors import ConfigurationError
from archive.federation_roles import read_hub, read_site
from archive.settings import Settings
from archive.state_item import Item, Level, marked, unknown

GIB = 1024**3
ROOM_TO_ACT = (0.05, 5 * GIB)  # share of a disk and bytes; under both of these somebody acts
ROOM_TO_LOOK = (0.15, 50 * GIB)
EXPIRES_TO_ACT, EXPIRES_TO_LOOK = timedelta(days=14), timedelta(days=30)
KEY_TO_LOOK = timedelta(days=365)


def look_at_files(settings: Settings) -> Iterator[Item]:
    """Each thing that a file tells of; one that can't be read is unknown and hinders no other."""
    yield from _disks(settings)
    yield from _certificates(settings)
    yield _keys(settings)
    yield _models(settings)
    yield _federation(settings)


def _disks(settings: Settings) -> Iterator[Item]:
    """The room on each file system, named after the first place that is on it."""
    places = {
        "disk-images": (Path(settings.storage), marked("Disk of the images")),
        "disk-home": (settings.home, marked("Disk of the site's home")),
        "disk-spool": (settings.spool, marked("Disk of the spool")),
        "disk-audit": (settings.audit, marked("Disk of the audit trail's files")),
    }
    seen: set[int] = set()
    for name, (path, title) in places.items():
        try:
            device = path.stat().st_dev
            if device not in seen:
                yield _disk(name, title, path)
        except FileNotFoundError:
            continue  # nothing has come there yet
        except OSError:
            yield unknown(name, title)
            continue
        seen.add(device)


def _disk(name: str, title: str, path: Path) -> Item:
    usage = shutil.disk_usage(path)
    share = usage.free / usage.total if usage.total else 0.0
    level, todo = Level.FINE, ""
    if share < ROOM_TO_LOOK[0] and usage.free < ROOM_TO_LOOK[1]:
        level, todo = Level.LOOK, marked("Plan for more room: what is full takes nothing more in.")
    if share < ROOM_TO_ACT[0] and usage.free < ROOM_TO_ACT[1]:
        level, todo = Level.ACT, marked("Make room: what is full takes nothing more in.")
    values = {"free": usage.free // GIB, "total": usage.total // GIB, "share": round(share * 100)}
    values |= {"free_bytes": usage.free, "total_bytes": usage.total}
    return Item(name, title, level, marked("%(free)s of %(total)s GiB free (%(share)s %%)"), values, todo)


def _certificates(settings: Settings) -> Iterator[Item]:
    certificates = (
        ("certificate", marked("The gateway's certificate"), settings.tls_certificate),
        (
            "certificate-federation",
            marked("The certificate shown to the hub"),
            settings.federation_certificate,
        ),
    )
    for name, title, path in certificates:
        if path:
            yield _certificate(name, title, Path(path))


def _certificate(name: str, title: str, path: Path) -> Item:
    try:
        found = x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError):
        return unknown(name, title)
    until = found.not_valid_after_utc
    left = until - datetime.now(UTC)
    level = Level.ACT if left < EXPIRES_TO_ACT else Level.LOOK if left < EXPIRES_TO_LOOK else Level.FINE
    todo = "" if level == Level.FINE else marked("Put a new one in its place and start the gateway again.")
    said = marked("valid until %(until)s") if left > timedelta(0) else marked("expired on %(until)s")
    return Item(name, title, level, said, {"until": until}, todo)


def _keys(settings: Settings) -> Item:
    """The age of the keys that are changed now and then; those that pseudonyms hang on stay for good."""
    title = marked("Signing keys")
    try:
        moments = [
            Path(settings.secrets, name).stat().st_mtime
            for name in (secrets.SIGNING_KEY, secrets.AUDIT_PUBLIC_KEY)
        ]
    except OSError:
        return unknown("keys", title)
    oldest = datetime.fromtimestamp(min(moments), UTC)
    said, values = marked("the oldest was made on %(made)s"), {"made": oldest}
    if datetime.now(UTC) - oldest < KEY_TO_LOOK:
        return Item("keys", title, Level.FINE, said, values)
    todo = marked("Sign with new ones: the old ones go on verifying.")
    command = "senogate key rotate && senogate audit rotate-key"
    return Item("keys", title, Level.LOOK, said, values, todo, command=command)


def _models(settings: Settings) -> Item:
    """What the site has chosen to read with (inference/choice.py keeps it)."""
    title, path = marked("Models"), settings.home / "models" / "enabled.json"
    try:
        chosen = [row["active"] for row in json.loads(path.read_bytes())["chosen"]]
    except FileNotFoundError:
        return Item("models", title, said=marked("the built-in ones read"), command="senogate model list")
    except (OSError, ValueError, KeyError, TypeError):
        return unknown("models", title)
    names = sorted({name for name in chosen if name})
    if not names:
        return Item("models", title, said=marked("the built-in ones read"), command="senogate model list")
    said = marked("enabled: %(names)s; where none is chosen the built-in ones read")
    return Item("models", title, said=said, values={"names": ", ".join(names)}, command="senogate model list")


def _federation(settings: Settings) -> Item:
    title = marked("Federation")
    try:
        hub, joined = read_hub(settings), read_site(settings)
    except (ConfigurationError, OSError):
        return unknown("federation", title)
    if hub:
        return Item(
            "federation", title, said=marked("hub of %(name)s"), values={"name": hub.name}, link="/federation"
        )
    if joined:
        values = {"name": joined.name, "hub": joined.hub_name}
        return Item(
            "federation",
            title,
            said=marked("takes part in %(hub)s as %(name)s"),
            values=values,
            link="/federation",
        )
    return Item("federation", title, said=marked("takes part in none"))
