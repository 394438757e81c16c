"""Of what webhooks are told, how often, and when no more: told by value, over a known index without a worker."""

import json
import uuid
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import psycopg
import pytest

from archive import announced, applications, datasets, notices, permits, webhooks
from archive.errors import BadRequest, Conflict, NotFound
from archive.notices import Lane, Notice
from archive.settings import Settings
from archive.webhooks import Wanted, Webhook
from tests.conformance.permitted import BY, Holder, dataset, run

SITE_KEY = bytes(32)
STUDY = "1.1"
READING = {"study_instance_uid": STUDY, "task": "density", "modality": "MG", "shadow": False}


@pytest.fixture(scope="module")
def settings(gateway: Any) -> Iterator[Settings]:
    """Of a gateway whose study 1.1 was read."""
    values = READING | {"report": "1.1.1.1", "fingerprint": "f"}
    with psycopg.connect(gateway.settings.database_url) as connection:
        connection.execute(
            "insert into reading (study_instance_uid, task, modality, shadow, state, model, findings,"
            " result_sop_instance_uid, fingerprint) values (%(study_instance_uid)s, %(task)s, %(modality)s,"
            " %(shadow)s, 'done', 'Density 1', '{\"score\": 1}', %(report)s, %(fingerprint)s) on conflict do nothing",
            values,
        )
        connection.execute("delete from unplaced")
    yield gateway.settings
    with psycopg.connect(gateway.settings.database_url) as connection:
        connection.execute("delete from webhook")
        connection.execute("delete from reading where study_instance_uid = %s", [STUDY])


def end_reading(settings: Settings, **changed: Any) -> None:
    """As the transaction that ends a reading does."""
    with psycopg.connect(settings.database_url) as connection:
        notices.want(connection, READING | {"fingerprint": "f"} | changed, "done")


class Hook:
    """A webhook, and one notice that waits for it."""

    def __init__(self, settings: Settings, subject: str = "administrator", **wanted: Any) -> None:
        self.settings = settings
        self.name = f"w{uuid.uuid4().hex[:10]}"
        made = Wanted(self.name, "https://receiver.example/", subject, **wanted)
        run(settings, lambda connection: webhooks.add(connection, made, SITE_KEY, by=BY))
        end_reading(settings)

    def run(self, work: Callable[[psycopg.AsyncConnection, Lane], Awaitable[Any]]) -> Any:
        async def with_lane(connection: psycopg.AsyncConnection) -> Any:
            ready = "update webhook set retry_at = now() where name = %s returning number"
            ((number,),) = await (await connection.execute(ready, [self.name])).fetchall()
            (lane,) = await notices.waiting(connection, number)
            return await work(connection, lane)

        return run(self.settings, with_lane)

    def take(self) -> Notice | None:
        found: Notice | None = self.run(notices.take)
        return found

    def fail(self) -> None:
        async def fail_next(connection: psycopg.AsyncConnection, lane: Lane) -> None:
            notice = await notices.take(connection, lane)
            assert notice
            await notices.failed(connection, lane, notice, "it answers with the status 500")

        self.run(fail_next)

    @property
    def shown(self) -> Webhook:
        found: Webhook = run(self.settings, lambda connection: webhooks.show(connection, self.name))
        return found

    def execute(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.settings.database_url) as connection:
            cursor = connection.execute(statement.encode(), values)
            return cursor.fetchall() if cursor.description else []


@pytest.fixture
def holder(settings: Settings) -> Holder:
    found = Holder(settings)
    with psycopg.connect(settings.database_url) as connection:
        change = "update client set scope = 'dicomweb.read' where client_id = %s"
        connection.execute(change, [found.client_id])
    return found


