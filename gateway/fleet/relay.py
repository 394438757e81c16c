"""POST /federation/v1/fleet/{call}: a hub hands what its sites' SuperNodes say to its SuperLink, call by call.

Who asks is an active member, by its token and by the node key that Flower's own header names; what is asked is one of
Flower's fleet calls in the form in which Flower writes it; and a run that is named is one that the site has approved.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from archive.errors import BadRequest, Forbidden, NotFound, RequestTimeout, Unavailable
from archive.members import Member
from archive.pool import queries
from gateway.auditing import UNRECORDED, note
from gateway.body import BrokenOff
from gateway.fleet import flower, loopback
from gateway.fleet.carrying import (
    CALL_TIMEOUT,
    NODE_KEY,
    Carried,
    Upload,
    body_length,
    call_headers,
    send_on,
)
from gateway.fleet.envelope import CALLS, Named, begin_object, carry, read_call
from gateway.fleet.identity import check_node_key, member_of
from gateway.services import Services, services_of

_PATIENCE = 2.0  # seconds in which a run that has just been submitted gets to be known
_RECORDED = frozenset(["activate-node", "deactivate-node", "get-run", "push-messages"])
"""The calls that the trail tells of also where they succeed; the others come every few seconds, or with these."""


async def relay(request: Request) -> Response:
    """One call of a site's SuperNode."""
    member = await member_of(request)
    call = request.path_params["call"]
    if call not in CALLS or request.scope["query_string"] or b"%" in request.scope["raw_path"]:
        raise NotFound("there is no such call")
    note(request, call=call)
    check_node_key(member, request.headers.get(NODE_KEY))
    return Relaying(request, member, call)


class Relaying(Response):
    """The answer to a call, made as it is sent: a membership that ends cuts it, wherever it is."""

    def __init__(self, request: Request, member: Member, call: str) -> None:
        super().__init__()
        self._request = request
        self._member = member
        self._call = call

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        services = services_of(self._request)
        has_begun = False

        async def watch(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        with (
            services.superlink.counting(self._member.name),
            services.memberships.watching(self._member) as watched,
        ):
            try:
                async with asyncio.timeout(CALL_TIMEOUT):
                    await _require_same(services, self._member)
                    answer = await _carry(self._request, services, self._member, self._call)
                    await answer(scope, receive, watch)
                    if self._call == "pull-messages" and answer.status_code == HTTPStatus.OK:
                        await _count_poll(services, self._member)
            except asyncio.CancelledError:
                if not watched.was_only_cut():
                    raise
                raise _broken_off(has_begun, Forbidden("the membership has ended")) from None
            except TimeoutError:
                raise _broken_off(has_begun, RequestTimeout("the call took too long")) from None


def _broken_off(has_begun: bool, error: Exception) -> Exception:
    return BrokenOff(str(error)) if has_begun else error


async def _carry(request: Request, services: Services, member: Member, call: str) -> Response:
    headers, length = call_headers(request), body_length(request, CALLS[call].most)
    if call == "push-object":
        chunks = request.stream()
        opened = await begin_object(chunks, length)
        named, body = opened.named, carry(opened, chunks, length)
    else:
        content = await request.body()
        if len(content) != length:
            raise BadRequest("the body ends before its length")
        named, body = read_call(call, content), _one(content)
    await _require_run(services, member, named)
    settings = services.settings
    client = await services.superlink.at(
        flower.read_ports(settings).superlink, loopback.known(settings).client_context
    )
    answer = await send_on(client, f"/v1/fleet/{call}", headers, length, Upload(body))
    if call == "activate-node" and answer.is_error:
        await answer.aclose()
        raise Unavailable("the hub's SuperLink does not know this site yet")
    if answer.is_success and call not in _RECORDED:
        request.scope[UNRECORDED] = True
    return Carried(answer)


async def _count_poll(services: Services, member: Member) -> None:
    """Note that a SuperNode had its answer to whether there is a message for it (`federation.hub.rounds`)."""
    with suppress(Unavailable):
        async with services.connection() as connection:
            await connection.execute(queries("fleet.sql")["polled"], {"member": member.name})


async def _one(content: bytes) -> AsyncIterator[bytes]:
    yield content


async def _require_same(services: Services, member: Member) -> None:
    """Raises Forbidden where the membership ended after the token was verified and before it was watched."""
    if await services.memberships.find(member.name) != member:
        raise Forbidden("the membership has ended")


async def _require_run(services: Services, member: Member, named: Named) -> None:
    """Raises Forbidden where the call is about a run in which the site does not take part."""
    if named.run is None:
        return
    if services.superlink.is_allowed(member.name, named.run):
        return
    if not await _takes_part(services, member, named.run):
        raise Forbidden("the site does not take part in this run")
    services.superlink.allow(member.name, named.run)


async def _takes_part(services: Services, member: Member, flower_run: int) -> bool:
    values = {"member": member.name, "since": member.requested_at, "flower_run": flower_run}
    with suppress(TimeoutError):
        async with asyncio.timeout(_PATIENCE):
            while True:
                async with services.connection() as connection:
                    found = await connection.execute(queries("fleet.sql")["allowed"], values)
                    row = await found.fetchone()
                if row is not None:
                    return bool(row[0])
                await asyncio.sleep(_PATIENCE / 4)
    return False


ROUTES = [Route("/federation/v1/fleet/{call:path}", relay, methods=["POST"])]
