"""Storage commitment (PS3.4 annex J): what destinations report by N-EVENT-REPORT, on whichever association it comes."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import psycopg
from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.sop_class import StorageCommitmentPushModel  # type: ignore[attr-defined]  # made on import

from archive import deliveries
from archive.audit import WORKER, Outcome
from archive.errors import Unavailable
from archive.pool import autocommitting, queries
from archive.settings import Settings
from deidentification.pseudonym import Pseudonyms

Uid = Callable[[str, str], str]
_NOT_THERE = 0x0112  # failure reason: no such object instance (PS3.3 C.14.1.1)
_NO_SUCH_TRANSACTION = 0x0115  # status: invalid argument value (PS3.7 annex C)
_FAILED = 0x0110  # status: processing failure
_log = logging.getLogger("senogate.delivery")


def answering(settings: Settings, pseudonyms: Pseudonyms) -> list[Any]:
    """The handler of an association on which a report may come."""
    return [(evt.EVT_N_EVENT_REPORT, partial(_take, settings.database_url, pseudonyms.outward_uid))]


@contextmanager
def listening(settings: Settings, pseudonyms: Pseudonyms) -> Iterator[None]:
    """Take reports on `commitment_port`, where the settings name one. Raises Unavailable where the port is taken."""
    if not settings.commitment_port:
        yield
        return
    entity = AE(ae_title=settings.destinations[0].calling_aet)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 30
    entity.require_calling_aet = sorted({each.aet for each in settings.destinations})
    entity.add_supported_context(StorageCommitmentPushModel, scu_role=True, scp_role=True)
    try:
        server = entity.start_server(
            ("", settings.commitment_port), block=False, evt_handlers=answering(settings, pseudonyms)
        )
    except OSError as error:
        raise Unavailable(f"commitment_port can't be listened on ({type(error).__name__})") from None
    try:
        yield
    finally:
        if server:  # as it is where it was not told to block
            server.shutdown()


def _take(database_url: str, uid: Uid, event: evt.Event) -> tuple[int, Dataset | None]:
    """Note what a report says, durably, before it is answered: the destination reports it again otherwise."""
    try:
        with autocommitting(database_url) as connection:
            known = take_report(connection, event.event_information, uid)
    except (Unavailable, psycopg.Error) as error:
        _log.warning("a report of storage commitment could not be noted (%s)", type(error).__name__)
        return _FAILED, None
    return (0x0000 if known else _NO_SUCH_TRANSACTION), None


def take_report(connection: psycopg.Connection, report: Dataset, uid: Uid) -> bool:
    """Note what a report says of the deliveries that its transaction is about; whether there are any such.

    What failed because the destination does not hold it is delivered again; what failed otherwise is asked for again.
    """
    sql = queries("delivery.sql")
    committed = set(_instances(report, "ReferencedSOPSequence"))
    missing = {
        item for item, reason in _instances(report, "FailedSOPSequence").items() if reason == _NOT_THERE
    }
    with connection.transaction():
        transaction = {"transaction_uid": str(report.get("TransactionUID", ""))}
        rows = connection.execute(sql["of_transaction"], transaction).fetchall()
        by_uid = {uid(row[3], row[5]): row for row in rows}
        kept = [row for instance, row in by_uid.items() if instance in committed]
        connection.execute(sql["commit_stored"], {"ids": [row[0] for row in kept]})
        lost = [row[0] for instance, row in by_uid.items() if instance in missing - committed]
        connection.execute(sql["deliver_again"], {"ids": lost})
        for _, destination, study, instance, *_ in kept:
            detail = {"destination": destination, "sop_instance_uid": instance, "state": "committed"}
            deliveries.record(connection, Outcome.SUCCESS, study, detail, by=WORKER)
    return bool(rows)


def _instances(report: Dataset, keyword: str) -> dict[str, int]:
    """SOP Instance UIDs of a sequence, each with its failure reason, 0 where it has none."""
    items = report.get(keyword) or []
    return {
        str(item.get("ReferencedSOPInstanceUID", "")): int(item.get("FailureReason", 0)) for item in items
    }
