"""Instances from the site's own gateway: what a permit's token says, and what each answer is."""

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import jwt
import pytest

from archive import secrets
from archive.errors import Forbidden, NotFound, PayloadTooLarge, Unavailable
from archive.purpose import Purpose
from archive.settings import Settings
from federation.examples import retrieval
from federation.examples.grounds import Grounds
from federation.examples.retrieval import ATTEMPTS, Retrieval
from gateway.signing import SigningKeys

GROUNDS = Grounds("dense", "P7", Purpose.ALGORITHMS, "hub")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    found = Settings(home=tmp_path, max_instance_bytes=100)
    Path(found.secrets).mkdir()
    SigningKeys.load_or_create(Path(found.secrets, secrets.SIGNING_KEY))
    return found


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrieval, "LONGEST_WAIT", 0.0)


class Away:
    """A gateway that does not answer."""

    asked = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked += 1
        raise httpx.ConnectError("refused", request=request)


def fetch(settings: Settings, answer: Callable[[httpx.Request], httpx.Response]) -> bytes:
    with Retrieval(settings, GROUNDS, httpx.MockTransport(answer)) as gateway:
        return gateway.instance("1.2", "1.3", "1.4")


def test_the_token_is_for_one_permit_and_for_reading_alone(settings: Settings) -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, content=b"DICM")

    assert fetch(settings, answer) == b"DICM"
    assert asked[0].url == "http://127.0.0.1:8080/dicom-web/studies/1.2/series/1.3/instances/1.4"
    token = asked[0].headers["Authorization"].removeprefix("Bearer ")
    claims = jwt.decode(token, options={"verify_signature": False})
    assert {name: claims[name] for name in ("sub", "scope", "permit", "purpose", "roles")} == {
        "sub": "federation:hub", "scope": "dicomweb.read", "permit": "P7", "purpose": "algorithms", "roles": ["node"],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("status", "error"), [(404, NotFound), (410, NotFound), (401, Forbidden), (403, Forbidden)]
)
def test_what_is_refused_is_not_asked_for_again(
    settings: Settings, status: int, error: type[Exception]
) -> None:
    once = iter([httpx.Response(status)])
    with pytest.raises(error):
        fetch(settings, lambda _: next(once))


def test_a_gateway_that_starts_again_is_waited_for(settings: Settings) -> None:
    def answers() -> Iterator[httpx.Response]:
        yield httpx.Response(503)
        yield httpx.Response(429)
        yield httpx.Response(200, content=b"DICM")

    each = answers()
    assert fetch(settings, lambda _: next(each)) == b"DICM"


def test_one_that_stays_away_is_unavailable(settings: Settings) -> None:
    away = Away()
    with pytest.raises(Unavailable):
        fetch(settings, away)
    assert away.asked == ATTEMPTS


def test_one_that_stays_away_is_not_waited_for_once_that_is_in_vain(settings: Settings) -> None:
    away = Away()
    with Retrieval(settings, GROUNDS, httpx.MockTransport(away)) as gateway:
        gateway.end()
        with pytest.raises(Unavailable):
            gateway.instance("1.2", "1.3", "1.4")
    assert away.asked == 1


def test_no_instance_is_longer_than_the_site_takes(settings: Settings) -> None:
    with pytest.raises(PayloadTooLarge):
        fetch(settings, lambda _: httpx.Response(200, content=bytes(101)))
