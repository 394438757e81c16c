"""Registers Senogate's callbacks with Orthanc; nothing else. Named as `PythonScript` in orthanc.json.

A script that fails to import stops Orthanc, which is what should happen. Orthanc itself starts unprotected when its
Python plugin is not loaded at all, so the gateway serves nothing until the status route here has answered.
"""

import json
import re
import sys
from itertools import accumulate, pairwise
from pathlib import Path

import orthanc

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from archive import instances as files
from archive import settings  # noqa: E402
from archive.crosswalk import Crosswalk  # noqa: E402
from archive.durable import DurableConnection  # noqa: E402
from archive.spool import Spool  # noqa: E402
from orthanc_plugin import guard  # noqa: E402
from orthanc_plugin.received import Door  # noqa: E402
from orthanc_plugin.removals import Removals  # noqa: E402

_SETTINGS = settings.load()
_CROSSWALK = Crosswalk(DurableConnection(_SETTINGS.database_url))
_SPOOL = Spool(_SETTINGS.spool, DurableConnection(_SETTINGS.database_url))
_DOOR = Door(_SETTINGS, _CROSSWALK, _SPOOL, orthanc.LogWarning)
_REMOVALS = Removals(DurableConnection(_SETTINGS.database_url), orthanc.LogWarning)
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
    write = files.write_header if content_type == _HEADER else files.write
    write(_SETTINGS.storage, uuid, data)


def _read(uuid, content_type):
    return _path(uuid, content_type).read_bytes()


def _remove(uuid, content_type):
    file = _path(uuid, content_type)
    if content_type == orthanc.ContentType.DICOM:
        _REMOVALS.note(file, uuid)
    file.unlink(missing_ok=True)


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
    except orthanc.OrthancException:
        return False


def _filter(uri, **request):
    return guard.allows(int(request["method"]), uri)


def _status(output, uri, **request):
    nonce = request.get("get", {}).get("nonce", "")
    if not re.fullmatch(r"[0-9a-f]{16,128}", nonce):
        output.SendHttpStatusCode(400)
        return
    output.AnswerBuffer(json.dumps(_DOOR.status(bytes.fromhex(nonce))), "application/json")


orthanc.RegisterIncomingHttpRequestFilter(_filter)
orthanc.RegisterReceivedInstanceCallback(_receive)
orthanc.RegisterStorageArea(_create, _read, _remove)
orthanc.RegisterRestCallback("/senogate/status", _status)
orthanc.RegisterRestCallback("/senogate/instances", _take)
_REMOVALS.begin()
