"""Which Orthanc, set up how, the plugin protects: what its tests ran with. Any other is refused at its start.

What the callbacks promise differs between releases and hangs on the configuration, and Orthanc stores what it received
where they are not called: so what is not known to work is not tried.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

TESTED = ("1.12.7",)
"""Releases that the whole suite ran with."""
_MOST = 100  # releases of a kind that are looked for; "mainline" claims to be above any
_STORES = ("PostgreSQL", "MySQL", "Odbc")  # plugins that can hold the index, and the instances as well
_OPEN = ("Find", "FindWorklist", "Get", "Move")


class Unfit(RuntimeError):
    """This Orthanc is none that the plugin is known to protect; the message says why and what to do."""


def require(version: str, configuration: Mapping[str, Any], accepted: str = "") -> None:
    """Raise Unfit unless the plugin is known to protect such an Orthanc. `accepted` as `refusal` takes it."""
    reasons = [reason for reason in (refusal(version, accepted), *dangers(configuration)) if reason]
    if reasons:
        raise Unfit("Senogate refuses this Orthanc: " + "; ".join(reasons))


def refusal(version: str, accepted: str = "") -> str:
    """Why a release of Orthanc is refused; empty for one that was tested, or that the site has `accepted`."""
    if version in TESTED or (version and version == accepted):
        return ""
    said = f"its version {version} was not tested" if version else "it does not tell its version"
    return (
        f"{said}: take {' or '.join(TESTED)}, or test it and accept it as orthanc_untested (docs/doctor.md)"
    )


def version_of(is_at_least: Callable[[int, int, int], Any]) -> str:
    """Orthanc's version, of a function that tells whether it is at least `major.minor.revision`."""
    major = _largest(lambda number: is_at_least(number, 0, 0))
    minor = _largest(lambda number: is_at_least(major, number, 0))
    revision = _largest(lambda number: is_at_least(major, minor, number))
    return "mainline" if major == _MOST else f"{major}.{minor}.{revision}"


def _largest(is_reached: Callable[[int], Any]) -> int:
    number = 0
    while number < _MOST and is_reached(number + 1):
        number += 1
    return number


def dangers(configuration: Mapping[str, Any]) -> Iterator[str]:
    """What of Orthanc's configuration breaks a promise: a reason for each, with the key to change."""
    for key, wanted, why in _WANTED:
        if bool(configuration.get(key, _by_itself(key, wanted, configuration))) != wanted:
            yield f"{key} must be {str(wanted).lower()}: {why}"
    if not _section(configuration, "Python").get("AllowThreads"):
        yield "Python.AllowThreads must be true: else the plugin and Orthanc come to wait for each other"
    for service in _OPEN:
        if configuration.get(f"DicomAlwaysAllow{service}"):
            yield f"DicomAlwaysAllow{service} must be false: whoever reaches the DICOM port reads what no permit names"
    if _recycles(configuration):
        yield 'MaximumStorageMode must be "Reject": else Orthanc deletes what it has acknowledged'
    for plugin in _STORES:
        if _section(configuration, plugin).get("EnableStorage"):
            yield f"{plugin}.EnableStorage must be false: instances are stored past the fence"
    if _section(configuration, "DelayedDeletion").get("Enable"):
        yield "DelayedDeletion.Enable must be false: what is erased would lie there still"


def remarks(configuration: Mapping[str, Any]) -> Sequence[str]:
    """What of the configuration somebody should know of, though it breaks nothing by itself."""
    found = {
        "LuaScripts are loaded: they see what comes in before it is de-identified": configuration.get(
            "LuaScripts"
        ),
        "DicomModalities are named: unless each denies it, they may query and fetch what no permit names": (
            configuration.get("DicomModalities")
        ),
        "ReadOnly is set: nothing is taken in": configuration.get("ReadOnly"),
        "UnknownSopClassAccepted is set: what it lets in is refused one by one": configuration.get(
            "UnknownSopClassAccepted"
        ),
    }
    return [remark for remark, holds in found.items() if holds]


_WANTED = (
    ("StorageCompression", False, "stored bytes have to be those that were proven"),
    ("StoreDicom", True, "what is acknowledged has to be stored"),
    ("IngestTranscoding", False, "stored bytes have to be those that were proven"),
    ("OverwriteInstances", False, "what was acknowledged would be replaced"),
    ("DeidentifyLogs", True, "logs would name patients"),
    ("AuthenticationEnabled", True, "whoever reaches its port would read what no permit names"),
    ("WebDavEnabled", False, "it is a way in and out past the plugin"),
    ("ExecuteLuaEnabled", False, "scripts of others would run beside the plugin"),
)
"""Keys that are true or false, and what they have to be; IngestTranscoding is the name of a syntax, or empty."""


def _by_itself(key: str, wanted: bool, configuration: Mapping[str, Any]) -> bool:
    """What Orthanc does where the configuration does not name a key; as is wanted, but for two."""
    if key == "AuthenticationEnabled":
        return bool(configuration.get("RemoteAccessAllowed"))
    return True if key == "WebDavEnabled" else wanted


def _recycles(configuration: Mapping[str, Any]) -> bool:
    bounded = configuration.get("MaximumStorageSize") or configuration.get("MaximumPatientCount")
    return bool(bounded) and configuration.get("MaximumStorageMode", "Recycle") != "Reject"


def _section(configuration: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = configuration.get(name)
    return found if isinstance(found, Mapping) else {}
