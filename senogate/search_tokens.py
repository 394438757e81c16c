"""`senogate search token`: secrets by which a federation's mediators ask for counts."""

import json
from typing import Annotated

import typer

from archive import search_tokens
from archive.audit import Detail, Event
from archive.subjects import search_subject
from senogate.operator import AsJson, change, out, run, say, show, site_of_home
from senogate.user import user

app = typer.Typer(no_args_is_help=True, help="Secrets by which a federation's mediators ask for counts.")


@app.command("add")
def add(
    name: Annotated[str, typer.Argument(help="What the mediator is called here.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Make a secret; it is shown this once."""
    detail: Detail = {"client": search_subject(name), "change": "added", "scope": "search.count"}
    token = change(
        site_of_home(),
        Event.CLIENT_CHANGED,
        detail,
        lambda connection: search_tokens.add(connection, name, by=user()),
    )
    if as_json:
        out.print_json(json.dumps({"name": name, "token": token}))
    else:
        say(f"{name}: {token}")
        say(f"The mediator sends it as    Authorization: Secret {token}")


@app.command("list")
def list_all(as_json: AsJson = False) -> None:
    """The secrets that were made."""
    found = run(site_of_home(), search_tokens.list_tokens)
    show(
        [{"name": each.name, "state": "revoked" if each.revoked_at else "active"} for each in found], as_json
    )


@app.command("revoke")
def revoke(
    name: Annotated[
        str, typer.Argument(help="As `senogate search token list` shows it.", show_default=False)
    ],
) -> None:
    """Refuse a mediator everything from now on."""
    detail: Detail = {"client": search_subject(name), "change": "revoked"}
    change(
        site_of_home(),
        Event.CLIENT_CHANGED,
        detail,
        lambda connection: search_tokens.revoke(connection, name),
    )
    say(f"{name} is revoked")