class TestWhoIsTold:
    """A webhook is told of what its principal may see at that moment."""

    def test_of_what_a_permit_names_as_long_as_it_does(self, settings: Settings, holder: Holder) -> None:
        permit = holder.permit(dataset(settings, "Modality=US"))
        hook = Hook(settings, holder.subject)
        taken = hook.take()
        assert taken is not None and taken.study_instance_uid == STUDY
        holder.revoke(permit)
        assert (hook.take(), hook.shown.waiting) == (None, 0)

    def test_of_nothing_else(self, settings: Settings, holder: Holder) -> None:
        others = dataset(settings, "StudyDate=20210101-")
        holder.permit(others)
        for hook in (Hook(settings, holder.subject), Hook(settings, dataset=others)):
            assert (hook.take(), hook.shown.waiting) == (None, 0)

    def test_of_a_dataset_that_it_is_narrowed_to(self, settings: Settings) -> None:
        assert Hook(settings, dataset=dataset(settings, "Modality=US")).take()
        assert Hook(settings, dataset="everything").take()

    def test_not_by_another_permit_than_the_one_that_is_named(
        self, settings: Settings, holder: Holder
    ) -> None:
        permit = holder.permit("everything")
        assert Hook(settings, holder.subject, permit=permit).take()
        assert Hook(settings, holder.subject, permit="P999999").take() is None

    def test_who_may_not_act_any_more_is_told_nothing(self, settings: Settings, holder: Holder) -> None:
        holder.permit("everything")
        hook = Hook(settings, holder.subject)
        holder.leave()
        assert hook.take() is None

    def test_a_client_that_may_not_read_is_told_nothing(self, settings: Settings) -> None:
        without_scope = Holder(settings)
        without_scope.permit("everything")
        assert Hook(settings, without_scope.subject).take() is None

    def test_of_no_study_that_is_withheld(self, settings: Settings) -> None:
        hook = Hook(settings)
        withhold = "update study set withheld = %s where study_instance_uid = '1.1'"
        hook.execute(withhold, True)
        try:
            assert (hook.take(), hook.shown.waiting) == (None, 0)
        finally:
            hook.execute(withhold, False)

    @pytest.mark.parametrize(
        "statement",
        [
            "update notice set result_sop_instance_uid = '9.9'",
            "insert into unplaced values ('1.1') on conflict do nothing",
        ],
    )
    def test_of_a_report_when_it_can_be_retrieved_and_its_study_has_its_place(
        self, settings: Settings, statement: str
    ) -> None:
        hook = Hook(settings)
        hook.execute(statement)
        assert (hook.take(), hook.shown.waiting) == (None, 1)
        hook.execute("delete from unplaced")


class TestWhatIsWanted:
    @pytest.mark.parametrize("changed", [{"shadow": True}, {"fingerprint": "another"}, {"task": "risk"}])
    def test_of_a_shadow_and_of_what_was_not_kept_nothing_is_told(
        self, settings: Settings, changed: dict[str, Any]
    ) -> None:
        hook = Hook(settings)
        end_reading(settings, **changed)
        assert hook.shown.waiting == 1

    def test_only_the_events_that_it_wants(self, settings: Settings) -> None:
        assert run(settings, webhooks.list_webhooks)
        name = f"w{uuid.uuid4().hex[:10]}"
        wanted = Wanted(name, "https://receiver.example/", "administrator", (webhooks.Event.FAILED,))
        run(settings, lambda connection: webhooks.add(connection, wanted, SITE_KEY, by=BY))
        end_reading(settings)
        assert run(settings, lambda connection: webhooks.show(connection, name)).waiting == 0

    def test_a_message_has_nothing_of_what_was_found(self, settings: Settings) -> None:
        taken = Hook(settings).take()
        assert taken is not None and taken.identifier.startswith("msg_")
        payload = taken.payload("https://site.example/dicom-web").decode()
        assert "score" not in payload
        assert (
            '"result_url":"https://site.example/dicom-web/studies/1.1/series/1.1.1/instances/1.1.1.1"'
            in payload
        )

    @pytest.mark.parametrize("is_cleared", [False, True])
    def test_a_message_says_whether_the_model_is_for_research_alone(
        self, settings: Settings, is_cleared: bool
    ) -> None:
        hook = Hook(settings)
        found = f'{{"findings": {{"model": {{"research_use_only": {str(not is_cleared).lower()}}}}}}}'
        hook.execute("update reading set findings = %s::jsonb where study_instance_uid = '1.1'", found)
        hook.execute("delete from unplaced")
        taken = hook.take()
        assert taken is not None and taken.research_use_only is not is_cleared

    def test_a_name_is_taken_once_and_what_is_not_there_is_said(self, settings: Settings) -> None:
        hook = Hook(settings)
        again = Wanted(hook.name, "https://receiver.example/", "administrator")
        with pytest.raises(Conflict):
            run(settings, lambda connection: webhooks.add(connection, again, SITE_KEY, by=BY))
        run(settings, lambda connection: webhooks.remove(connection, hook.name))
        for work in (
            lambda connection: webhooks.remove(connection, hook.name),
            lambda connection: webhooks.rotate(connection, hook.name, 0, SITE_KEY),
        ):
            with pytest.raises(NotFound):
                run(settings, work)

    @pytest.mark.parametrize("changed", [{"name": "A b"}, {"permit": "x"}, {"events": ()}, {"subject": ""}])
    def test_what_is_malformed_is_refused(self, changed: dict[str, Any]) -> None:
        fields = {"name": "a", "url": "https://receiver.example/", "subject": "administrator"}
        with pytest.raises(BadRequest):
            Wanted(**fields | changed)


