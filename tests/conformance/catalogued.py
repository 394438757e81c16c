"""A gateway over a known index with stewards, for tests of the catalogue."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from psycopg import AsyncConnection

from archive import datasets, holdings, permits
from archive.holdings import Holdings
from archive.policy import Role
from gateway.sessions import Sessions
from tests.conformance.conftest import Gateway
from tests.conformance.permitted import BY, Holder, dataset, run
from tests.unit.dicom_files import dataset as data_set
from tests.unit.dicom_files import part10, pixels

MG = "1.2.840.10008.5.1.4.1.1.1.2"
RECORD = {
    "title": "Screening", "description": "Mammograms of a programme", "keywords": ["mammography"],
    "provenance": "A screening programme", "contact_email": "steward@hospital.example",
}  # fmt: skip


def exam(number: int, **values: object) -> bytes:
    """One image of a study; of each patient are two."""
    study = f"1.6.{number}"
    named = {
        "StudyInstanceUID": study, "SeriesInstanceUID": f"{study}.1", "SOPInstanceUID": f"{study}.1.1",
        "SOPClassUID": MG, "Modality": "MG", "PatientID": f"C{number // 2}", "StudyDate": f"20{10 + number % 3}0101",
        "PatientSex": "F", "PatientAge": f"0{50 + number % 20}Y", "Manufacturer": "HOLOGIC, Inc.",
    }  # fmt: skip
    return part10(data_set(**named | values, **pixels(8, 8)))


@contextmanager
def anybody(gateway: Gateway) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=gateway.settings.public_url, trust_env=False) as client:
        yield client


@contextmanager
def steward(gateway: Gateway) -> Iterator[httpx.Client]:
    """A steward's program."""
    holder = Holder(gateway.settings)
    run(gateway.settings, lambda each: permits.add_role(each, holder.subject, Role.STEWARD, by=BY))
    headers = {"Authorization": f"Bearer {holder.token()}"}
    with httpx.Client(base_url=gateway.settings.public_url, headers=headers, trust_env=False) as client:
        yield client


@contextmanager
def browser(gateway: Gateway, role: Role | None) -> Iterator[httpx.Client]:
    """Somebody's browser, signed in."""
    name, sessions = f"person-{uuid.uuid4().hex[:10]}", Sessions(gateway.settings, lambda: None)

    async def enter(connection: AsyncConnection) -> str:
        await connection.execute("insert into account (name, password_hash) values (%s, '')", [name])
        if role:
            await permits.add_role(connection, f"account:{name}", role, by=BY)
        return await sessions.start(connection, f"account:{name}")

    cookies = {sessions.cookie: run(gateway.settings, enter)}
    with httpx.Client(base_url=gateway.settings.public_url, cookies=cookies, trust_env=False) as client:
        yield client


def count(gateway: Gateway, name: str, **arguments: Any) -> Holdings:
    """Count a dataset."""

    async def counted(connection: AsyncConnection) -> Holdings:
        return await holdings.count(connection, (await datasets.show(connection, name)).number, **arguments)

    found: Holdings = run(gateway.settings, counted)
    return found


def published(gateway: Gateway, client: httpx.Client, **values: object) -> str:
    """A dataset of all mammograms whose record everybody sees; its name."""
    made = dataset(gateway.settings, "Modality=MG")
    assert client.put(f"/api/catalogue/{made}", json=RECORD | values).status_code == 200
    answer = client.put(f"/api/catalogue/{made}/publication")
    assert answer.status_code == 204, answer.text
    return made
