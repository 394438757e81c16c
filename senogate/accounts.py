"""`senogate account` and `issuer`: people with a password here, and OpenID providers that vouch for others."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated

import typer
from psycopg import AsyncConnection

from archive import persons, secrets
from archive.audit import Event
from archive.subjects import account_subject
from senogate.operator import AsJson, change, read_secret, run, say, show, site_of_home
from senogate.user import user

account_app = typer.Typer(no_args_is_help=True, help="People who sign in with a password of this site.")
issuer_app = typer.Typer(no_args_is_help=True, help="OpenID providers whose tokens and sign-ins are taken.")
Identity = Annotated[str, typer.Argument(help="account:NAME, ISSUER#SUB or client:ID.", show_default=False)]
Name = Annotated[str, typer.Argument(help="As `senogate account list` shows it.", show_default=False)]


@account_app.command("add")
def account_add(name: str) -> None:
    """Let a person sign in; the password is typed, or the first line of standard input."""
    from gateway import accounts

    password = read_secret("Password", twice=True)
    _change(name, "added", lambda connection: accounts.create_account(connection, name, password))
    say(f"{name} may sign in. What {name} may see, a role or a permit says: senogate role grant "
        f"{account_subject(name)} clinician")  # fmt: skip


@account_app.command("list")
def account_list(as_json: AsJson = False) -> None:
    """The accounts."""
    from gateway import accounts

    rows = run(site_of_home(), accounts.list_accounts)
    show([{"name": row.name, "state": "disabled" if row.disabled_at else "active"} for row in rows], as_json)


@account_app.command("password")
def account_password(name: Name) -> None:
    """Give an account another password and sign it out everywhere."""
    from gateway import accounts

    password = read_secret("New password", twice=True)
    _change(name, "password", lambda connection: accounts.set_password(connection, name, password))
    say(f"{name} has another password")


@account_app.command("disable")
def account_disable(name: Name) -> None:
    """Let a person in no more, and sign them out everywhere."""
    from gateway import accounts

    _change(name, "disabled", lambda connection: accounts.disable_account(connection, name))
    say(f"{name} is disabled")


@account_app.command("enable")
def account_enable(name: Name) -> None:
    """Let a person in again."""
    from gateway import accounts

    _change(name, "enabled", lambda connection: accounts.enable_account(connection, name))
    say(f"{name} may sign in")


@account_app.command("link")
def account_link(one: Identity, other: Identity) -> None:
    """Say that two identities are one person's, who then decides by neither on what she asks for by the other."""
    run(site_of_home(), lambda connection: persons.link(connection, one, other, by=user()))
    say(f"{one} and {other} are one person")


@account_app.command("unlink")
def account_unlink(subject: Identity) -> None:
    """Say that an identity is nobody else's."""
    run(site_of_home(), lambda connection: persons.unlink(connection, subject, by=user()))
    say(f"{subject} is linked to none")


@account_app.command("links")
def account_links(as_json: AsJson = False) -> None:
    """The identities that are linked."""
    rows = run(site_of_home(), persons.list_links)
    show(
        [{"subject": row.subject, "person": row.person, "linked by": row.linked_by} for row in rows], as_json
    )


@issuer_app.command("add")
def issuer_add(
    name: Annotated[
        str, typer.Argument(help="What it is called here, such as `hospital`.", show_default=False)
    ],
    url: Annotated[str, typer.Argument(help="Its issuer URL, letter for letter.", show_default=False)],
    audience: Annotated[str, typer.Option(help="The `aud` of its access tokens for this site.")] = "",
    client_id: Annotated[
        str, typer.Option(help="What this site is called there; people sign in by it.")
    ] = "",
    with_secret: Annotated[
        bool, typer.Option("--client-secret", help="Ask for this site's secret there, or read it from stdin.")
    ] = False,
    scope: Annotated[str, typer.Option(help="What a token allows that names no scope of this site.")] = "",
    role: Annotated[
        list[str],
        typer.Option(help="CLAIM=VALUE:ROLE: who has it has the role. May be given more than once."),
    ] = [],  # noqa: B006
) -> None:
    """Trust an OpenID provider."""
    from gateway import issuers
    from gateway.provider import Configured

    settings = site_of_home()
    rules = tuple(map(issuers.parse_rule, role))
    configured = Configured(name, url, audience, client_id, scope, rules)
    secret = read_secret("Client secret") if with_secret else ""
    change(
        settings,
        Event.ISSUER_CHANGED,
        {"issuer": url, "change": "added", "roles": len(rules)},
        lambda connection: issuers.add_issuer(connection, configured, settings.public_url),
    )
    if secret:
        secrets.write(Path(settings.secrets, secrets.issuer_file(name)), secret.encode())
    if client_id:
        say(f"Register there as redirect URI: {settings.public_url}/login/{name}/callback")
    say(f"{url} is trusted")


@issuer_app.command("list")
def issuer_list(as_json: AsJson = False) -> None:
    """The providers that are trusted."""
    from gateway import issuers

    rows = [
        {
            "name": row.name,
            "url": row.url,
            "audience": row.audience,
            "client_id": row.client_id,
            "scope": row.scope,
            "roles": " ".join(f"{rule.claim}={rule.value}:{rule.role}" for rule in row.roles),
        }
        for row in run(site_of_home(), issuers.list_issuers)
    ]
    show(rows, as_json)


@issuer_app.command("remove")
def issuer_remove(
    name: Annotated[str, typer.Argument(help="As `senogate issuer list` shows it.", show_default=False)],
) -> None:
    """Trust a provider no more: its tokens are worth nothing, and who signed in by it is signed out."""
    from gateway import issuers

    settings = site_of_home()
    change(
        settings,
        Event.ISSUER_CHANGED,
        {"issuer": name, "change": "removed"},
        lambda connection: issuers.remove_issuer(connection, name),
    )
    Path(settings.secrets, secrets.issuer_file(name)).unlink(missing_ok=True)
    say(f"{name} is not trusted any more")


def _change(name: str, what: str, work: Callable[[AsyncConnection], Awaitable[None]]) -> None:
    change(site_of_home(), Event.ACCOUNT_CHANGED, {"account": account_subject(name), "change": what}, work)
