"""`senogate federation init|invite|join|approve|revoke|address|leave|members|status`: who takes part."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer
from psycopg import AsyncConnection

from archive import federation_keys, members, permits, questions
from archive.addresses import is_allowed
from archive.audit import Detail, Event
from archive.errors import (
    BadRequest,
    Conflict,
    Forbidden,
    NotFound,
    SenogateError,
    Unavailable,
)
from archive.federation_roles import (
    Hub,
    Joined,
    begin_to_leave,
    check_name,
    have_left,
    read_hub,
    read_leaving,
    read_site,
    write_role,
)
from archive.invitations import Invitation, make_invitation, parse_invitation, sign_request
from archive.members import LIVE, Member, State
from archive.settings import Settings
from senogate.federation import app
from senogate.operator import AsJson, change, read_secret, run, say, seconds, show, site_of_home
from senogate.user import user

MOST_SECONDS = 90 * 86_400  # for which an invitation can be used
SELF = "/federation/v1/members/self"
Name = Annotated[str, typer.Argument(help="As `senogate federation members` shows it.", show_default=False)]


@app.command("init")
def init(
    name: Annotated[
        str, typer.Argument(help="What the federation's hub is called: small letters, digits, dashes.")
    ],
    as_json: AsJson = False,
) -> None:
    """Make this node the hub of a federation."""
    settings = site_of_home()
    made = Hub(check_name(name), datetime.now(UTC).isoformat(timespec="seconds"))
    if not is_allowed(settings.public_url):
        raise BadRequest("sites dial a hub by https: set public_url to the address where they reach it")
    hub = read_hub(settings)
    if hub and hub.name != name:
        raise Conflict(f"this node is the hub {hub.name} already")

    async def work(connection: AsyncConnection) -> None:
        if hub is None:
            federation_keys.make(settings)
            write_role(settings, made)

    change(settings, Event.FEDERATION_MEMBER, {"hub": name, "change": "founded"}, work)
    _tell({"hub": name, "url": settings.public_url}, as_json,
          f"this node is the hub {name}; sites dial {settings.public_url}. "
          "Invite one: senogate federation invite NAME")  # fmt: skip


@app.command("invite")
def invite(
    name: Annotated[str, typer.Argument(help="What the site will be called: small letters, digits, dashes.")],
    expires: Annotated[str, typer.Option(help="How long it can be used: 12h, 7d.")] = "7d",
    as_json: AsJson = False,
) -> None:
    """Invite a site: prints one line for its administrator, shown this once and good for one site."""
    settings = site_of_home()
    hub = _require_hub(settings)
    lifetime = timedelta(seconds=_lifetime(expires))
    key = federation_keys.federation_key(settings)
    made = make_invitation(hub.name, settings.public_url, key, name, lifetime)
    until = datetime.fromisoformat(made.expires_at)

    async def work(connection: AsyncConnection) -> None:
        await members.invite(connection, name, made.code, until, by=user())

    detail: Detail = {"member": name, "change": "invited", "until": made.expires_at}
    change(settings, Event.FEDERATION_MEMBER, detail, work)
    line = made.to_text(key)
    _tell({"name": name, "expires_at": made.expires_at, "invitation": line}, as_json, line)


@app.command("join")
def join(as_json: AsJson = False) -> None:
    """Ask to take part in a federation; the invitation is typed, or the first line of standard input."""
    settings = site_of_home()
    invitation = parse_invitation(read_secret("Invitation"))
    if not invitation.is_timely:
        raise BadRequest("the invitation has expired: ask for another")
    joined = _joined(invitation)
    _check_alone(settings, joined)

    async def work(connection: AsyncConnection) -> dict[str, Any]:
        _make_keys(settings)
        answer = await _ask_to_join(settings, invitation)
        write_role(settings, joined)
        return answer

    detail = {"hub": invitation.hub, "member": invitation.name, "change": "joined", "url": invitation.url}
    answer = change(settings, Event.FEDERATION_MEMBER, detail, work)
    fingerprint = federation_keys.own_fingerprint(settings)
    told = {"name": joined.name, "hub": joined.hub_name, "hub_url": joined.hub_url, "state": answer["state"]}
    _tell(told | {"fingerprint": fingerprint}, as_json,
          f"{joined.name} has asked {joined.hub_name} at {joined.hub_url}. Tell the hub's steward by another way, "
          f"such as by telephone, the fingerprint of this site's keys:\n{fingerprint}")  # fmt: skip


@app.command("approve")
def approve(
    name: Name,
    fingerprint: Annotated[
        list[str],
        typer.Argument(help="As the site's administrator reads it to you.", show_default=False),
    ],
    as_json: AsJson = False,
) -> None:
    """Let a site take part that has asked, once you have compared the fingerprint of its keys."""
    settings = site_of_home()
    _require_hub(settings)
    detail: Detail = {"member": name, "change": "approved", "fingerprint": " ".join(fingerprint)}

    async def work(connection: AsyncConnection) -> Member:
        return await members.approve(connection, name, " ".join(fingerprint), by=user())

    member = change(settings, Event.FEDERATION_MEMBER, detail, work)
    _tell(_row(member), as_json, f"{name} takes part")


@app.command("revoke")
def revoke(name: Name, as_json: AsJson = False) -> None:
    """Let a site take part no more, at once; or refuse one that has asked, or take an invitation back."""
    settings = site_of_home()
    _require_hub(settings)
    change(
        settings,
        Event.FEDERATION_MEMBER,
        {"member": name, "change": "revoked"},
        lambda connection: members.end(connection, name, State.REVOKED),
    )
    _tell({"name": name, "state": State.REVOKED}, as_json, f"{name} takes part no more")


@app.command("address")
def address(
    name: Name,
    url: Annotated[str, typer.Argument(help="https://…, where people reach its pages; empty forgets it.")],
    as_json: AsJson = False,
) -> None:
    """Write down where a site's pages are, so that what a search finds there can be linked."""
    settings = site_of_home()
    _require_hub(settings)
    change(
        settings,
        Event.FEDERATION_MEMBER,
        {"member": name, "change": "address"},
        lambda connection: questions.set_address(connection, name, url),
    )
    _tell({"name": name, "url": url}, as_json, f"pages of {name}: {url or 'not known'}")


