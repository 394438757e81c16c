"""Deliveries to a PACS that is down, slow, refusing or forgetful; each result is stored there once."""

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from threading import enumerate as threads
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.filebase import DicomBytesIO

from archive import audit_log, deliveries, instances
from archive.audit import Event
from archive.deliveries import Delivery, Result, State
from archive.destinations import Destination
from archive.errors import Conflict, NotFound
from archive.orthanc import Orthanc
from archive.reidentification import openings
from deidentification.deidentify import Deidentifier
from deidentification.profile import Profile
from deidentification.seal import generate_keypair
from inference.delivery import delivering as delivering_module
from inference.delivery import lane
from inference.delivery.commitment import take_report
from inference.delivery.delivering import delivering
from inference.delivery.described import describe
from senogate.site_keys import keys_of
from tests.integration.conftest import edit
from tests.integration.test_delivery import ACKNOWLEDGED
from tests.integration.test_whole_way import write
from tests.live import LiveSite, eventually
from tests.pacs import AET, Provider


@dataclass
class Worker:
    """A study with a report, at the tests' shared site, and deliveries by a worker in this process."""

    site: LiveSite
    study: str
    report: Result
    instance: bytes
    deidentifier: Deidentifier

    @contextmanager
    def delivering(
        self, name: str, port: int, *, acknowledge: str = ACKNOWLEDGED, key: str = "", **more: Any
    ) -> Iterator[None]:
        destination = Destination(name=name, aet=AET, host="127.0.0.1", port=port, **more)
        settings = replace(self.site.settings, destinations=(destination,), acknowledge=acknowledge)
        settings = replace(settings, crosswalk_key=key or settings.crosswalk_key)
        with self.site.database() as database:
            deliveries.want(database, [destination], self.study, [self.report])
        with delivering(settings, self.deidentifier):
            yield

    @property
    def path(self) -> Path:
        return eventually(partial(stored_at, self.site, self.report.sop_instance_uid))

    def row(self, name: str) -> Delivery:
        with self.site.database() as database:
            (found,) = deliveries.find(database, destination=name)
            return found

    def await_state(self, name: str, *states: State) -> Delivery:
        eventually(lambda: self.row(name).state in states)
        return self.row(name)


def stored_at(site: LiveSite, sop_instance_uid: str) -> Path | None:
    """Where the index says that an instance lies, once it does."""
    with site.database() as database:
        find = "select place from instance where sop_instance_uid = %s"
        rows = database.execute(find, [sop_instance_uid]).fetchall()
    paths = [instances.path(site.settings.storage, place) for (place,) in rows]
    return next((each for each in paths if each.exists()), None)


@pytest.fixture(scope="module")
def worker(
    site: LiveSite, phantom_exam: Callable[[], list[bytes]], tmp_path_factory: pytest.TempPathFactory
) -> Worker:
    sent = site.send(write(tmp_path_factory.mktemp("exam"), phantom_exam()))
    study = sent["studies"][0]["study_instance_uid"]
    report = sent["studies"][0]["reading"]["result_sop_instance_uid"]
    instance = eventually(partial(stored_at, site, report)).read_bytes()
    keys = keys_of(site.settings)
    deidentifier = Deidentifier(keys, Profile.load(site.settings.profile))
    return Worker(site, study, describe(instance), instance, deidentifier)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane, "wait_after", lambda *_: 0.1)
    monkeypatch.setattr(lane, "LONGEST_WAIT", 0.5)


@pytest.mark.parametrize(
    ("status", "state"),
    [
        (0x0000, State.STORED),
        (0xB000, State.STORED),
        (0xB007, State.STORED),
        (0x0111, State.STORED),
        (0xA900, State.REFUSED),
        (0xC123, State.REFUSED),
        (0x0122, State.REFUSED),
    ],
)
def test_a_status_decides(worker: Worker, status: int, state: State) -> None:
    """PS3.4 table B.2-1; of a duplicate SOP Instance the PACS holds what it would be sent."""
    name = f"status-{status:04x}"
    with Provider(lambda _: status) as provider, worker.delivering(name, provider.port):
        row = worker.await_state(name, State.STORED, State.REFUSED)
    assert (row.state, row.status, row.attempts) == (state, status, 1)
    assert len(provider.received) == 1


def test_out_of_resources_is_tried_again_until_it_is_stored(worker: Worker) -> None:
    def later(provider: Provider) -> int:
        return 0xA700 if len(provider.received) < 3 else 0

    with Provider(later) as provider, worker.delivering("full", provider.port):
        assert worker.await_state("full", State.STORED).attempts == 3
    assert len(set(provider.received)) == len(provider.stored) == 1


