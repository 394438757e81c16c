"""On what grounds a site learns: a dataset, and the permit by which a federation's hub has the site learn from it."""

import asyncio
from dataclasses import dataclass

from psycopg import AsyncConnection, OperationalError

from archive import datasets, permits
from archive.errors import Forbidden, Unavailable
from archive.policy import Action, Principal, Role, decide
from archive.pool import connection_string
from archive.purpose import Purpose
from archive.settings import Settings

NEEDED = (Action.TRAIN, Action.READ)


def subject_of(hub: str) -> str:
    """How permits name a federation, by its hub's name."""
    return f"federation:{hub}"


@dataclass(frozen=True, slots=True)
class Grounds:
    """A dataset's name, the permit's identifier, and what it must be for and for whom."""

    dataset: str
    permit_id: str
    purpose: Purpose
    hub: str

    @property
    def subject(self) -> str:
        return subject_of(self.hub)


@dataclass(frozen=True, slots=True)
class Allowed:
    """A dataset, by its number, that may be learnt from, and the hash of what is in it now (`archive.datasets`)."""

    number: int
    version: str


def check(settings: Settings, grounds: Grounds) -> Allowed:
    """What the grounds allow now.

    Raises Forbidden unless the permit is the hub's, valid, for the purpose, names the dataset or everything, and has
    the actions `federation.train` and `dicomweb.read`; NotFound for a dataset that is none, Unavailable.
    """
    return asyncio.run(_connected(settings, grounds))


async def _connected(settings: Settings, grounds: Grounds) -> Allowed:
    try:
        async with await AsyncConnection.connect(connection_string(settings.database_url)) as connection:
            return await _check(connection, grounds)
    except OperationalError as error:
        raise Unavailable(f"PostgreSQL does not answer ({type(error).__name__})") from None


async def _check(connection: AsyncConnection, grounds: Grounds) -> Allowed:
    dataset = await datasets.show(connection, grounds.dataset)
    granted = await permits.grants_of(connection, grounds.subject)
    for action in NEEDED:
        principal = Principal(
            grounds.subject,
            frozenset({action}),
            frozenset({Role.NODE}),
            grounds.permit_id,
            grounds.purpose,
        )
        scope = decide(principal, granted, action)
        if not (scope.everything or dataset.number in scope.numbers):
            raise Forbidden(f"the permit does not allow {action} on this dataset, for this purpose")
    _, _, sha256 = await datasets.contents(connection, dataset.number)
    return Allowed(dataset.number, sha256)
