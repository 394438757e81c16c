"""`senogate federation runs|approve-run|refuse-run|spent|policy`: what a site's steward sees of runs, and decides."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any

import typer
from psycopg import AsyncConnection

from archive import approvals
from archive.answer import Decision
from archive.approvals import Bounds, Offered, Policy
from archive.errors import BadRequest
from archive.purpose import Purpose
from archive.settings import Settings
from federation.code import code_hash
from federation.manifest import Kind, Manifest, parse_manifest
from federation.site import gate
from federation.site.approval import Allowed, Refusal, permit_for
from senogate.federation import app
from senogate.operator import AsJson, out, run, say, show, site_of_home
from senogate.user import user

policy_app = typer.Typer(
    no_args_is_help=True, help="At a site: runs that it takes part in without being asked."
)
app.add_typer(policy_app, name="policy")

Run = Annotated[str, typer.Argument(help="As `senogate federation runs` shows it.", show_default=False)]
Epsilon = Annotated[
    float | None,
    typer.Option(
        help="The most that private training may have taken from the dataset, in all runs together."
    ),
]


@app.command("runs")
def runs(
    named: Annotated[str | None, typer.Argument(metavar="RUN", help="One run, in full.")] = None,
    as_json: AsJson = False,
) -> None:
    """At a site: the runs that its hub offers, and what is said to them."""
    settings = site_of_home()

    async def look(connection: AsyncConnection) -> list[dict[str, Any]]:
        found = (
            await approvals.latest(connection) if named is None else [await approvals.find(connection, named)]
        )
        return [await _told(connection, settings, one) for one in found]

    rows = run(settings, look)
    if as_json:
        show(rows, as_json)
    elif named is not None:
        _in_full(rows[0])
    for row in [] if as_json or named else rows:
        out.print(f"{row['run']}  {row['state']}  {row['task']} {row['kind']} of {row['dataset']} for "
                  f"{row['purpose']}, {row['rounds']} rounds: {row['answer']}", markup=False)  # fmt: skip


@app.command("approve-run")
def approve_run(named: Run, most_epsilon: Epsilon = None, as_json: AsJson = False) -> None:
    """At a site: take part in a run, as long as a permit of its hub allows it."""
    settings = site_of_home()

    async def decide(connection: AsyncConnection) -> dict[str, Any]:
        manifest = parse_manifest((await approvals.find(connection, named)).manifest)
        if most_epsilon is not None and not manifest.privacy.is_on:
            raise BadRequest("the run is not private: no bound of epsilon holds for it")
        decided = await approvals.decide(
            connection, named, Decision.APPROVED, by=user(), most_epsilon=most_epsilon
        )
        return await _told(connection, settings, decided)

    _say(run(settings, decide), as_json)


@app.command("refuse-run")
def refuse_run(named: Run, as_json: AsJson = False) -> None:
    """At a site: take no part in a run, or no more; also where a policy would."""
    settings = site_of_home()

    async def decide(connection: AsyncConnection) -> dict[str, Any]:
        decided = await approvals.decide(connection, named, Decision.REFUSED, by=user())
        return await _told(connection, settings, decided)

    _say(run(settings, decide), as_json)


@app.command("spent")
def spent(as_json: AsJson = False) -> None:
    """At a site: what private training has taken from each dataset."""
    taken = run(site_of_home(), approvals.spent)
    datasets = sorted({one.dataset for one in taken})
    rows = []
    for dataset in datasets:
        of_it = [one for one in taken if one.dataset == dataset]
        rows.append({
            "dataset": dataset,
            "epsilon": round(gate.epsilon_of(of_it), 4),
            "runs": len({one.run for one in of_it}),
            "rounds": len(of_it),
        })  # fmt: skip
    show(rows, as_json)


@policy_app.command("add")
def add_policy(
    task: Annotated[list[str], typer.Option(help="density or lesions.")],
    dataset: Annotated[list[str], typer.Option(help="Its name, with @1 behind that of a version.")],
    purpose: Annotated[list[Purpose], typer.Option()],
    until: Annotated[str, typer.Option(help="The last day, such as 2027-12-31.")],
    most_rounds: Annotated[int, typer.Option(min=1, help="Of a run.")],
    most_epsilon: Epsilon = None,
    kind: Annotated[list[Kind], typer.Option()] = [Kind.TRAINING],  # noqa: B006 - never changed
) -> None:
    """Take part in all such runs of the installed program, as long as a permit of the hub allows each."""
    bounds = Bounds(
        tuple(kind), tuple(task), tuple(dataset), tuple(purpose), most_rounds, most_epsilon, _end_of(until)
    )
    number = run(site_of_home(), lambda connection: approvals.add_policy(connection, bounds, by=user()))
    say(f"policy {number} is made")


@policy_app.command("list")
def list_policies(as_json: AsJson = False) -> None:
    """The policies, those that were withdrawn or are over too."""
    found = run(site_of_home(), approvals.policies)
    show([_shown(policy) for policy in found], as_json)


@policy_app.command("remove")
def remove_policy(number: int) -> None:
    """Withdraw a policy: what it alone approved goes on without this site."""
    run(site_of_home(), lambda connection: approvals.withdraw_policy(connection, number, by=user()))
    say(f"policy {number} is withdrawn")


def _end_of(day: str) -> datetime:
    try:
        last = date.fromisoformat(day)
    except ValueError:
        raise typer.BadParameter("write it as 2027-12-31", param_hint="--until") from None
    return datetime.combine(last + timedelta(days=1), time(), UTC)


def _shown(policy: Policy) -> dict[str, Any]:
    bounds = {name: _plain(value) for name, value in asdict(policy.bounds).items()}
    state = "withdrawn" if policy.withdrawn_at else "valid" if policy.is_valid(datetime.now(UTC)) else "over"
    made = {"created_at": policy.created_at.isoformat(), "created_by": policy.created_by}
    return {"number": policy.number, "state": state, **bounds, **made}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return [str(one) for one in value] if isinstance(value, tuple) else value


async def _told(connection: AsyncConnection, settings: Settings, offered: Offered) -> dict[str, Any]:
    """All that a steward decides on, and what the site says now."""
    manifest = parse_manifest(offered.manifest)
    standing = await gate.look(connection, settings, offered, manifest)
    decided = await gate.ask(connection, settings, offered, manifest)
    permit = permit_for(manifest, standing, datetime.now(UTC))
    return {
        "run": offered.run,
        "state": offered.state,
        **_of_manifest(manifest),
        "manifest": offered.sha256,
        "code_is_installed": manifest.code == code_hash(),
        "permit": permit.permit_id if permit else None,
        "epsilon": round(standing.epsilon, 4) if manifest.privacy.is_on else None,
        "decision": offered.decision,
        "decided_by": offered.decided_by,
        "most_epsilon": offered.most_epsilon,
        "rounds_taken_part": offered.rounds,
        "hub_was_told": offered.told,
        "answer": f"approved by {decided.by}" if isinstance(decided, Allowed) else str(decided),
        "is_allowed": isinstance(decided, Allowed),
    }


def _of_manifest(manifest: Manifest) -> dict[str, Any]:
    told = asdict(manifest) | {"created_at": manifest.created_at.isoformat()}
    del told["run"]
    return {name: list(value) if isinstance(value, tuple) else value for name, value in told.items()}


def _say(row: dict[str, Any], as_json: bool) -> None:
    if as_json:
        show([row], as_json)
        return
    say(f"{row['run']}: {row['answer']}")
    if row["answer"] == str(Refusal.DATASET):
        say("grant one: senogate permit grant " + " ".join(_permit_of(row)))


def _permit_of(row: dict[str, Any]) -> Sequence[str]:
    return (
        gate.subject_of(row["hub"]),
        f"--dataset {row['dataset']} --purpose {row['purpose']} --legal-basis …",
        "--action federation.train --action dicomweb.read",
    )


def _in_full(row: dict[str, Any]) -> None:
    for name, value in row.items():
        if value not in (None, "", [], {}):
            out.print(f"{name.replace('_', ' ')}: {_line(value)}", markup=False)


def _line(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {one}" for name, one in value.items())
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