def test_a_pacs_that_is_down_gets_it_once_it_is_up(
    worker: Worker, free_ports: Callable[[int], list[int]]
) -> None:
    (port,) = free_ports(1)
    with worker.delivering("down", port):
        eventually(lambda: worker.row("down").attempts > 1)
        assert worker.row("down").state is State.WAITING
        with Provider(lambda _: 0, port=port) as provider:
            worker.await_state("down", State.STORED)
    assert len(provider.received) == 1


@pytest.mark.parametrize("finds", [True, False])
def test_a_pacs_that_answers_too_late_holds_it_once(worker: Worker, finds: bool) -> None:
    """It is asked by C-FIND first; where it offers none, the same instance comes a second time under the same UID."""

    def store(provider: Provider) -> int:
        if len(provider.received) == 1:
            provider.stored[provider.received[0]] = None
            provider.release.wait(30)
        return 0

    name = f"late-{finds}".lower()
    with Provider(store, finds=finds) as provider, worker.delivering(name, provider.port, timeout=1):
        row = worker.await_state(name, State.STORED)
    assert row.attempts > 1 and len(provider.stored) == 1
    assert len(set(provider.received)) == 1
    assert (len(provider.received) == 1) == finds


def test_a_pacs_that_never_says_a_word_is_not_waited_for(worker: Worker) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        with worker.delivering("silent", listening.getsockname()[1], timeout=1):
            eventually(lambda: worker.row("silent").attempts)
        assert "no association" in worker.row("silent").reason


