"""An instance of the spool → cleaned and stored, or left to a person; and a person's decision, carried out."""

import logging
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from archive import measures, secrets
from archive.durable import DurableConnection
from archive.erasure import storing_spooled
from archive.errors import BadRequest, NotFound, Unavailable
from archive.orthanc import Orthanc
from archive.pool import autocommitting
from archive.settings import Settings
from archive.spool import Entry, Purpose, Spool, State
from deidentification.deidentify import Deidentifier, Pixels, Refused
from deidentification.seal import SealBroken, open_sealed
from inference.cleaning.cleaner import clean, cover
from inference.cleaning.mask import Box
from inference.cleaning.text import Finder
from inference.cleaning.unsure import Doubt, Unsure

MOST_ATTEMPTS = 3  # of one cleaning; an instance that ends its process each time is then left to a person
CLEANED, AWAITING_REVIEW = "cleaned", "awaiting-review"
WORKER = "worker"
_log = logging.getLogger("senogate.cleaning")


class Sealed:
    """Opens what the spool holds, and hands it to the door. It alone of the spool's users holds the private key."""

    def __init__(self, settings: Settings, deidentifier: Deidentifier) -> None:
        self._settings = settings
        self._deidentifier = deidentifier
        self.spool = Spool(settings.spool, DurableConnection(settings.database_url))

    def can_open(self) -> bool:
        """Whether the private key is there; without it instances wait."""
        return Path(self._settings.crosswalk_key).is_file()

    def open(self, identifier: str, by: str, purpose: Purpose) -> bytes:
        """The instance as it came, in memory; who opens it is put on record first.

        Raises NotFound, Unavailable, ConfigurationError, and Unsure where it can't be opened.
        """
        path = Path(self._settings.crosswalk_key)
        private = secrets.read_key(str(path.parent), path.name)
        try:
            return open_sealed(private, self.spool.read(identifier, by, purpose), identifier.encode())
        except SealBroken as error:
            raise Unsure(Doubt.NOT_OPENED) from error

    def sweep(self) -> None:
        """Remove files that no row has, over a connection of its own. Raises Unavailable."""
        connection = DurableConnection(self._settings.database_url)
        try:
            Spool(self._settings.spool, connection).sweep()
        finally:
            connection.close()

    def deidentify(self, instance: bytes, looked: Pixels) -> bytes:
        """De-identify an instance that was looked at. Raises Refused."""
        return self._deidentifier.deidentify(instance, looked).instance

    def store(self, identifier: str, deidentified: bytes) -> None:
        """Hand an instance that was de-identified to the door.

        Raises BadRequest or Unavailable, and NotFound where it was erased from the spool meanwhile.
        """
        with (
            closing(Orthanc(self._settings)) as orthanc,
            autocommitting(self._settings.database_url) as connection,
            storing_spooled(connection, identifier) as allowed,
        ):
            if not allowed:
                raise NotFound(f"the spool has no {identifier}")
            orthanc.store(deidentified)


class Ending(NamedTuple):
    """What a cleaning came to, and the boxes that it masks where it could be done."""

    state: State
    reason: str
    masks: list[list[int]] | None = None


class Cleaning:
    """Cleans what waits in the spool, one instance at a time.

    Where it is `automatic`, what could be cleaned is stored; otherwise a person looks at it first.
    """

    def __init__(self, sealed: Sealed, finder: Finder, *, automatic: bool) -> None:
        self._sealed = sealed
        self._finder = finder
        self._automatic = automatic

    def is_possible(self) -> bool:
        """Whether what waits can be opened; without the private key it goes on waiting."""
        return self._sealed.can_open()

    def sweep(self) -> None:
        """Remove sealed files that a process which was killed left behind. Raises Unavailable."""
        self._sealed.sweep()

    def clean(self, identifier: str) -> None:
        """Do a cleaning that is due; one that is not is left alone. Raises Unavailable, after which it is still due."""
        spool = self._sealed.spool
        if not self._sealed.can_open():
            return
        attempts = spool.begin(identifier)
        if attempts is None:
            return
        try:
            ending = self._end(identifier, attempts)
        except Unavailable:
            spool.put_back(identifier)
            raise
        spool.finish(identifier, *ending)
        measures.CLEANINGS.labels(str(ending.state)).inc()
        _log.info("a cleaning ended: %s, %s", ending.state, ending.reason)

    def _end(self, identifier: str, attempts: int) -> Ending:
        if attempts > MOST_ATTEMPTS:
            return Ending(State.QUARANTINED, Doubt.GIVEN_UP)
        try:
            return self._clean(identifier)
        except Unsure as unsure:
            return Ending(State.QUARANTINED, unsure.doubt)
        except Refused as refused:
            return Ending(State.QUARANTINED, refused.reason.code)
        except NotFound:
            return Ending(State.QUARANTINED, Doubt.NOT_OPENED)
        except BadRequest:
            return Ending(State.QUARANTINED, Doubt.NOT_STORED)

    def _clean(self, identifier: str) -> Ending:
        cleaned = clean(self._sealed.open(identifier, WORKER, Purpose.CLEAN), self._finder)
        masks = [box.sized for box in cleaned.boxes]
        deidentified = self._sealed.deidentify(cleaned.instance, Pixels.CLEANED)
        if not self._automatic:
            return Ending(State.QUARANTINED, AWAITING_REVIEW, masks)
        self._sealed.store(identifier, deidentified)
        return Ending(State.RELEASED, CLEANED, masks)


def masks_of(entry: Entry) -> list[Box]:
    """The boxes that the cleaning masks. Raises BadRequest where it came to none."""
    if entry.masks is None:
        raise BadRequest(f"{entry.id} could not be cleaned: {entry.reason}")
    return [Box.of_size(*numbers) for numbers in entry.masks]


def release(sealed: Sealed, identifier: str, masks: Sequence[Box] | None, person: str, why: str) -> None:
    """Store a held instance as a person decided: with these boxes masked, or, for None, its pixels as they are.

    Raises NotFound, Conflict, Unavailable, ConfigurationError, Refused, or Unsure where boxes can't be masked.
    """
    sealed.spool.entry(identifier)
    instance = sealed.open(identifier, person, Purpose.RELEASE)
    if masks is None:
        deidentified = sealed.deidentify(instance, Pixels.ACCEPTED)
    else:
        deidentified = sealed.deidentify(cover(instance, masks), Pixels.CLEANED)
    sealed.store(identifier, deidentified)
    masked = None if masks is None else [box.sized for box in masks]
    sealed.spool.decide(identifier, State.RELEASED, "released", _decision(person, why) | {"masks": masked})


def discard(spool: Spool, identifier: str, person: str, why: str) -> None:
    """Delete a held instance as a person decided. Raises NotFound, Conflict or Unavailable."""
    spool.entry(identifier)
    spool.decide(identifier, State.DISCARDED, "discarded", _decision(person, why))


def _decision(person: str, why: str) -> dict[str, object]:
    return {"by": person, "why": why, "at": datetime.now(UTC).isoformat(timespec="seconds")}
