"""Opt-outs by a form. The Patient ID that it holds is turned into pseudonyms, and is neither kept nor told again."""

from functools import partial

from anyio.to_thread import run_sync
from starlette.requests import Request

from archive import optout, prepared
from archive.errors import BadRequest
from archive.optout import OptOut, TrainingUse
from archive.pool import autocommitting
from deidentification.patient import patient_pseudonyms
from gateway.api.payload import Payload
from gateway.services import Services, services_of


async def find(request: Request) -> list[OptOut]:
    """Who opted out, the first first."""
    return await run_sync(partial(_find, services_of(request)))


async def add(request: Request, form: Payload, by: str) -> tuple[list[OptOut], list[TrainingUse]]:
    """Withhold a patient's studies; the opt-outs, and which models learnt from her. Raises BadRequest."""
    services = services_of(request)
    return await run_sync(partial(_add, services, _pseudonyms(services, form), by))


async def withdraw(request: Request, form: Payload, by: str) -> None:
    """Give a patient's studies back. Raises BadRequest, NotFound."""
    services = services_of(request)
    await run_sync(partial(_withdraw, services, _pseudonyms(services, form), by))


def _pseudonyms(services: Services, form: Payload) -> tuple[str, ...]:
    try:
        return patient_pseudonyms(
            services.deidentifier.pseudonyms, form.text("patient_id", ""), form.text("issuer", "")
        )
    except ValueError as error:
        raise BadRequest(str(error)) from None


def _find(services: Services) -> list[OptOut]:
    with autocommitting(services.settings.database_url) as connection:
        return optout.find(connection)


def _add(services: Services, patients: tuple[str, ...], by: str) -> tuple[list[OptOut], list[TrainingUse]]:
    with autocommitting(services.settings.database_url) as connection:
        added = optout.add(connection, patients, by=by)
        prepared.forget_withheld(services.settings, connection)
        return added, optout.trained_on(connection, patients)


def _withdraw(services: Services, patients: tuple[str, ...], by: str) -> None:
    with autocommitting(services.settings.database_url) as connection:
        optout.withdraw(connection, patients, by=by)
