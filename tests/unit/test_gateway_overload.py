"""What a gateway answers when something has run out: 503, with when to ask again (RFC 9110 sections 10.2.3, 15.6.4)."""

import asyncio
import errno

import anyio
import httpx
import pytest

from archive.errors import Unavailable
from archive.search import Place
from archive.tiers import Tiers
from gateway import services
from gateway.stored import StoredFiles
from gateway.turns import Turns
from tests.unit import fake_site
from tests.unit.test_gateway_stow import INSTANCE, instance, items, multipart, store

GONE = [errno.ENOSPC, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EDQUOT]


@pytest.fixture
def site(tmp_path):
    return fake_site.build(tmp_path)


@pytest.mark.parametrize("error", [*(OSError(each, "x") for each in GONE), MemoryError()], ids=repr)
@pytest.mark.parametrize(
    "path", ["/dicom-web/studies", "/catalogue", "/health/ready", "/wado?requestType=WADO"]
)
def test_a_machine_that_ran_out_of_something_is_asked_again(site, monkeypatch, error, path):
    def give_up(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(services.Lent, "__aenter__", give_up)
    monkeypatch.setattr("gateway.readiness.Readiness.report", give_up)
    monkeypatch.setattr("gateway.readiness.Readiness.require_plugin", give_up)
    answer = site.client.get(path, headers=site.bearer())
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")


def test_another_error_of_the_system_is_none_to_wait_for(site, monkeypatch):
    def give_up(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "x")

    monkeypatch.setattr("gateway.readiness.Readiness.report", give_up)
    assert site.client.get("/health/ready").status_code == 500


def test_readiness_says_when_to_ask_again(site):
    assert site.client.get("/health/ready").headers["retry-after"]


class TestStored:
    """PS3.18 table 10.5.3-1 and section I.2: 503 where none could be stored for now, 0xA700 for each."""

    @pytest.mark.parametrize("status", [503, 507])
    def test_what_the_door_cannot_store_for_now_is_to_be_sent_again(self, site, status):
        site.orthanc.door = lambda body: status
        answer = store(site, multipart(instance()))
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        (item,) = items(answer, "00081198")
        assert (item["00081197"]["Value"], item["00081155"]["Value"]) == ([0xA700], [INSTANCE])

    def test_what_it_refuses_is_not(self, site):
        site.orthanc.door = lambda body: 500
        answer = store(site, multipart(instance()))
        assert answer.status_code == 409 and "retry-after" not in answer.headers

    def test_who_finds_too_many_before_her_is_sent_away(self, site, monkeypatch):
        monkeypatch.setattr(site_services(site).storing, "_places", 0)
        monkeypatch.setattr(site_services(site).storing, "_free", asyncio.Semaphore(0))
        assert store(site, multipart(instance())).status_code == 503
        assert not site.orthanc.received


def site_services(site: fake_site.FakeSite) -> services.Services:
    return site.client._application.state.services


class TestTurns:
    def test_each_has_its_turn(self):
        async def main() -> list[int]:
            turns, done = Turns(2, waiting=8), []

            async def one(number: int) -> None:
                async with turns:
                    await asyncio.sleep(0)
                    done.append(number)

            await asyncio.gather(*map(one, range(10)))
            return sorted(done)

        assert asyncio.run(main()) == list(range(10))

    def test_too_many_are_sent_away_and_others_come_after(self):
        async def main() -> None:
            turns = Turns(1, waiting=1)
            async with turns:
                waiting = asyncio.create_task(turns.__aenter__())
                await asyncio.sleep(0)
                with pytest.raises(Unavailable):
                    await turns.__aenter__()
            await waiting
            await turns.__aexit__()
            async with turns:
                pass

        asyncio.run(main())

    def test_who_waits_for_long_is_sent_away_and_takes_no_place(self):
        async def main() -> None:
            turns = Turns(1, waiting=1, patience=0.0)
            async with turns:
                for _ in range(3):
                    with pytest.raises(Unavailable, match="in time"):
                        await turns.__aenter__()

        asyncio.run(main())


class TestCrowding:
    """A bound for all doors together."""

    async def ask(self, application: object, path: str) -> httpx.Response:
        transport = httpx.ASGITransport(application)
        async with httpx.AsyncClient(transport=transport, base_url="http://other.test") as client:
            return await client.get(path)

    def test_who_is_one_too_many_is_sent_away_until_others_are_done(self, tmp_path, monkeypatch):
        site = fake_site.build(tmp_path, requests_at_once=1)
        application, answers = site.client._application, {}
        begun, go = anyio.Event(), anyio.Event()

        async def report(_: object) -> dict[str, str]:
            begun.set()
            await go.wait()
            return dict.fromkeys(["orthanc", "plugin", "postgresql", "index"], "")

        async def main() -> None:
            async with anyio.create_task_group() as group:
                group.start_soon(self.ask, application, "/health/ready")
                await begun.wait()
                for path in ("/dicom-web/studies", "/", "/oauth/token", "/health/ready", "/health/live"):
                    answers[path] = await self.ask(application, path)
                go.set()
            answers["afterwards"] = await self.ask(application, "/health/ready")

        monkeypatch.setattr("gateway.readiness.Readiness.report", report)
        anyio.run(main)
        live, afterwards = answers.pop("/health/live"), answers.pop("afterwards")
        assert (live.status_code, afterwards.status_code) == (200, 200)
        assert {each.status_code for each in answers.values()} == {503}
        assert all(each.headers["retry-after"] for each in answers.values())


def test_a_file_that_cannot_be_opened_for_want_of_handles_is_not_gone(tmp_path, monkeypatch):
    def refuse(*_: object) -> None:
        raise OSError(errno.EMFILE, "x")

    monkeypatch.setattr("gateway.stored.StoredFiles._require", refuse)
    files = StoredFiles(Tiers(str(tmp_path)), bytes(32))
    with pytest.raises(Unavailable):
        files.read_now([Place("1.2", "1.2.3", "1.2.3.4", "x", 1, "1.2.840.10008.1.2", 1, None, None)], list)
