"""`senogate delivery`: what goes to which clinical PACS, what has become of it, and what a person decides about it."""

import json
from typing import Annotated

import typer

from archive import deliveries
from archive.deliveries import Delivery, State
from archive.destinations import KINDS, Destination
from archive.errors import NotFound
from archive.pool import autocommitting
from archive.settings import Settings
from senogate.operator import AsJson, say, site_of_home
from senogate.user import user

app = typer.Typer(no_args_is_help=True, help="Results on their way to clinical PACS (docs/delivery.md).")
Numbers = Annotated[list[int], typer.Argument(metavar="NUMBER...", help="As `senogate delivery list` shows.")]


@app.command("list")
def list_(
    destination: Annotated[str | None, typer.Option(help="Only those for this destination.")] = None,
    state: Annotated[State | None, typer.Option(help="Only those in this state.")] = None,
    study: Annotated[str | None, typer.Option(help="Only those of this pseudonymous study.")] = None,
    as_json: AsJson = False,
) -> None:
    """The newest deliveries, by pseudonyms."""
    settings = site_of_home()
    with autocommitting(settings.database_url) as connection:
        found = deliveries.find(connection, destination=destination, state=state, study_instance_uid=study)
    if as_json:
        typer.echo(json.dumps([each.to_json() for each in found], indent=2))
        return
    if settings.destinations and not settings.acknowledge:
        say("nothing is delivered: the settings do not acknowledge research use (docs/delivery.md)")
    for each in found:
        say(_line(each))


@app.command()
def show(number: Annotated[int, typer.Argument(help="Its number.")], as_json: AsJson = False) -> None:
    """One delivery, with all that is known of it."""
    with autocommitting(site_of_home().database_url) as connection:
        found = deliveries.read(connection, number).to_json()
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    for name, value in found.items():
        say(f"{name.replace('_', ' ')}: {'' if value is None else value}")


@app.command()
def retry(numbers: Numbers) -> None:
    """Try at once, also what was refused or cancelled."""
    with autocommitting(site_of_home().database_url) as connection:
        for number in numbers:
            deliveries.retry(connection, number, by=user())
    say(f"{len(numbers)} deliveries wait for their next try, which is at once")


@app.command()
def cancel(numbers: Numbers) -> None:
    """Give up; what is stored there already stays there."""
    with autocommitting(site_of_home().database_url) as connection:
        for number in numbers:
            deliveries.cancel(connection, number, by=user())
    say(f"{len(numbers)} deliveries are cancelled")


@app.command("test")
def probe(name: Annotated[str, typer.Argument(metavar="DESTINATION")], as_json: AsJson = False) -> None:
    """C-ECHO, and what the destination accepts; exit status 1 where it does not answer. Nothing is sent."""
    from inference.delivery.association import Association
    from inference.delivery.described import SOP_CLASSES

    destination = _destination(site_of_home(), name)
    wanted = {kind: SOP_CLASSES[kind] for kind in KINDS if kind in destination.results}
    with Association(destination, list(wanted.values())) as association:
        answers = association.echo()
        told = {
            "destination": destination.name,
            "address": destination.address,
            "answers": answers,
            "accepts": {kind: bool(association.accepts(uid)) for kind, uid in wanted.items()},
            "find": association.offers_find,
            "commitment": association.offers_commitment if destination.commitment else None,
        }
    if as_json:
        typer.echo(json.dumps(told, indent=2))
    else:
        _tell(told)
    raise typer.Exit(0 if answers else 1)


def _tell(told: dict[str, object]) -> None:
    accepts = told["accepts"]
    assert isinstance(accepts, dict)  # noqa: S101 - made above
    say(f"{told['address']} {'answers' if told['answers'] else 'does not answer'}")
    for kind, accepted in accepts.items():
        say(f"  {kind}: {'accepted' if accepted else 'not accepted'}")
    say(f"  query: {'offered' if told['find'] else 'not offered'}")
    if told["commitment"] is not None:
        say(f"  storage commitment: {'offered' if told['commitment'] else 'not offered'}")


def _destination(settings: Settings, name: str) -> Destination:
    for each in settings.destinations:
        if each.name == name:
            return each
    raise NotFound(f"the settings name no destination {name!r}")


def _line(each: Delivery) -> str:
    later = f"next try {each.next_try:%Y-%m-%d %H:%M:%S}" if each.next_try else ""
    status = "" if each.status is None else f"0x{each.status:04X}"
    told = (each.id, each.destination, each.kind, each.state, f"attempts {each.attempts}", status, later)
    return "  ".join(str(one) for one in (*told, each.reason, each.study_instance_uid) if one != "")
