"""`senogate token`, `client` and `key`: tokens, the programs that fetch them, and the keys that sign them."""

import json
import secrets as random
from pathlib import Path
from typing import Annotated

import typer
from psycopg import AsyncConnection

from archive import secrets
from archive import settings as site_settings
from archive.audit import Detail, Event
from archive.errors import BadRequest, NotFound, Unavailable
from archive.policy import Role
from archive.settings import Settings
from archive.subjects import ADMINISTRATOR, client_subject
from gateway import clients
from senogate.home import only_one
from senogate.operator import AsJson, change, err, out, run, say, seconds, show, site_of_home

client_app = typer.Typer(no_args_is_help=True, help="Programs that may fetch tokens.")
key_app = typer.Typer(no_args_is_help=True, help="The keys that sign the site's tokens.")
Scopes = Annotated[str, typer.Option(help="The most its tokens allow: scopes, separated by spaces.")]
Identifier = Annotated[str, typer.Argument(help="As `senogate client list` shows it.", show_default=False)]


def issue(
    settings: Settings,
    client_id: str | None,
    scope: str | None,
    lifetime: int,
    permit: str | None = None,
    purpose: str | None = None,
    certificate: Path | None = None,
) -> str:
    """A token for a client, within its scope; without one, for the site's own administrator.

    The administrator's own, which opens nothing while the trail can't be written, needs no database to be made.
    With a certificate (PEM) it is good on connections with that certificate alone. Raises NotFound for a client that is
    unknown or revoked, BadRequest for a scope that is not its own or a certificate that is missing or none.
    """
    from gateway import issuing
    from gateway.signing import SigningKeys

    client = _client(settings, client_id) if client_id else None
    if client and client.certificate_bound and certificate is None:
        raise BadRequest("this client's tokens are bound to its certificate: name it with --certificate")
    granted = clients.narrow_scope(client.scope if client else issuing.ALL_ACTIONS, scope or "")
    token = issuing.issue(
        SigningKeys.load(_signing_file(settings)),
        settings,
        subject=client_id or ADMINISTRATOR,
        scope=granted,
        ttl=lifetime,
        roles=[] if client_id else [Role.ADMINISTRATOR],
        permit=permit,
        purpose=purpose,
        thumbprint=_thumbprint(certificate) if certificate else None,
    )
    subject = client_subject(client_id) if client_id else ADMINISTRATOR
    detail: Detail = {"for": subject, "seconds": lifetime, "permit": permit or "", "purpose": purpose or ""}
    try:
        change(settings, Event.TOKEN, detail, _nothing)
    except Unavailable as error:
        if client_id:
            raise
        err.print(f"senogate: the token is not in the audit trail: {error}", markup=False)
    return token


async def _nothing(connection: AsyncConnection) -> None:
    """A token changes nothing in the database; that it was made is recorded there."""


