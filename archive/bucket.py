"""A bucket of an S3-compatible service of the hospital's own: an object for each instance, whole and unchanged.

Each object says the SHA-256 of its bytes and when the instance was written. The service encrypts what it holds, and
says so of each object that it takes; the way there is TLS.
"""

import base64
import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Protocol

from archive.errors import ConfigurationError, Unavailable, Unproven
from archive.settings import Settings

MOST = 5 * 1024**3  # bytes that an object may have which is put at once
_CHUNK = 1024 * 1024
_CONNECT, _READ = 3.0, 30.0  # seconds that the service may take to be reached, and to say something
_PAUSE = 5.0  # seconds in which nobody asks a service again that did not answer
_ABSENT = ("404", "NoSuchKey")


@dataclass(frozen=True, slots=True)
class Access:
    """Where the bucket is, and as whom it is asked. `encryption` is AES256, or the name of a key of the service."""

    url: str
    bucket: str
    region: str
    access_key: str
    secret_key: str = field(repr=False)
    encryption: str = "AES256"
    authorities: str = ""


@dataclass(frozen=True, slots=True)
class Kept:
    """An object: its bytes' SHA-256 and number, and when the instance was written, in nanoseconds since 1970."""

    sha256: bytes
    size: int
    written_at: int


class _Body(Protocol):
    def read(self, size: int) -> bytes: ...


def access_of(settings: Settings) -> Access | None:
    """How a site reaches its bucket; None where it has none."""
    if not settings.storage_s3_url:
        return None
    return Access(
        settings.storage_s3_url,
        settings.storage_s3_bucket,
        settings.storage_s3_region,
        settings.storage_s3_access_key,
        settings.storage_s3_secret_key,
        settings.storage_s3_encryption,
        settings.storage_s3_authorities,
    )