class TestHowOften:
    def test_pauses_double_and_an_hour_is_the_longest(self, settings: Settings) -> None:
        hook = Hook(settings)
        pauses = []
        for _ in range(12):
            hook.fail()
            shown = hook.shown
            assert shown.failed_at
            pauses.append((shown.retry_at - shown.failed_at).total_seconds())
        assert pauses[0] < 6 and pauses[:10] == sorted(pauses[:10]) and pauses[-1] == 3600

    def test_what_was_tried_less_comes_first(self, settings: Settings) -> None:
        hook = Hook(settings)
        first = hook.take()
        end_reading(settings)
        second = hook.take()
        assert first and second and first.id != second.id

    def test_a_notice_is_given_up_in_the_end(self, settings: Settings) -> None:
        hook = Hook(settings)
        hook.execute("update notice set attempts = %s", notices.MOST_ATTEMPTS - 1)
        hook.fail()
        assert (hook.shown.waiting, hook.shown.given_up) == (0, 1)

    def test_one_that_is_too_old_is_given_up(self, settings: Settings) -> None:
        hook = Hook(settings)
        hook.execute("update notice set created_at = now() - interval '4 days'")
        while run(settings, notices.expire):
            pass
        assert (hook.shown.waiting, hook.shown.given_up) == (0, 1)

    def test_what_is_given_up_and_what_is_sent_is_in_the_trail(self, settings: Settings) -> None:
        hook = Hook(settings)
        hook.execute("update notice set attempts = %s", notices.MOST_ATTEMPTS - 1)
        hook.fail()
        rows = hook.execute(
            "select content::json ->> 'outcome' from audit where content like %s order by number",
            f"%{hook.name}%",
        )
        assert rows == [("success",), ("failed",)]

    def test_one_process_delivers(self, settings: Settings) -> None:
        async def both(connection: psycopg.AsyncConnection) -> tuple[bool, bool]:
            async with await psycopg.AsyncConnection.connect(settings.database_url) as other:
                return await notices.is_alone(connection), await notices.is_alone(other)

        assert run(settings, both) == (True, False)


class TestWhatStewardsWaitFor:
    """Records that their datasets left behind, and applications: for who manages them, and who asked."""

    EVENTS = (webhooks.Event.DRIFTED, webhooks.Event.APPLICATION)

    def hook(self, settings: Settings, subject: str = "administrator", **wanted: Any) -> Hook:
        return Hook(settings, subject, **{"events": self.EVENTS} | wanted)

    def test_a_drifted_record(self, settings: Settings) -> None:
        name = dataset(settings, "Modality=US")
        number = run(settings, lambda each: datasets.show(each, name)).number
        heard, narrowed = self.hook(settings), self.hook(settings, dataset=name)
        elsewhere = self.hook(settings, dataset=dataset(settings, "Modality=MG"))
        run(settings, lambda each: announced.drifted(each, number, name, 2))
        taken = heard.take()
        assert taken and narrowed.take() and elsewhere.shown.waiting == 0
        told = json.loads(taken.payload("https://site.example/dicom-web"))
        assert (told["type"], told["data"]) == ("catalogue.drifted", {"dataset": name, "findings": 2})

    def test_an_application_is_heard_of_by_whom_it_is_for_and_nobody_elses_is(
        self, settings: Settings, holder: Holder
    ) -> None:
        stranger, own = self.hook(settings, Holder(settings).subject), self.hook(settings, holder.subject)
        permit_id = holder.permit("everything")
        taken = own.take()
        assert taken and taken.about == {"permit": permit_id, "change": "requested"}
        assert (stranger.take(), stranger.shown.waiting) == (None, 0)

    def test_who_voted_is_heard_of_by_managers_alone(self, settings: Settings, holder: Holder) -> None:
        own = self.hook(settings, holder.subject)
        wanted = permits.Wanted(holder.subject, ("everything",), permits.Purpose.RESEARCH, "x")
        permit_id = run(settings, lambda each: permits.request(each, wanted, by=BY))
        own.execute("delete from notice")
        run(settings, lambda each: applications.vote(each, permit_id, in_favour=True, by="account:member"))
        assert own.take() is None

    def test_one_that_wants_readings_hears_of_none_of_it(self, settings: Settings, holder: Holder) -> None:
        hook = Hook(settings)
        holder.permit("everything")
        assert hook.shown.waiting == 1
