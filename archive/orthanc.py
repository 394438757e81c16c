"""Orthanc's REST API, as far as a site uses it: its change log, where an instance lies, and the door."""

import json
import os
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from typing import Any

import httpx

from archive import secrets, trace_context
from archive.errors import BadRequest, NotFound, Unavailable
from archive.settings import Settings

_PAGE = 10_000  # identifiers an answer


@dataclass(frozen=True, slots=True)
class Change:
    """One row of Orthanc's durable, ordered log. `id` is Orthanc's own identifier of the resource."""

    sequence: int
    type: str
    id: str


@dataclass(frozen=True, slots=True)
class Changes:
    """A page of the log: its rows, the sequence number it reaches, and whether it reaches the end of the log."""

    rows: list[Change]
    last: int
    done: bool


@dataclass(frozen=True, slots=True)
class IndexState:
    """Which index Orthanc works with, and whether it is that of the stored files; None while it is not known."""

    mark: str
    is_own: bool | None


class Orthanc:
    """One Orthanc behind its HTTP allow-list. Methods raise Unavailable, or what they name."""

    def __init__(self, settings: Settings) -> None:
        password = secrets.orthanc_password(settings)
        self._client = httpx.Client(
            base_url=settings.orthanc_url,
            auth=(settings.orthanc_user, password),
            timeout=60,
            trust_env=False,
            verify=_trust(),
        )

    def close(self) -> None:
        self._client.close()

    def changes(self, since: int, limit: int) -> Changes:
        """The log after `since`."""
        answer = self._get("/changes", since=since, limit=limit)
        rows = [Change(row["Seq"], row["ChangeType"], row["ID"]) for row in answer["Changes"]]
        return Changes(rows, answer["Last"], answer["Done"])

    def last_change(self) -> int:
        """The sequence number of the log's last row; 0 of an empty log."""
        return self._get("/changes", last=1)["Last"]

    def arrivals(self) -> list[dict[str, Any]]:
        """What the plugin remembers of instances that came in since it was asked last (orthanc_plugin/arrivals.py)."""
        return self._get("/senogate/arrivals")

    def index_state(self) -> IndexState:
        """What the plugin found of Orthanc's index (orthanc_plugin/lineage.py)."""
        told = self._get("/senogate/status", nonce=os.urandom(16).hex()).get("index", {})
        return IndexState(told.get("mark", ""), told.get("own"))

    def judge_index(self, *, is_own: bool) -> None:
        """Have the plugin note whether the index is that of the stored files."""
        self._ask("/senogate/index", b"own" if is_own else b"other")

    def take_up(self, places: Sequence[str], *, clear: bool) -> dict[str, str]:
        """Have stored files registered that the index does not name: the plugin's word on each (taking_up.py)."""
        return self._ask("/senogate/files", json.dumps({"places": list(places), "clear": clear}).encode())[
            "places"
        ]

    def clear_headers(self, places: Sequence[str]) -> int:
        """Have copies of headers removed that the index does not name; their number."""
        return self._ask("/senogate/files", json.dumps({"headers": list(places)}).encode())["headers"]

    def places(self, instances: Sequence[str]) -> dict[str, str]:
        """The UUIDs of the attachments that hold these instances, without those that Orthanc no longer holds."""
        if not instances:
            return {}
        with _translated_errors():
            wanted = {"Resources": list(instances), "Short": True}
            response = self._client.post("/tools/bulk-content", json=wanted)
        if not response.is_success:
            raise Unavailable(f"Orthanc answered {response.status_code}")
        return {row["ID"]: row["FileUuid"] for row in response.json()}

    def count_instances(self) -> int:
        """How many instances Orthanc holds."""
        return self._get("/statistics")["CountInstances"]

    def sop_instance_uid(self, instance: str) -> str:
        """The UID of an instance, by Orthanc's identifier. Raises NotFound."""
        return self._get(f"/instances/{instance}")["MainDicomTags"]["SOPInstanceUID"]

    def instances(self) -> Iterator[str]:
        """Orthanc's identifiers of all instances, page by page."""
        since = 0
        while page := self._get("/instances", since=since, limit=_PAGE):
            yield from (row if isinstance(row, str) else row["ID"] for row in page)
            since += len(page)

    def instances_below(self, level: str, identifier: str) -> Iterator[str]:
        """The identifiers of the instances of one of `patients`, `studies` or `series`; none where it is absent."""
        below = {"patients": ("Studies", "studies"), "studies": ("Series", "series")}
        try:
            found = self._get(f"/{level}/{identifier}")
        except NotFound:
            return
        if level == "series":
            yield from found["Instances"]
            return
        member, next_level = below[level]
        for each in found[member]:
            yield from self.instances_below(next_level, each)

    def delete(self, instance: str) -> None:
        """Delete an instance and its file; one that is gone is no error."""
        with _translated_errors():
            response = self._client.delete(f"/instances/{instance}")
        if response.status_code not in (HTTPStatus.OK, HTTPStatus.NOT_FOUND):
            raise Unavailable(f"Orthanc answered {response.status_code}")

    def store(self, instance: bytes) -> str:
        """Hand one Part 10 instance to the door; Orthanc's identifier of it.

        One of the same UIDs that says something else gives way to it. Raises BadRequest when it is refused, and
        Unavailable when it can't be stored now, for want of disk or whatever else.
        """
        answer = self._post(instance)
        if answer.get("Status") == "AlreadyStored" and self._file(answer["ID"]) != instance:
            with _translated_errors():
                self._client.delete(f"/instances/{answer['ID']}")
            answer = self._post(instance)
        return answer["ID"]

    def _post(self, instance: bytes) -> dict[str, str]:
        with _translated_errors():
            headers = {"Content-Type": "application/dicom"}
            if (context := trace_context.current.get()) and context.is_sampled:
                headers[trace_context.HEADER] = context.header
            response = self._client.post("/instances", content=instance, headers=headers)
        if response.is_success and (answer := response.json()).get("ID"):
            return answer
        if response.is_server_error:
            raise Unavailable(f"Orthanc could not store the instance (HTTP {response.status_code})")
        raise BadRequest(f"Orthanc refused the instance (HTTP {response.status_code})")

    def _file(self, instance: str) -> bytes:
        with _translated_errors():
            return self._client.get(f"/instances/{instance}/file").content

    def _ask(self, path: str, body: bytes) -> Any:
        with _translated_errors():
            response = self._client.post(path, content=body)
        if not response.is_success:
            raise Unavailable(f"Orthanc answered {response.status_code}")
        return response.json()

    def _get(self, path: str, **parameters: int | str):
        with _translated_errors():
            response = self._client.get(path, params=parameters)
        if response.status_code == 404:
            raise NotFound("Orthanc no longer holds it")
        if not response.is_success:
            raise Unavailable(f"Orthanc answered {response.status_code}")
        return response.json()


@contextmanager
def _translated_errors() -> Iterator[None]:
    try:
        yield
    except httpx.HTTPError as error:
        raise Unavailable(f"Orthanc does not answer ({type(error).__name__})") from None


@cache
def _trust() -> ssl.SSLContext:
    """The authorities that are trusted: read once, which takes as long as some requests."""
    return httpx.create_ssl_context(trust_env=False)
