"""Consents as they come over HTTP: a Patient ID becomes pseudonyms at once, and is neither kept nor told."""

import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

import psycopg
from anyio.to_thread import run_sync

from archive import consents, prepared
from archive.consents import Consent, Decision, Recorded, Scope, Statement
from archive.errors import BadRequest
from archive.pool import autocommitting
from deidentification.patient import patient_pseudonyms
from gateway.api.payload import Payload
from gateway.services import Services

_T = TypeVar("_T")


async def record(services: Services, payload: Payload, by: str) -> Recorded:
    """Keep what a patient said. Raises BadRequest, Conflict as `archive.consents.record` does."""
    statement = Statement(
        decision=payload.choice("decision", Decision),
        scope=payload.choice("scope", Scope),
        text_sha256=payload.text("text_sha256", ""),
        evidence=payload.text("evidence", ""),
        stated_at=payload.moment("stated_at") or datetime.now(UTC),
    )
    patients = _pseudonyms(services, payload)

    def work(connection: psycopg.Connection) -> Recorded:
        recorded = consents.record(connection, patients, statement, by=by)
        prepared.forget_withheld(services.settings, connection)
        return recorded

    return await _run(services, work)


async def find(services: Services) -> list[Consent]:
    """The newest statements first."""
    return await _run(services, consents.find)


async def show(services: Services, identifier: str) -> Consent:
    """Raises NotFound, BadRequest for what is no identifier."""
    try:
        found = uuid.UUID(identifier)
    except ValueError:
        raise BadRequest("a consent's identifier is a UUID") from None
    return await _run(services, partial(_show, identifier=found))


def _show(connection: psycopg.Connection, identifier: uuid.UUID) -> Consent:
    return consents.show(connection, identifier)


async def demanded(services: Services) -> Mapping[str, Scope]:
    """The datasets that want a consent."""
    return await _run(services, consents.demanded)


async def demand(services: Services, dataset: str, scope: Scope | None, by: str) -> None:
    """Have a dataset want a consent, or none. Raises BadRequest, NotFound."""

    def work(connection: psycopg.Connection) -> None:
        consents.demand(connection, dataset, scope, by=by)
        prepared.forget_withheld(services.settings, connection)

    await _run(services, work)


def _pseudonyms(services: Services, payload: Payload) -> tuple[str, ...]:
    try:
        return patient_pseudonyms(
            services.deidentifier.pseudonyms, payload.text("patient_id", ""), payload.text("issuer", "")
        )
    except ValueError as error:
        raise BadRequest(str(error)) from None


async def _run(services: Services, work: Callable[[psycopg.Connection], _T]) -> _T:
    def connected() -> _T:
        with (
            autocommitting(services.settings.database_url) as connection,
        ):
            return work(connection)

    return await run_sync(connected)