@app.command("leave")
def leave(
    untold: Annotated[
        bool, typer.Option("--untold", help="Do not tell the hub, which is gone or has to revoke this site.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Take part no more: at once here, and the hub is told. Call it again where the hub could not be told."""
    settings = site_of_home()
    joined = read_site(settings)
    if joined:
        detail = {"hub": joined.hub_name, "member": joined.name, "change": "left"}

        async def work(connection: AsyncConnection) -> None:
            begin_to_leave(settings)

        change(settings, Event.FEDERATION_MEMBER, detail, work)
    leaving = joined or read_leaving(settings)
    if leaving is None:
        raise NotFound("this node takes part in no federation")
    if not untold:
        run(settings, lambda _: _tell_hub(settings, leaving))
    _forget_keys(settings)
    have_left(settings)
    left = run(settings, lambda connection: _permits(connection, leaving))
    told = {"name": leaving.name, "hub": leaving.hub_name, "state": State.LEFT, "permits": left}
    rest = f"; permits that it had are still granted: {' '.join(left)}" if left else ""
    _tell(told, as_json, f"this node has left {leaving.hub_name}{rest}")


@app.command("members")
def list_all(as_json: AsJson = False) -> None:
    """The sites that take part, have asked or did take part, and the invitations that nobody has used yet."""
    settings = site_of_home()
    _require_hub(settings)
    invited = [
        {"name": each.name, "state": "invited", "until": each.expires_at.isoformat(timespec="seconds")}
        for each in run(settings, members.list_invited)
    ]
    show(invited + [_row(each) for each in run(settings, members.list_members)], as_json)


@app.command("status")
def status(as_json: AsJson = False) -> None:
    """What this node is in federations, and at a site how far its membership is."""
    settings = site_of_home()
    hub, joined = read_hub(settings), read_site(settings)
    rows: list[dict[str, Any]] = []
    if hub:
        found = run(settings, members.list_members)
        counts = {state.value: sum(each.state == state for each in found) for state in LIVE}
        rows.append({"role": "hub", "name": hub.name, "url": settings.public_url} | counts)
    if joined:
        state = run(settings, lambda _: _state(settings, joined))
        row = {"role": "site", "name": joined.name, "hub": joined.hub_name, "url": joined.hub_url}
        rows.append(row | {"state": state, "fingerprint": federation_keys.own_fingerprint(settings)})
    if leaving := read_leaving(settings):
        rows.append({"role": "leaving", "name": leaving.name, "hub": leaving.hub_name})
    show(rows, as_json)
    if not rows and not as_json:
        say("this node takes part in no federation")


def _lifetime(text: str) -> int:
    """How long an invitation can be used, in seconds."""
    found = seconds(text, 1)
    if found > MOST_SECONDS:
        raise typer.BadParameter(f"an invitation is good for {MOST_SECONDS // 86_400} days at most")
    return found


def _require_hub(settings: Settings) -> Hub:
    hub = read_hub(settings)
    if hub is None:
        raise NotFound("this node is the hub of no federation: senogate federation init NAME")
    return hub


def _joined(invitation: Invitation) -> Joined:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Joined(invitation.name, invitation.url, invitation.hub, invitation.hub_key, now)


def _check_alone(settings: Settings, joined: Joined) -> None:
    """A node joins one federation; to ask its hub again changes nothing. Raises Conflict."""
    known = read_site(settings)
    if known and replace(known, joined_at="") != replace(joined, joined_at=""):
        raise Conflict(f"this node takes part in {known.hub_name} already: senogate federation leave")
    if read_leaving(settings):
        raise Conflict("this node has left a federation whose hub was not told: senogate federation leave")


def _make_keys(settings: Settings) -> None:
    """Make what a site lacks; what a hub or a site has lost is missed and not replaced. Raises ConfigurationError."""
    if read_hub(settings):
        federation_keys.federation_key(settings)
    if read_site(settings) is None:
        federation_keys.make(settings)


async def _ask_to_join(settings: Settings, invitation: Invitation) -> dict[str, Any]:
    from gateway.fleet import to_hub

    key, node_key = federation_keys.federation_key(settings), federation_keys.node_key(settings)
    sent = sign_request(invitation, key, node_key)
    answer = await to_hub.ask(settings, invitation.url, "POST", "/federation/v1/members", content=sent)
    if not isinstance(answer, dict) or answer.get("fingerprint") != federation_keys.own_fingerprint(settings):
        raise Unavailable("the hub does not answer as one")
    return answer


async def _permits(connection: AsyncConnection, leaving: Joined) -> list[str]:
    """The permits that the hub's name still has here: who leaves may want to revoke them."""
    found = await permits.list_permits(connection, f"federation:{leaving.hub_name}")
    return [each.permit_id for each in found if each.state == "granted"]


async def _tell_hub(settings: Settings, leaving: Joined) -> None:
    """Raises what the hub answers with that does not hear it; one that has ended the membership need not be told."""
    from gateway.fleet import to_hub
    from gateway.fleet.identity import Identity

    token = Identity.load(settings, leaving).token()
    try:
        await to_hub.ask(settings, leaving.hub_url, "DELETE", SELF, token=token)
    except (Forbidden, NotFound):
        return


async def _state(settings: Settings, joined: Joined) -> str:
    """What the hub says of this site's membership, or why it says nothing."""
    from gateway.fleet import to_hub
    from gateway.fleet.identity import Identity

    try:
        answer = await to_hub.ask(
            settings, joined.hub_url, "GET", SELF, token=Identity.load(settings, joined).token()
        )
    except SenogateError as error:
        return str(error)
    return str(answer.get("state")) if isinstance(answer, dict) else "unknown"


def _forget_keys(settings: Settings) -> None:
    """A site that comes back has other keys; a hub goes on signing with its own."""
    federation_keys.forget(settings, federation_keys.NODE_KEY)
    if read_hub(settings) is None:
        federation_keys.forget(settings, federation_keys.FEDERATION_KEY)


def _row(member: Member) -> dict[str, Any]:
    row: dict[str, Any] = {"name": member.name, "number": member.number, "state": member.state.value}
    row |= {"fingerprint": member.fingerprint}
    times = {"asked": member.requested_at, "approved": member.approved_at, "ended": member.ended_at}
    told = {name: at.isoformat(timespec="seconds") if at else "" for name, at in times.items()}
    return row | told | {"by": member.approved_by or ""}


def _tell(row: dict[str, Any], as_json: bool, sentence: str) -> None:
    """The row as JSON, or in a sentence."""
    if as_json:
        show([row], as_json)
    else:
        say(sentence)
