"""/federation/v1/members: how a site asks to join, sees how far it is, and leaves."""

from dataclasses import dataclass
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from archive import federation_keys, members
from archive.audit import Event, Outcome, write_async
from archive.errors import SenogateError
from archive.federation_roles import Hub
from archive.invitations import verify_request
from archive.members import Asked, Member, State
from gateway.api.payload import read_payload, respond
from gateway.fleet.identity import check_certificate, counted, member_of, require_hub, subject_of
from gateway.rate_limit import Rate, address_of
from gateway.services import services_of

JOINS_BY_ADDRESS = Rate(1, 60)


@dataclass(frozen=True, slots=True)
class Standing:
    """What a member is told of its membership."""

    name: str
    state: State
    fingerprint: str
    hub: str


async def join(request: Request) -> Response:
    """Ask to join, with an invitation and a request that the site's keys have signed."""
    services = services_of(request)
    async with counted(request):
        hub = require_hub(services.settings)
        check_certificate(request)
        await services.buckets.take(f"join for {address_of(request)}", JOINS_BY_ADDRESS)
        payload = await read_payload(request)
        sent = {name: payload.text(name) for name in ("request", "signature", "node_signature")}
        key = federation_keys.public_bytes(federation_keys.federation_key(services.settings))
        member = await _admit(request, verify_request(sent, key))
    return respond(_standing(hub, member), HTTPStatus.CREATED)


async def _admit(request: Request, asked: Asked) -> Member:
    """Use the invitation, and record it: both or neither; a refusal is on record as well."""
    async with services_of(request).connection() as connection:
        detail = {"member": asked.name, "from": address_of(request), "change": "requested"}
        detail["fingerprint"] = federation_keys.fingerprint(asked.site_key, asked.node_key)
        try:
            async with connection.transaction():
                member = await members.request(connection, asked)
                await write_async(
                    connection, Event.FEDERATION_MEMBER, subject=subject_of(asked.name), detail=detail
                )
        except SenogateError:
            await write_async(
                connection,
                Event.FEDERATION_MEMBER,
                subject="unknown",
                outcome=Outcome.REFUSED,
                detail=detail,
            )
            raise
    return member


async def show(request: Request) -> Response:
    """How far the asking site's membership is."""
    member = await member_of(request, members.LIVE)
    return respond(_standing(require_hub(services_of(request).settings), member))


async def leave(request: Request) -> Response:
    """End the asking site's membership."""
    member, services = await member_of(request, members.LIVE), services_of(request)
    detail = {"member": member.name, "change": "left"}
    async with services.connection() as connection, connection.transaction():
        await members.end(connection, member.name, State.LEFT)
        await write_async(connection, Event.FEDERATION_MEMBER, subject=subject_of(member.name), detail=detail)
    return Response(status_code=HTTPStatus.NO_CONTENT)


def _standing(hub: Hub, member: Member) -> Standing:
    return Standing(member.name, member.state, member.fingerprint, hub.name)


ROUTES = [
    Route("/federation/v1/members", join, methods=["POST"]),
    Route("/federation/v1/members/self", show, methods=["GET"]),
    Route("/federation/v1/members/self", leave, methods=["DELETE"]),
]
