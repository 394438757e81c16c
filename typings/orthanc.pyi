"""What Senogate uses of the module that Orthanc's Python plugin (5.0) puts into its interpreter."""

from collections.abc import Callable
from enum import IntEnum
from typing import Any

class ReceivedInstanceAction(IntEnum):
    KEEP_AS_IS = 1
    MODIFY = 2
    DISCARD = 3

class ContentType(IntEnum):
    UNKNOWN = 0
    DICOM = 1
    DICOM_AS_JSON = 2
    DICOM_UNTIL_PIXEL_DATA = 3

class ChangeType(IntEnum):
    ORTHANC_STARTED = 14

class HttpMethod(IntEnum):
    GET = 1
    POST = 2
    PUT = 3
    DELETE = 4

class InstanceOrigin(IntEnum):
    UNKNOWN = 1
    DICOM_PROTOCOL = 2
    REST_API = 3
    PLUGIN = 4
    LUA = 5

class RestOutput:
    def AnswerBuffer(self, buffer: str | bytes, mime_type: str) -> None: ...
    def SendHttpStatusCode(self, status: int) -> None: ...

def RegisterReceivedInstanceCallback(
    callback: Callable[[bytes, InstanceOrigin], tuple[ReceivedInstanceAction, bytes | None]],
) -> None: ...
def RegisterIncomingHttpRequestFilter(
    callback: Callable[..., bool],
) -> None: ...
def RegisterStorageArea(
    create: Callable[[str, ContentType, bytes], None],
    read: Callable[[str, ContentType], bytes],
    remove: Callable[[str, ContentType], None],
) -> None: ...
def RegisterRestCallback(uri: str, callback: Callable[..., Any]) -> None: ...
def CheckVersionAdvanced(major: int, minor: int, revision: int) -> int: ...
def GetConfiguration() -> str: ...
def LogWarning(message: str) -> None: ...
def LogError(message: str) -> None: ...
def GetGlobalProperty(property: int, default_value: str) -> str: ...
def SetGlobalProperty(property: int, value: str) -> None: ...
def LogInfo(message: str) -> None: ...

class OrthancException(Exception): ...

def RegisterOnChangeCallback(callback: Callable[[ChangeType, int, str | None], None]) -> None: ...
def RestApiGet(uri: str) -> bytes: ...
def RestApiDelete(uri: str) -> None: ...
def RestApiPost(uri: str, body: bytes) -> bytes: ...