@dataclass(slots=True)
class _State:
    """A process's connections, and until when it asks nothing because there was no answer (monotonic clock)."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    client: Any = None
    silent_until: float = 0.0


@dataclass(frozen=True, slots=True)
class Bucket:
    """Safe for use from several threads. Methods raise Unavailable where the service does not answer or refuses."""

    access: Access
    _state: _State = field(default_factory=_State, compare=False, repr=False)

    def __reduce__(self) -> tuple[type["Bucket"], tuple[Access]]:
        return Bucket, (self.access,)

    def check(self) -> None:
        """Ask whether the bucket is there and may be used."""
        with self._asking() as client:
            client.head_bucket(Bucket=self.access.bucket)

    def put(self, place: str, file: BinaryIO, kept: Kept) -> None:
        """Put an instance there; what has its name is replaced.

        Raises Unproven where the service has other bytes afterwards, and ConfigurationError where it does not encrypt.
        """
        with self._asking() as client:
            answer = client.put_object(
                Bucket=self.access.bucket,
                Key=key(place),
                Body=file,
                ContentLength=kept.size,
                ChecksumSHA256=base64.b64encode(kept.sha256).decode(),
                Metadata={"sha256": kept.sha256.hex(), "written": str(kept.written_at)},
                **_encryption(self.access.encryption),
            )
        if not answer.get("ServerSideEncryption"):
            self.remove(place)
            raise ConfigurationError("the bucket does not encrypt what it takes: nothing is left there")
        digest = hashlib.sha256()
        if self._fetch(place, digest.update, lambda size: None) != kept or digest.digest() != kept.sha256:
            raise Unproven("the bucket has other bytes than were put there")

    def fetch(self, place: str, target: BinaryIO, admit: Callable[[int], object]) -> Kept:
        """Write an instance to a file; `admit` is told its size before.

        Raises FileNotFoundError where there is none, Unproven where its bytes are not those that were put there.
        """
        digest = hashlib.sha256()

        def take(chunk: bytes) -> None:
            digest.update(chunk)
            view = memoryview(chunk)
            while view:
                view = view[target.write(view) :]

        kept = self._fetch(place, take, admit)
        if digest.digest() != kept.sha256:
            raise Unproven("the bucket has other bytes than were put there")
        return kept

    def remove(self, place: str) -> None:
        """Remove an instance with all its versions, for good. One that is not there is no error."""
        with self._asking() as client:
            client.delete_object(Bucket=self.access.bucket, Key=key(place))
            for version in list(_versions(client, self.access.bucket, key(place))):
                client.delete_object(Bucket=self.access.bucket, Key=key(place), VersionId=version)

    def _fetch(self, place: str, take: Callable[[bytes], object], admit: Callable[[int], object]) -> Kept:
        with self._asking() as client:
            try:
                answer = client.get_object(Bucket=self.access.bucket, Key=key(place))
            except client.exceptions.ClientError as error:
                if error.response.get("Error", {}).get("Code") in _ABSENT:
                    raise FileNotFoundError("the bucket has no such instance") from None
                raise
            kept = _told(answer.get("Metadata", {}), answer["ContentLength"])
        body: _Body = answer["Body"]
        admit(kept.size)
        while chunk := self._read(body):
            take(chunk)
        return kept

    def _read(self, body: _Body) -> bytes:
        with self._asking():
            return body.read(_CHUNK)

    @contextmanager
    def _asking(self) -> Iterator[Any]:
        """The service's client, whose errors become Unavailable; nothing of an answer's text is told."""
        from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

        if time.monotonic() < self._state.silent_until:
            raise Unavailable("the bucket of the images does not answer")
        try:
            yield self._client()
        except ClientError as error:
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
            raise Unavailable(f"the bucket of the images refuses ({status})") from None
        except (BotoCoreError, HTTPClientError) as error:
            self._state.silent_until = time.monotonic() + _PAUSE
            name = type(error).__name__
            raise Unavailable(f"the bucket of the images does not answer ({name})") from None

    def _client(self) -> Any:
        with self._state.lock:
            if self._state.client is None:
                self._state.client = _connect(self.access)
            return self._state.client


def key(place: str) -> str:
    """The name of an instance's object."""
    return f"{place[:2]}/{place[2:4]}/{place}"


def _connect(access: Access) -> Any:
    """Nothing of the environment or of anybody's files has a say in it. Loads the library, which takes its time."""
    from botocore.config import Config
    from botocore.session import Session

    session = Session()
    for name in ("config_file", "credentials_file"):
        session.set_config_variable(name, os.devnull)
    return session.create_client(
        "s3",
        region_name=access.region,
        endpoint_url=access.url,
        aws_access_key_id=access.access_key,
        aws_secret_access_key=access.secret_key,
        verify=access.authorities or True,
        config=Config(
            connect_timeout=_CONNECT,
            read_timeout=_READ,
            retries={"max_attempts": 2, "mode": "standard"},
            signature_version="s3v4",
            s3={"addressing_style": "path"},
            proxies={},
            max_pool_connections=32,
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )


def _encryption(wanted: str) -> dict[str, str]:
    if wanted == "AES256":
        return {"ServerSideEncryption": wanted}
    return {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": wanted}


def _told(metadata: Mapping[str, str], size: int) -> Kept:
    """What an object says of itself. Raises Unproven for one that this program did not put there."""
    try:
        return Kept(bytes.fromhex(metadata["sha256"]), size, int(metadata["written"]))
    except (KeyError, ValueError):
        raise Unproven("an object of the bucket is none that the site put there") from None


def _versions(client: Any, bucket: str, name: str) -> Iterator[str]:
    """Those of one object, and the marks of its removals, where the bucket keeps any."""
    try:
        for page in client.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=name):
            for each in (*page.get("Versions", ()), *page.get("DeleteMarkers", ())):
                if each["Key"] == name:
                    yield each["VersionId"]
    except client.exceptions.ClientError as error:
        if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") not in (405, 501):
            raise  # a service that knows of no versions keeps none
