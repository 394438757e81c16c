"""Instances from the site's own gateway by WADO-RS (PS3.18 section 10.4), with a token that is good for one permit."""

import threading
import time
from pathlib import Path
from types import TracebackType

import httpx

from archive import own_gateway, secrets
from archive.errors import Forbidden, NotFound, PayloadTooLarge, Unavailable
from archive.policy import Action, Role
from archive.settings import Settings
from federation.examples.grounds import Grounds
from gateway.issuing import issue
from gateway.signing import SigningKeys

LIFETIME = 600  # seconds of a token; another is made when half of it has gone
ATTEMPTS = 4
LONGEST_WAIT = 5.0  # seconds between two of them
_GONE = {httpx.codes.NOT_FOUND, httpx.codes.GONE}
_REFUSED = {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}


class Retrieval:
    """Gets instances, from any number of threads. It may do what the permit says, and nothing of any role."""

    def __init__(
        self, settings: Settings, grounds: Grounds, transport: httpx.BaseTransport | None = None
    ) -> None:
        self._settings = settings
        self._grounds = grounds
        self._client = httpx.Client(
            base_url=f"{own_gateway.address(settings)}/dicom-web",
            timeout=60,
            trust_env=False,
            verify=own_gateway.certificate(settings),
            transport=transport,
        )
        self._lock, self._ended = threading.Lock(), threading.Event()
        self._token, self._made_at = "", float("-inf")

    def __enter__(self) -> "Retrieval":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()
        self._client.close()

    def end(self) -> None:
        """Try nothing again: whoever waits for another attempt gives up at once."""
        self._ended.set()

    def instance(self, study: str, series: str, sop_instance: str) -> bytes:
        """A Part 10 instance as it is stored.

        Raises NotFound for one that is not there, is withheld or is not the permit's, Forbidden where the token is good
        for nothing any more, Unavailable where the gateway does not answer after several attempts.
        """
        path = f"/studies/{study}/series/{series}/instances/{sop_instance}"
        for attempt in range(ATTEMPTS):
            try:
                return self._get(path)
            except (Unavailable, httpx.HTTPError):
                if attempt + 1 < ATTEMPTS and self._ended.wait(min(0.2 * 4**attempt, LONGEST_WAIT)):
                    break
        raise Unavailable("the site's gateway does not answer")

    def _get(self, path: str) -> bytes:
        headers = {
            "Accept": "application/dicom; transfer-syntax=*",
            "Authorization": f"Bearer {self._bearer()}",
        }
        with self._client.stream("GET", path, headers=headers) as answer:
            if answer.status_code in _GONE:
                raise NotFound("the instance is not here")
            if answer.status_code in _REFUSED:
                raise Forbidden("the permit does not allow it any more")
            if not answer.is_success:
                raise Unavailable(f"the site's gateway answers {answer.status_code}")
            return self._read(answer)

    def _read(self, answer: httpx.Response) -> bytes:
        content = bytearray()
        for chunk in answer.iter_bytes():
            content += chunk
            if len(content) > self._settings.max_instance_bytes:
                raise PayloadTooLarge("an instance is larger than max_instance_bytes")
        return bytes(content)

    def _bearer(self) -> str:
        with self._lock:
            if time.monotonic() - self._made_at > LIFETIME / 2:
                self._token, self._made_at = self._issue(), time.monotonic()
            return self._token

    def _issue(self) -> str:
        return issue(
            SigningKeys.load(Path(self._settings.secrets, secrets.SIGNING_KEY)),
            self._settings,
            subject=self._grounds.subject,
            scope=Action.READ,
            ttl=LIFETIME,
            roles=[Role.NODE],
            permit=self._grounds.permit_id,
            purpose=self._grounds.purpose,
        )
