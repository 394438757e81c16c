"""What a token for one permit does on pages and in lists: nothing of its holder's other permits, and no new token."""

import asyncio
from types import SimpleNamespace

import pytest
from starlette.requests import Request

from archive.errors import Forbidden
from archive.policy import Action, Grants, Principal, Role
from gateway.api import jobs
from gateway.portal import access, application
from tests.unit.strangers import Strangers

HOLDER = Principal("account:r", frozenset({Action.READ, Action.JOB}), permit="P1")


def request(principal: Principal = HOLDER) -> Request:
    scope = {"type": "http", "method": "POST", "path": "/", "headers": [], "path_params": {"permit": "P1"}}
    return Request(scope | {"principal": principal, "grants": Grants()})


def test_no_token_is_given_for_a_token() -> None:
    """RFC 9700 section 2.3: one that is stolen would renew itself, and gain what it was narrowed by."""
    with pytest.raises(Forbidden, match="signed in"):
        asyncio.run(application.give_token(request()))


@pytest.mark.parametrize("path", ["/access/new", "/access/{permit}/withdraw", "/access/{permit}/messages"])
def test_pages_take_nothing_from_it(path: str) -> None:
    routes = [*access.ROUTES, *application.ROUTES]
    (route,) = [each for each in routes if each.path == path and "POST" in (each.methods or ())]
    assert asyncio.run(route.endpoint(request())).status_code == 403


@pytest.mark.parametrize(("permit", "is_own"), [("P1", True), ("P2", False)])
def test_it_sees_jobs_under_its_permit_alone(permit: str, is_own: bool) -> None:
    job = SimpleNamespace(subject="account:r", permit=permit)
    assert jobs._is_own(request(), job) == is_own


@pytest.mark.parametrize(("subject", "decides"), [("account:s", False), ("account:r", True)])
def test_a_steward_decides_on_the_jobs_of_others(subject: str, decides: bool) -> None:
    steward = Principal("account:s", frozenset({Action.MANAGE}))
    asked = request(steward)
    asked.scope["grants"] = Grants(frozenset({Role.STEWARD}))
    job = SimpleNamespace(subject=subject, permit="P1")
    decision = jobs.decides(Strangers(), asked, job)
    assert asyncio.run(decision) == decides
