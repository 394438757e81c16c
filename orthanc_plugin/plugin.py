"""Registers Senogate's callbacks with Orthanc; nothing else. Named as `PythonScript` in orthanc.json.

A script that fails to import stops Orthanc, which is what should happen. Orthanc itself starts unprotected when its
Python plugin is not loaded at all, so the gateway serves nothing until the status route here has answered.
"""

import json
import re
import sys
import time
from functools import partial
from itertools import accumulate, pairwise
from pathlib import Path

import orthanc

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from archive import settings  # noqa: E402
from orthanc_plugin import fitness  # noqa: E402

_SETTINGS = settings.load()
_VERSION = fitness.version_of(orthanc.CheckVersionAdvanced)
_CONFIGURATION = json.loads(orthanc.GetConfiguration())
try:  # before what an interpreter of another release may not be able to import
    fitness.require(_VERSION, _CONFIGURATION, _SETTINGS.orthanc_untested)
except fitness.Unfit as unfit:
    orthanc.LogError(str(unfit))
    raise

from archive import instances as files  # noqa: E402
from archive.crosswalk import Crosswalk  # noqa: E402
from archive.durable import DurableConnection  # noqa: E402
from archive.errors import Unavailable  # noqa: E402
from archive.spool import Spool  # noqa: E402
from archive.tiers import Tiers  # noqa: E402
from orthanc_plugin import guard, listening  # noqa: E402
from orthanc_plugin.lineage import Lineage  # noqa: E402
from orthanc_plugin.moved import Moved  # noqa: E402
from orthanc_plugin.received import SHORTAGES, Door  # noqa: E402
from orthanc_plugin.removals import Removals  # noqa: E402
from orthanc_plugin.taking_up import TakingUp, asked  # noqa: E402
from orthanc_plugin.unfinished import ForeignIndex, Journal, Orthanc, journal_of, remove_unfinished  # noqa: E402

_CROSSWALK = Crosswalk(DurableConnection(_SETTINGS.database_url))
_SPOOL = Spool(_SETTINGS.spool, DurableConnection(_SETTINGS.database_url))
_DOOR = Door(_SETTINGS, _CROSSWALK, _SPOOL, orthanc.LogWarning)
_REMOVALS = Removals(DurableConnection(_SETTINGS.database_url), orthanc.LogWarning)
_TIERS = Tiers.of(_SETTINGS)
_MOVED = Moved(DurableConnection(_SETTINGS.database_url), _TIERS, orthanc.LogWarning)
_JOURNAL = Journal(journal_of(_SETTINGS.storage))
_BEGUN = _JOURNAL.last()  # by the process before this one
_LINEAGE = Lineage(_SETTINGS.storage, orthanc.GetGlobalProperty, orthanc.SetGlobalProperty)
_REST = (orthanc.RestApiGet, orthanc.RestApiPost, orthanc.RestApiDelete)
_HEADER = orthanc.ContentType.DICOM_UNTIL_PIXEL_DATA
_ACTIONS = {
    "keep": orthanc.ReceivedInstanceAction.KEEP_AS_IS,
    "modify": orthanc.ReceivedInstanceAction.MODIFY,
    "discard": orthanc.ReceivedInstanceAction.DISCARD,
}


def _receive(instance, origin):
    action, data = _DOOR.receive(instance)
    return _ACTIONS[action], data


def _create(uuid, content_type, data):
    if content_type == orthanc.ContentType.DICOM and not _DOOR.may_be_stored(data):
        raise PermissionError("the fence before storage refused an instance")
    files.require_mounted(_SETTINGS.storage_mount)
    _JOURNAL.note(uuid)
    if content_type == orthanc.ContentType.DICOM and _TAKING_UP.link(uuid, data):
        return
    write = files.write_header if content_type == _HEADER else files.write
    write(_SETTINGS.storage, uuid, data)
    if content_type == orthanc.ContentType.DICOM:
        _DOOR.arrivals.stored(uuid)


def _read(uuid, content_type):
    if content_type == orthanc.ContentType.DICOM:
        return _TIERS.read(uuid)
    return _path(uuid, content_type).read_bytes()


def _remove(uuid, content_type):
    files.require_mounted(_SETTINGS.storage_mount)
    file = _path(uuid, content_type)
    if content_type == orthanc.ContentType.DICOM:
        _REMOVALS.note(file, uuid)
    file.unlink(missing_ok=True)


def _changed(change, level, resource):
    if change == orthanc.ChangeType.ORTHANC_STARTED:
        listening.hold_back_silent_ones()
        try:
            _look_at_index()
        except OSError as error:
            orthanc.LogError(
                f"whose index it is can't be found out ({type(error).__name__}); nothing is removed"
            )
        finally:
            _REMOVALS.begin()


