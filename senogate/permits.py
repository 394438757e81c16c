"""`senogate dataset`, `senogate permit` and `senogate role`: who may see what, for which purpose, and until when."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from archive import datasets, permits
from archive.permits import Application, Terms, Wanted
from archive.policy import Action, Role
from archive.purpose import ARTICLES, Purpose
from senogate.operator import AsJson, out, run, say, site_of_home
from senogate.user import user

dataset_app = typer.Typer(
    no_args_is_help=True, help="Saved searches that permits are on, and versions of them."
)
permit_app = typer.Typer(no_args_is_help=True, help="Who may see the studies of which datasets.")
role_app = typer.Typer(no_args_is_help=True, help="What principals are at the site.")

Subject = Annotated[str, typer.Argument(help="client:ID, account:NAME or ISSUER#SUB.")]
Datasets = Annotated[list[str], typer.Option("--dataset", help="Its name, with @1 behind that of a version.")]
LegalBasis = Annotated[str, typer.Option(help="Such as GDPR 6(1)(e), 9(2)(j).")]
Hdab = Annotated[str, typer.Option(help="The identifier that a Health Data Access Body gave the permit.")]
Actions = Annotated[
    list[Action], typer.Option("--action", help="What it allows; reading where none is named.")
]
Conditions = Annotated[str, typer.Option(help="What its holder has to keep to.")]
Reason = Annotated[str, typer.Option(help="Why; it is kept.")]


@dataset_app.command("create")
def create_dataset(
    name: str,
    query: Annotated[
        str,
        typer.Argument(help="As of a search for instances: Modality=MG&StudyDate=20200101-&density=c,d"),
    ],
    description: Annotated[str, typer.Option()] = "",
) -> None:
    """Save a search: from now on its studies are kept as they come, change and go."""
    run(
        site_of_home(),
        lambda connection: datasets.create(connection, name, query, description, by=user()),
    )
    say(f"{name} is made")


@dataset_app.command("list")
def list_datasets(as_json: AsJson = False) -> None:
    """The datasets of the site and their versions."""
    rows = run(site_of_home(), datasets.list_datasets)
    _show(
        [asdict(row) for row in rows],
        as_json,
        lambda row: f"{_full(row)}  {row['query']}  {row['description']}",
    )


@dataset_app.command("show")
def show_dataset(name: str, as_json: AsJson = False) -> None:
    """A dataset, and how many of its studies can be seen now."""

    async def look(connection: Any) -> dict[str, Any]:
        found = await datasets.show(connection, name)
        return asdict(found) | {"studies_now": await datasets.count(connection, found)}

    _show_one(run(site_of_home(), look), as_json)


@dataset_app.command("freeze")
def freeze_dataset(name: str, as_json: AsJson = False) -> None:
    """Keep the studies as they are now as a new version, with a hash of what is in them."""
    frozen = run(site_of_home(), lambda connection: datasets.freeze(connection, name, by=user()))
    if as_json:
        _show_one(asdict(frozen), as_json)
    else:
        say(f"{frozen.full_name}  {frozen.number_of_studies} studies  sha256 {frozen.sha256}")


@dataset_app.command("delete")
def delete_dataset(name: str) -> None:
    """Forget a dataset and its versions, unless a permit names them."""
    run(site_of_home(), lambda connection: datasets.delete(connection, name, by=user()))
    say(f"{name} is deleted")


@permit_app.command("request")
def request_permit(
    subject: Subject,
    dataset: Datasets,
    legal_basis: LegalBasis,
    purpose: Annotated[Purpose, typer.Option()],
    action: Actions = [Action.READ],  # noqa: B006 - never changed
    hdab_identifier: Hdab = "",
    conditions: Conditions = "",
) -> None:
    """Ask for a permit, on which somebody decides; print its identifier."""
    wanted = _wanted(subject, dataset, purpose, legal_basis, action, hdab_identifier, conditions)
    say(run(site_of_home(), lambda connection: permits.request(connection, wanted, by=user())))


@permit_app.command("grant")
def grant_permit(
    target: Annotated[
        str, typer.Argument(metavar="PERMIT|SUBJECT", help="A request, or for whom one is made.")
    ],
    until: Annotated[
        str, typer.Option(help="The last day, or the moment: 2027-01-31 or 2027-01-31T12:00:00Z.")
    ] = "",
    since: Annotated[str, typer.Option(help="The first day, or the moment.")] = "",
    reason: Reason = "",
    dataset: Datasets = [],  # noqa: B006 - never changed
    purpose: Purpose | None = None,
    legal_basis: LegalBasis = "",
    action: Actions = [],  # noqa: B006 - never changed
    hdab_identifier: Hdab = "",
    conditions: Annotated[str | None, typer.Option(help="What its holder has to keep to.")] = None,
) -> None:
    """Grant a request, or ask and grant at once; print the permit's identifier."""
    actions = frozenset(action) or None
    terms = Terms(moment(since), moment(until, is_end=True), conditions, actions, reason)
    wanted = None
    if not permits.is_permit_id(target):
        if purpose is None:
            raise typer.BadParameter("name the purpose", param_hint="--purpose")
        wanted = _wanted(
            target, dataset, purpose, legal_basis, action or [Action.READ], hdab_identifier, conditions or ""
        )
    elif dataset or purpose or legal_basis or hdab_identifier:
        raise typer.BadParameter("datasets, purpose and basis are those of the request", param_hint="PERMIT")

    async def decide(connection: Any) -> str:
        permit_id = await permits.request(connection, wanted, by=user()) if wanted else target
        await permits.grant(connection, permit_id, terms, by=user())
        return permit_id

    say(run(site_of_home(), decide))


