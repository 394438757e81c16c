"""Registers Senogate's callbacks with Orthanc; nothing else. Named as `PythonScript` in orthanc.json.

A script that fails to import stops Orthanc, which is what should happen. Orthanc itself starts unprotected when its
Python plugin is not loaded at all, so the gateway serves nothing until the status route here has answered.
"""

import json
import re
import sys
from pathlib import Path

import orthanc

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from archive import instances, settings  # noqa: E402
from archive.crosswalk import Crosswalk  # noqa: E402
from archive.durable import DurableConnection  # noqa: E402
from archive.spool import Spool  # noqa: E402
from orthanc_plugin import guard  # noqa: E402
from orthanc_plugin.received import Door  # noqa: E402

_SETTINGS = settings.load()
_DATABASE = DurableConnection(_SETTINGS.database_url)
_DOOR = Door(_SETTINGS, Crosswalk(_DATABASE), Spool(_SETTINGS.spool, _DATABASE), orthanc.LogWarning)
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
        orthanc.LogError("the fence before storage refused an instance without a valid proof")
        raise PermissionError("no valid proof of de-identification")
    instances.write(_SETTINGS.storage, uuid, data)


def _read(uuid, content_type):
    return instances.path(_SETTINGS.storage, uuid).read_bytes()


def _remove(uuid, content_type):
    instances.path(_SETTINGS.storage, uuid).unlink(missing_ok=True)


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