@client_app.command("add")
def client_add(
    client_id: str,
    scope: Scopes = "dicomweb.read",
    certificate_bound: Annotated[
        bool, typer.Option("--certificate-bound", help="Its tokens are good with its TLS certificate alone.")
    ] = False,
    owner: Annotated[
        str, typer.Option(help="Whose it is, such as account:NAME: who decides on nothing that it asks for.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Register a program; its secret is shown this once."""
    detail = {"client": client_id, "change": "added", "scope": scope} | ({"owner": owner} if owner else {})
    secret = change(
        site_of_home(),
        Event.CLIENT_CHANGED,
        detail,
        lambda connection: clients.create_client(
            connection, client_id, scope, certificate_bound=certificate_bound, owner=owner
        ),
    )
    _show_secret({"client_id": client_id, "client_secret": secret, "scope": scope}, as_json)
    if not as_json:
        say(f"It sees no study until a permit names it: senogate permit grant {client_subject(client_id)} …")


@client_app.command("list")
def client_list(as_json: AsJson = False) -> None:
    """The registered programs."""
    rows = run(site_of_home(), clients.list_clients)
    if as_json:
        found = [
            {
                "client_id": row.client_id,
                "scope": row.scope,
                "revoked": row.revoked_at is not None,
            }
            | ({"certificate_bound": True} if row.certificate_bound else {})
            for row in rows
        ]
        out.print_json(json.dumps(found))
    for row in [] if as_json else rows:
        state = "revoked" if row.revoked_at else "active"
        say(f"{row.client_id}  {row.scope}  {state}{', certificate-bound' if row.certificate_bound else ''}")


@client_app.command("rotate")
def client_rotate(
    client_id: Identifier,
    overlap: Annotated[
        str, typer.Option(help="How long the old secret works: 0s, 90s, 15m, 24h, 7d.")
    ] = "24h",
    as_json: AsJson = False,
) -> None:
    """Give a program another secret, shown this once; the one it has works for a while more."""
    length = seconds(overlap)
    detail: Detail = {"client": client_id, "change": "rotated", "overlap": length}
    secret = change(
        site_of_home(),
        Event.CLIENT_CHANGED,
        detail,
        lambda connection: clients.rotate_client(connection, client_id, length),
    )
    _show_secret({"client_id": client_id, "client_secret": secret}, as_json)


@client_app.command("revoke")
def client_revoke(client_id: Identifier) -> None:
    """Refuse a program any further token, and everything to those that it has."""
    detail = {"client": client_id, "change": "revoked"}
    change(
        site_of_home(),
        Event.CLIENT_CHANGED,
        detail,
        lambda connection: clients.revoke_client(connection, client_id),
    )
    say(f"{client_id} is revoked")


@key_app.command("list")
def key_list(as_json: AsJson = False) -> None:
    """The keys: the first one signs, all verify."""
    from gateway.signing import SigningKeys

    keys = SigningKeys.load(_signing_file(site_of_home())).keys
    rows = [
        {"kid": key.kid, "algorithm": key.algorithm, "use": "verifies" if number else "signs"}
        for number, key in enumerate(keys)
    ]
    show(rows, as_json)


@key_app.command("rotate")
def key_rotate() -> None:
    """Sign with a new key from now on; those there are verify until they are retired."""
    from gateway import signing

    settings = site_of_home()

    async def rotate(connection: object) -> signing.SigningKeys:
        return signing.rotate(_signing_file(settings))

    keys = change(settings, Event.KEY_ROTATED, {"change": "rotated"}, rotate)
    say(f"{keys.keys[0].kid} signs; retire the others once their last tokens have expired, a day at most")


@key_app.command("retire")
def key_retire(
    kid: Annotated[str, typer.Argument(help="As `senogate key list` shows it.", show_default=False)],
) -> None:
    """Take a key away: what it signed is worth nothing from now on."""
    from gateway import signing

    settings = site_of_home()

    async def retire(connection: object) -> signing.SigningKeys:
        return signing.retire(_signing_file(settings), kid)

    change(settings, Event.KEY_ROTATED, {"change": "retired", "key": kid}, retire)
    say(f"{kid} is retired")


@key_app.command("orthanc")
def key_orthanc() -> None:
    """Give Orthanc another password. The site is down, and has it from its next start on."""
    from senogate.backup import database

    settings = site_settings.load()
    if settings.orthanc_password:
        raise BadRequest("orthanc_password is set: change it there, and in Orthanc's configuration")
    with only_one(settings.home), database.answering(settings) as connected:
        detail: Detail = {"change": "rotated", "use": "orthanc"}
        change(connected, Event.KEY_ROTATED, detail, _nothing)
        secrets.write(Path(settings.secrets, secrets.ORTHANC_PASSWORD), random.token_urlsafe(32).encode())
    say("Orthanc has another password from the next start on")


def _show_secret(row: dict[str, str], as_json: bool) -> None:
    if as_json:
        out.print_json(json.dumps(row))
    for name, value in [] if as_json else row.items():
        say(f"{name:<13} {value}")


def _client(settings: Settings, client_id: str) -> clients.Client:
    for client in run(settings, clients.list_clients):
        if client.client_id == client_id and client.revoked_at is None:
            return client
    raise NotFound("no client of this identifier, or it is revoked: `senogate client list` shows them")


def _signing_file(settings: Settings) -> Path:
    return Path(settings.secrets, secrets.SIGNING_KEY)


def _thumbprint(certificate: Path) -> str:
    import ssl

    from gateway.transport import thumbprint

    try:
        return thumbprint(ssl.PEM_cert_to_DER_cert(certificate.read_text("ascii").strip()))
    except (OSError, ValueError):
        raise BadRequest(f"{certificate} holds no certificate in PEM") from None