def test_the_end_of_a_worker_waits_for_no_slow_pacs(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is on its way stays so in its row, and who delivers next asks the PACS."""
    monkeypatch.setattr(delivering_module, "GRACE", 0.5)
    with Provider(lambda provider: 0 if provider.release.wait(60) else 0xA700, finds=True) as provider:
        with worker.delivering("ending", provider.port, timeout=60):
            eventually(lambda: provider.received)
        eventually(lambda: not [each for each in threads() if getattr(each, "is_requestor", False)], 20)
        assert worker.row("ending").state in (State.DELIVERING, State.WAITING)
        provider.release.set()
        eventually(lambda: provider.stored)
        with worker.delivering("ending", provider.port):
            worker.await_state("ending", State.STORED)
    assert (len(provider.received), provider.asked) == (1, 1)


def test_a_sop_class_that_is_not_accepted_needs_a_person(worker: Worker) -> None:
    with Provider(lambda _: 0, kinds=("sc",)) as provider, worker.delivering("picky", provider.port):
        assert "SOP class" in worker.await_state("picky", State.REFUSED).reason
    with Provider(lambda _: 0) as provider, worker.delivering("picky", provider.port):
        with worker.site.database() as database:
            deliveries.retry(database, worker.row("picky").id, by="os:tester")
        worker.await_state("picky", State.STORED)
    assert len(provider.received) == 1


def test_nothing_goes_without_an_acknowledgement(worker: Worker) -> None:
    before = set(threads())
    with (
        Provider(lambda _: 0) as provider,
        worker.delivering("unacknowledged", provider.port, acknowledge=""),
    ):
        assert not [each for each in threads() if each.name == "delivery" and each not in before]
        assert worker.row("unacknowledged").state is State.WAITING
    assert provider.received == []


def test_a_person_cancels_and_thinks_again(worker: Worker, free_ports: Callable[[int], list[int]]) -> None:
    with worker.delivering("cancelled", free_ports(1)[0]), worker.site.database() as database:
        number = worker.row("cancelled").id
        deliveries.cancel(database, number, by="os:tester")
        with pytest.raises(Conflict):
            deliveries.cancel(database, number, by="os:tester")
        assert worker.row("cancelled").state is State.CANCELLED
        deliveries.retry(database, number, by="os:tester")
        assert worker.row("cancelled").state is State.WAITING
        with pytest.raises(NotFound):
            deliveries.retry(database, 0, by="os:tester")


def test_nothing_of_a_withheld_study_is_delivered(
    worker: Worker, free_ports: Callable[[int], list[int]]
) -> None:
    """Opt-out and erasure withhold a study (docs/opt-out-and-erasure.md)."""
    withhold = "update study set withheld = %s where study_instance_uid = %s"
    (port,) = free_ports(1)
    with worker.delivering("withheld", port), worker.site.database() as database:
        database.execute(withhold, [True, worker.study])
        try:
            assert worker.row("withheld").state is State.CANCELLED
            with pytest.raises(Conflict):
                deliveries.retry(database, worker.row("withheld").id, by="os:tester")
            another = Destination(name="another", aet=AET, host="127.0.0.1", port=port)
            assert deliveries.want(database, [another], worker.study, [worker.report]) == 0
        finally:
            database.execute(withhold, [False, worker.study])


def test_a_result_that_says_something_else_is_delivered_under_another_uid(
    worker: Worker, tmp_path: Path
) -> None:
    """A SOP Instance UID names one content for ever (PS3.5 clause 9): a PACS may ignore another one."""
    changed = worker.deidentifier.prove(
        edit(worker.instance, lambda each: setattr(each, "ContentTime", "235959"))
    )
    again = replace(worker, report=describe(changed))
    with Provider(lambda _: 0) as provider:
        with worker.delivering("changed", provider.port):
            worker.await_state("changed", State.STORED)
        with closing(Orthanc(worker.site.settings)) as archive:
            archive.store(changed)
            try:
                with again.delivering("changed", provider.port):
                    eventually(lambda: len(provider.received) == 2)
                    again.await_state("changed", State.STORED)
            finally:
                archive.store(worker.instance)
    assert len(set(provider.received)) == len(provider.stored) == 2


def test_what_was_altered_in_the_archive_is_not_delivered(worker: Worker) -> None:
    """Only what carries the site's proof over every byte goes out under a name."""
    assert dcmread(DicomBytesIO(worker.instance)).SOPInstanceUID == worker.report.sop_instance_uid
    path = worker.path
    kept = path.read_bytes()
    path.write_bytes(kept.replace(b"RESEARCH USE ONLY", b"CLINICAL USE ONLY"))
    try:
        with Provider(lambda _: 0) as provider, worker.delivering("altered", provider.port):
            assert "proof" in worker.await_state("altered", State.REFUSED).reason
    finally:
        path.write_bytes(kept)
    assert provider.received == []


def test_commitment_may_be_reported_on_the_same_association(worker: Worker) -> None:
    """PS3.4 J.3.3: N-EVENT-REPORT."""
    with (
        Provider(lambda _: 0, commits=True) as provider,
        worker.delivering("commits", provider.port, commitment=True, timeout=10),
    ):
        worker.await_state("commits", State.COMMITTED)
    assert len(provider.received) == 1


def test_where_no_commitment_is_offered_it_ends_with_stored(worker: Worker) -> None:
    with Provider(lambda _: 0) as provider, worker.delivering("uncommitted", provider.port, commitment=True):
        eventually(
            lambda: worker.row("uncommitted").state == State.STORED and not worker.row("uncommitted").next_try
        )
    assert "no storage commitment" in worker.row("uncommitted").reason


def report_of(worker: Worker, failure: int) -> Dataset:
    item, report = Dataset(), Dataset()
    pseudonyms = worker.deidentifier.pseudonyms
    item.ReferencedSOPInstanceUID = pseudonyms.outward_uid(
        worker.report.sop_instance_uid, worker.report.content
    )
    item.FailureReason = failure
    report.TransactionUID, report.FailedSOPSequence = "2.25.7", [item]
    return report


@pytest.mark.parametrize(
    ("failure", "state"), [(0x0112, State.WAITING), (0x0213, State.STORED)], ids=["is not there", "another"]
)
def test_what_the_pacs_says_it_lost_is_delivered_again(worker: Worker, failure: int, state: State) -> None:
    """Failure Reason (0008,1197): No such object instance; resource limitation."""
    with worker.site.database() as database, database.transaction(force_rollback=True):
        lost = Destination(name="lost", aet=AET, host="127.0.0.1", port=1)
        deliveries.want(database, [lost], worker.study, [worker.report])
        stored = "update delivery set state = 'stored', transaction_uid = '2.25.7' where destination = 'lost'"
        database.execute(stored)
        uid = worker.deidentifier.pseudonyms.outward_uid
        assert take_report(database, report_of(worker, failure), uid)
        (row,) = deliveries.find(database, destination="lost")
        assert row.state == state
        assert not take_report(database, Dataset(), uid)


def test_the_command_shows_and_decides(worker: Worker, free_ports: Callable[[int], list[int]]) -> None:
    with worker.delivering("commanded", free_ports(1)[0]):
        number = str(worker.row("commanded").id)
        worker.site.run("delivery", "cancel", number)
        shown = json.loads(worker.site.run("delivery", "show", number, "--json").stdout)
        assert (shown["state"], shown["study_instance_uid"]) == ("cancelled", worker.study)
        assert number in worker.site.run("delivery", "list", "--state", "cancelled").stdout
        assert worker.site.run("delivery", "test", "nowhere", check=False).returncode == 1
    with worker.site.database() as database:
        last = next(audit_log.entries(database, event=Event.DELIVERY_CHANGED, last=1))
    assert (last.study, last.detail["destination"]) == (worker.study, "commanded")


def test_a_key_that_opens_nothing_sends_nothing(worker: Worker, tmp_path: Path) -> None:
    """And the attempt is noted (docs/deidentification.md)."""
    other = tmp_path / "other.key"
    other.write_bytes(generate_keypair()[0])
    with Provider(lambda _: 0) as provider, worker.delivering("keyless", provider.port, key=str(other)):
        assert "private key" in worker.await_state("keyless", State.REFUSED).reason
    with worker.site.database() as database:
        assert [each.was_opened for each in openings(database)][-1] is False
    assert provider.received == []
