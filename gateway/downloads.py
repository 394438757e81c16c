"""What a permit lets its holder fetch: the list of its instances, a script that fetches them, a token for it."""

import hashlib
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import NamedTuple

import jwt
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from archive import permits
from archive.audit import Event, write_async
from archive.conditions import Parameters
from archive.errors import BadRequest, NotFound
from archive.listing import restrict
from archive.policy import Action, Scope, decide
from archive.pool import queries
from gateway.issuing import issue
from gateway.portal.pages import render
from gateway.rate_limit import address_of
from gateway.services import Services, grants_of, principal_of, services_of

TOKEN_LIFE = 60 * 60  # seconds
PORTAL = "access"  # the client_id of tokens that people ask for on a page
AT_ONCE = 100  # studies that are read at a time
TYPE = "manifest+jwt"


class Instance(NamedTuple):
    """An instance that may be fetched; `size` is that of its file as it is stored, in bytes."""

    study: str
    series: str
    instance: str
    size: int


class Tally:
    """What a list came to; `sha256` is as that of a frozen dataset (archive.datasets.contents)."""

    def __init__(self) -> None:
        self.instances = self.bytes = 0
        self._digest = hashlib.sha256()

    def add(self, row: Instance) -> None:
        self.instances += 1
        self.bytes += row.size
        self._digest.update(f"{row.study} {row.instance}\n".encode())

    def to_json(self) -> dict[str, str | int]:
        return {"instances": self.instances, "bytes": self.bytes, "sha256": self._digest.hexdigest()}


async def manifest(request: Request) -> Response:
    """The instances that a permit lets its holder download, as `format`: json, csv, or txt of addresses alone."""
    permit_id, services = request.path_params["permit"], services_of(request)
    async with services.connection() as connection:
        await permits.show(connection, permit_id)
    scope = _scope(request, permit_id)
    form = request.query_params.get("format", "json")
    if form not in _FORMS:
        raise BadRequest("format is one of: %(forms)s", forms=", ".join(_FORMS))
    kind, write = _FORMS[form]
    named = {"content-disposition": f'attachment; filename="{permit_id}.{form}"', "cache-control": "no-store"}
    body = write(services, permit_id, _instances(services, scope))
    return StreamingResponse(body, headers=named, media_type=kind)


def _scope(request: Request, permit_id: str) -> Scope:
    """The studies of one permit of the request's principal, to be downloaded. Raises Forbidden, NotFound."""
    principal = principal_of(request)
    if principal.permit not in (None, permit_id):
        raise NotFound("no such permit")
    scope = decide(replace(principal, permit=permit_id), grants_of(request), Action.READ)
    if scope.permits != (permit_id,):
        raise NotFound("no permit of yours lets anything be downloaded by this name")
    request.scope["decided"].append(((Action.READ,), scope))
    request.scope["permits_used"] = scope.permits
    return scope


async def _instances(services: Services, scope: Scope) -> AsyncIterator[Instance]:
    """By study and instance, in the order of their UIDs as bytes; a connection is lent for one page at a time."""
    parameters = Parameters()
    statement = queries("applications.sql")["downloads"].format(matches=restrict(scope, parameters)).encode()
    after = ""
    while True:
        values = parameters.values | {"after": after, "limit": AT_ONCE}
        async with services.connection() as connection:
            rows = await (await connection.execute(statement, values)).fetchall()
        if not rows:
            return
        for row in rows:
            if row[2] is not None:
                yield Instance(*row)
        after = rows[-1][0]


def _url(services: Services, row: Instance) -> str:
    path = f"studies/{row.study}/series/{row.series}/instances/{row.instance}"
    return f"{services.settings.dicomweb_url}/{path}"


async def _as_text(services: Services, permit_id: str, rows: AsyncIterator[Instance]) -> AsyncIterator[bytes]:
    async for row in rows:
        yield f"{_url(services, row)}\n".encode()


async def _as_csv(services: Services, permit_id: str, rows: AsyncIterator[Instance]) -> AsyncIterator[bytes]:
    yield b"study,series,instance,bytes,url\n"
    async for row in rows:
        yield f"{','.join(map(str, row))},{_url(services, row)}\n".encode()


async def _as_json(services: Services, permit_id: str, rows: AsyncIterator[Instance]) -> AsyncIterator[bytes]:
    tally = Tally()
    yield f'{{"permit":"{permit_id}","list":['.encode()
    async for row in rows:
        told = {**row._asdict(), "url": _url(services, row)}
        yield (b"," if tally.instances else b"") + json.dumps(told).encode()
        tally.add(row)
    found = tally.to_json()
    yield f"],{json.dumps(found | {'signature': _sign(services, permit_id, found)})[1:]}".encode()


def _sign(services: Services, permit_id: str, found: dict[str, str | int]) -> str:
    """What the list came to as a JSON web signature, by the key that signs tokens; it is none itself."""
    key = services.keys.current.keys[0]
    claims = {"iss": services.settings.public_url, "iat": int(time.time()), "permit": permit_id, **found}
    return jwt.encode(claims, key.private, algorithm=key.algorithm, headers={"kid": key.kid, "typ": TYPE})


_FORMS: dict[str, tuple[str, Callable[[Services, str, AsyncIterator[Instance]], AsyncIterator[bytes]]]] = {
    "json": ("application/json", _as_json),
    "csv": ("text/csv", _as_csv),
    "txt": ("text/plain", _as_text),
}


async def script(request: Request) -> Response:
    """GET /access/{permit}/download.sh: fetches what the permit lets be downloaded, and goes on where it stopped."""
    permit_id = request.path_params["permit"]
    _scope(request, permit_id)
    settings = services_of(request).settings
    text = render("download.sh", permit=permit_id, site=settings.public_url, dicomweb=settings.dicomweb_url)
    headers = {
        "content-disposition": f'attachment; filename="{permit_id}.sh"',
        "cache-control": "no-store",
    }
    return Response(text, headers=headers, media_type="text/x-shellscript")


async def personal_token(request: Request, permit_id: str, actions: frozenset[Action]) -> str:
    """A token with which the signed-in person's own programs use one permit of hers, for a while."""
    services, subject = services_of(request), principal_of(request).subject
    async with services.connection() as connection:
        detail = {"from": address_of(request), "permit": permit_id, "asked": "on a page"}
        await write_async(connection, Event.TOKEN, subject=subject, permits=[permit_id], detail=detail)
    return issue(
        services.keys.current,
        services.settings,
        subject=subject,
        client_id=PORTAL,
        scope=" ".join(sorted(actions)),
        ttl=TOKEN_LIFE,
        permit=permit_id,
    )
