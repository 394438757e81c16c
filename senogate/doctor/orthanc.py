"""Orthanc: whether it answers, is one that the plugin protects, has the plugin in it, and is set up as it must be."""

import hashlib
import hmac
import secrets as random
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import httpx

from archive import secrets
from archive.errors import ConfigurationError
from archive.settings import Settings
from orthanc_plugin import fitness
from senogate.doctor.finding import Finding, act, consider, fine
from senogate.doctor.place import Place
from senogate.site_keys import keys_of

_PATIENCE = 5.0  # seconds for each answer
_CONTEXT = b"senogate status\0"
_NOT_LOADED = (
    "End Orthanc at once: without the plugin it stores what it gets as it came. Then see that orthanc.json names "
    "libOrthancPython.so under Plugins and plugin.py as PythonScript, and start it again."
)


def look(place: Place) -> Iterator[Finding]:
    """What Orthanc says of itself, and the proof that the plugin is in it."""
    if place.runs_here and place.pid is None and place.is_new:
        return
    try:
        password = secrets.orthanc_password(place.settings)
    except ConfigurationError:
        return  # told by the keys
    settings = place.settings
    client = httpx.Client(
        base_url=settings.orthanc_url,
        auth=(settings.orthanc_user, password),
        timeout=_PATIENCE,
        trust_env=False,
    )
    with client:
        yield from _ask(client, place)


def _ask(client: httpx.Client, place: Place) -> Iterator[Finding]:
    try:
        answer = client.get("/system")
    except httpx.HTTPError as error:
        if not place.runs_here or place.pid is not None:
            yield _silent(place, error)
        return
    if answer.status_code != HTTPStatus.OK:
        yield _refused(answer.status_code, place.settings)
        return
    system = answer.json()
    yield _release(system, place.settings)
    yield from _setup(system, place.settings)
    yield from _plugin(client, place.settings)


def _silent(place: Place, error: httpx.HTTPError) -> Finding:
    said = f"it does not answer at {place.settings.orthanc_url} ({type(error).__name__})"
    if place.runs_here:
        log = place.settings.home / "logs" / "orthanc.log"
        return act("orthanc", said, f"The end of {log} says why.", f"tail {log}")
    return act(
        "orthanc", said, "See whether it runs, its log, and whether orthanc_url is its address from here."
    )


def _refused(status: int, settings: Settings) -> Finding:
    if status == HTTPStatus.UNAUTHORIZED:
        todo = (
            "Something else listens there, or its password is another: its RegisteredUsers have to name "
            f"{settings.orthanc_user} with the password that orthanc.password, or orthanc_password, holds."
        )
        return act("orthanc", f"at {settings.orthanc_url} it does not let the site in (401)", todo)
    todo = "See what listens at orthanc_url: an Orthanc answers there with 200."
    return act("orthanc", f"what is at {settings.orthanc_url} answers with the status {status}", todo)


def _release(system: Any, settings: Settings) -> Finding:
    found = str(system.get("Version", "")) if isinstance(system, dict) else ""
    if reason := fitness.refusal(found, settings.orthanc_untested):
        return act("orthanc", reason, "Take one that was tested: its plugin refuses to start in any other.")
    return fine("orthanc", f"version {found} answers at {settings.orthanc_url}")


def _setup(system: dict[str, Any], settings: Settings) -> Iterator[Finding]:
    """What /system tells of its configuration; DicomAet is no secret of a site, and is told."""
    name = "orthanc-setup"
    told = list(fitness.dangers(_as_configured(system)))
    if told:
        yield act(name, "; ".join(told), "Change its configuration, and start it again.")
    if system.get("DicomAet") not in (None, settings.dicom_aet):
        said = "its DicomAet is another than dicom_aet of the site"
        yield consider(name, said, "Make them the same: PACS that check whom they call refuse else.")
    if not told:
        yield fine(name, "nothing of its configuration breaks a promise")


def _as_configured(system: dict[str, Any]) -> dict[str, Any]:
    """The keys that /system tells; the others as they must be, for the plugin refuses to start where they are not."""
    told = {key: system[key] for key in _TOLD if key in system}
    return told | {"AuthenticationEnabled": True, "WebDavEnabled": False, "Python": {"AllowThreads": True}}


_TOLD = (
    "IngestTranscoding",
    "MaximumPatientCount",
    "MaximumStorageMode",
    "MaximumStorageSize",
    "OverwriteInstances",
    "StorageCompression",
)


def _plugin(client: httpx.Client, settings: Settings) -> Iterator[Finding]:
    name, nonce = "plugin", random.token_bytes(16)
    try:
        answer = client.get("/senogate/status", params={"nonce": nonce.hex()})
    except httpx.HTTPError as error:
        yield act(name, f"it does not answer ({type(error).__name__})", "See Orthanc's log.")
        return
    if answer.status_code == HTTPStatus.NOT_FOUND:
        yield act(name, "Orthanc runs without the de-identifying plugin", _NOT_LOADED)
        return
    if answer.status_code != HTTPStatus.OK:
        todo = (
            "See Orthanc's log: most often a key of the site can't be read by the user that Orthanc runs as."
        )
        yield act(name, f"it answers with the status {answer.status_code}", todo)
        return
    yield from _judged(answer.json(), nonce, settings)


def _judged(status: Any, nonce: bytes, settings: Settings) -> Iterator[Finding]:
    name = "plugin"
    try:
        key = keys_of(settings).proof
    except ConfigurationError:
        return  # told by the keys
    proof = hmac.new(key, _CONTEXT + nonce, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(proof.encode(), str(status.get("proof", "")).encode()):
        todo = "Give Orthanc the same site.key (SENOGATE_SECRETS), and start it again; nothing is served until then."
        yield act(name, "it works with another site key than this one", todo)
    elif status.get("database") is not True:
        todo = "See PostgreSQL, and SENOGATE_DATABASE_URL of Orthanc; it refuses all that comes until then."
        yield act(name, "it can't reach PostgreSQL", todo)
    else:
        yield fine(name, f"it protects Orthanc with the profile {status.get('profile')}")
    if status.get("index", {}).get("own") is False:
        yield act(
            "orthanc-index",
            "its index is not that of the files in storage",
            "Every file is registered again, beside the site's work; nothing is removed before.",
            "senogate orthanc rebuild",
        )
    for remark in status.get("remarks", []):
        yield consider("orthanc-setup", str(remark), "See whether that is wanted.")