def _look_at_index():
    """Remove what was left half stored, where the index is that of the files."""
    try:
        if not _LINEAGE.look(lambda: not json.loads(orthanc.RestApiGet("/statistics"))["CountInstances"]):
            raise ForeignIndex("Orthanc's index is not that of the files in storage")
        places = [
            path
            for uuid in _BEGUN
            for path in (_path(uuid, None), files.header_path(_SETTINGS.storage, uuid))
        ]
        remove_unfinished(places, Orthanc(*_REST))
    except ForeignIndex as error:
        if error.is_certain:
            _LINEAGE.disown()
        orthanc.LogError(f"{error}; nothing is removed: `senogate orthanc rebuild` registers all files again")


def _path(uuid, content_type):
    """Where an attachment lies: copies of headers apart, but for those of an older release."""
    place = files.path(_SETTINGS.storage, uuid)
    return place if content_type != _HEADER or place.exists() else files.header_path(_SETTINGS.storage, uuid)


def _take(output, uri, **request):
    """Instances one after the other in a body, from the gateway; a status for each."""
    lengths = request["headers"].get("senogate-lengths", "")
    body = request.get("body", b"")
    if request["method"] != "POST" or not re.fullmatch(r"\d{1,12}(,\d{1,12}){0,99}", lengths):
        output.SendHttpStatusCode(400)
        return
    ends = list(accumulate(map(int, lengths.split(","))))
    if ends[-1] != len(body):
        output.SendHttpStatusCode(400)
        return
    instances = [body[start:end] for start, end in pairwise([0, *ends])]
    output.AnswerBuffer(json.dumps(_DOOR.take(instances, _store)), "application/json")


def _store(instance):
    try:
        return bool(json.loads(orthanc.RestApiPost("/instances", instance)).get("ID"))
    except orthanc.OrthancException as error:
        if error.args and error.args[0] in SHORTAGES:
            raise Unavailable("Orthanc could not store an instance for now") from None
        return False


def _ask(ask, uri, *body):
    try:
        return ask(uri, *body)
    except orthanc.OrthancException as error:
        raise Unavailable(f"Orthanc does not answer about what it holds ({type(error).__name__})") from None


def _files(output, uri, **request):
    """Files to be registered again, and copies of headers to be removed where nothing names them."""
    try:
        places, headers, clear = asked(request.get("body", b""))
        taken = _TAKING_UP.take_up(places, clear=clear)
        told = {"places": taken, "headers": _TAKING_UP.clear_headers(headers)}
    except ValueError:
        output.SendHttpStatusCode(400)
    except Unavailable:
        output.SendHttpStatusCode(503)
    else:
        output.AnswerBuffer(json.dumps(told), "application/json")


def _index(output, uri, **request):
    """Whether the index is that of the files, as `senogate orthanc rebuild` found out."""
    word = bytes(request.get("body", b""))
    if word not in (b"own", b"other"):
        output.SendHttpStatusCode(400)
        return
    (_LINEAGE.own if word == b"own" else _LINEAGE.disown)()
    output.AnswerBuffer(json.dumps(_LINEAGE.told()), "application/json")


def _filter(uri, **request):
    _DOOR.arrivals.hear(request.get("headers", {}))
    return guard.allows(int(request["method"]), uri)


def _status(output, uri, **request):
    nonce = request.get("get", {}).get("nonce", "")
    if not re.fullmatch(r"[0-9a-f]{16,128}", nonce):
        output.SendHttpStatusCode(400)
        return
    about = {"orthanc": _VERSION, "index": _LINEAGE.told(), "remarks": list(fitness.remarks(_CONFIGURATION))}
    output.AnswerBuffer(json.dumps(_DOOR.status(bytes.fromhex(nonce)) | about), "application/json")


def _arrivals(output, uri, **request):
    output.AnswerBuffer(json.dumps(_DOOR.arrivals.fetch()), "application/json")


_TAKING_UP = TakingUp(
    _SETTINGS.storage,
    _DOOR,
    Orthanc(*(partial(_ask, each) for each in _REST)),
    DurableConnection(_SETTINGS.database_url),
    time.time(),
)
orthanc.RegisterIncomingHttpRequestFilter(_filter)
orthanc.RegisterReceivedInstanceCallback(_receive)
orthanc.RegisterStorageArea(_create, _read, _remove)
orthanc.RegisterOnChangeCallback(_changed)
orthanc.RegisterRestCallback("/senogate/status", _status)
orthanc.RegisterRestCallback("/senogate/instances", _take)
orthanc.RegisterRestCallback("/senogate/arrivals", _arrivals)
orthanc.RegisterRestCallback("/senogate/files", _files)
orthanc.RegisterRestCallback("/senogate/index", _index)
if _TIERS.bucket:
    _MOVED.begin()