@permit_app.command("reject")
def reject_permit(permit_id: str, reason: Reason) -> None:
    """Refuse what was requested."""
    run(site_of_home(), lambda connection: permits.reject(connection, permit_id, reason, by=user()))
    say(f"{permit_id} is rejected")


@permit_app.command("revoke")
def revoke_permit(permit_id: str, reason: Reason = "") -> None:
    """End a permit now: what is under way by it is broken off within a second."""
    run(site_of_home(), lambda connection: permits.revoke(connection, permit_id, reason, by=user()))
    say(f"{permit_id} is revoked")


@permit_app.command("list")
def list_permits(
    subject: Annotated[str | None, typer.Option(help="Only those of this principal.")] = None,
    as_json: AsJson = False,
) -> None:
    """The permits, in whatever state."""
    rows = run(site_of_home(), lambda connection: permits.list_permits(connection, subject))
    _show([asdict(row) for row in rows], as_json, _line)


@permit_app.command("show")
def show_permit(permit_id: str, as_json: AsJson = False) -> None:
    """All that is known of a permit."""
    found = run(site_of_home(), lambda connection: permits.show(connection, permit_id))
    _show_one(asdict(found) | {"article": _article(found)}, as_json)


@role_app.command("grant")
def grant_role(subject: Subject, role: Role) -> None:
    """Give a principal a role."""
    run(site_of_home(), lambda connection: permits.add_role(connection, subject, role, by=user()))
    say(f"{subject} is {role}")


@role_app.command("revoke")
def revoke_role(subject: Subject, role: Role) -> None:
    """Take a role from a principal."""
    run(site_of_home(), lambda connection: permits.remove_role(connection, subject, role, by=user()))
    say(f"{subject} is not {role} any more")


@role_app.command("list")
def list_roles(as_json: AsJson = False) -> None:
    """Every role that was given here; those that a credential proves are not listed."""
    rows = run(site_of_home(), permits.list_roles)
    _show([asdict(row) for row in rows], as_json, lambda row: f"{row['subject']}  {row['role']}")


def moment(text: str, *, is_end: bool = False) -> datetime | None:
    """A moment, or the beginning or the end of a day in UTC. Raises typer.BadParameter."""
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter("write a day as 2027-01-31, a moment as 2027-01-31T12:00:00Z") from None
    found = found if found.tzinfo else found.replace(tzinfo=UTC)
    return found + timedelta(days=1) if is_end and len(text) <= len("2027-01-31") else found


def _wanted(
    subject: str,
    names: Sequence[str],
    purpose: Purpose,
    legal_basis: str,
    actions: Sequence[Action],
    hdab_identifier: str,
    conditions: str,
) -> Wanted:
    return Wanted(
        subject, tuple(names), purpose, legal_basis, frozenset(actions), hdab_identifier, conditions
    )


def _article(found: Application) -> str:
    return ARTICLES.get(Purpose(found.purpose), "")


def _line(row: dict[str, Any]) -> str:
    until = f"until {row['valid_until']:%Y-%m-%d %H:%M}" if row["valid_until"] else ""
    named = f"{','.join(row['datasets'])}  {','.join(row['actions'])}  {row['purpose']}  {until}"
    return f"{row['permit_id']}  {row['state']}  {row['subject']}  {named}".rstrip()


def _full(row: dict[str, Any]) -> str:
    return f"{row['name']}@{row['version']}" if row["version"] else str(row["name"])


def _show(rows: Sequence[dict[str, Any]], as_json: bool, line: Any) -> None:
    if as_json:
        out.print_json(json.dumps(rows, default=str))
    for row in [] if as_json else rows:
        out.print(line(row).rstrip(), markup=False)


def _show_one(row: dict[str, Any], as_json: bool) -> None:
    if as_json:
        out.print_json(json.dumps(row, default=str))
    for name, value in () if as_json else row.items():
        if value not in (None, "", []):
            out.print(f"{name.replace('_', ' ')}: {value}", markup=False)
