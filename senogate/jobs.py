"""`senogate job`: jobs over datasets, asked for and decided on at the site itself."""

import hashlib
import json
from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from psycopg import AsyncConnection

from archive import job_packages, jobs, permits
from archive.errors import BadRequest, Forbidden
from archive.job_questions import JobKind, read_question
from archive.jobs import JobState
from senogate.operator import AsJson, out, run, say, site_of_home
from senogate.user import user

app = typer.Typer(no_args_is_help=True, help="Jobs over datasets, of which checked aggregates come out.")
JobId = Annotated[str, typer.Argument(metavar="JOB", help="As `senogate job list` shows it: J17.")]
Names = Annotated[list[str], typer.Option(help="May be given several times.")]
_CHUNK = 1024**2


@app.command("submit")
def submit(
    kind: Annotated[JobKind, typer.Argument()],
    permit: Annotated[str, typer.Option(help="The permit; the answer is its holder's.")],
    dataset: Annotated[str, typer.Option()],
    package: Annotated[str, typer.Option(help="The SHA-256 of a passport, of an evaluation.")] = "",
    feature: Names = [],  # noqa: B006 - never changed
    label: Names = [],  # noqa: B006 - never changed
    group: Names = [],  # noqa: B006 - never changed
    only: Annotated[
        list[str], typer.Option("--filter", help="DIMENSION=VALUE, may be given several times.")
    ] = [],  # noqa: B006
) -> None:
    """Ask for a job under a permit; print its identifier."""
    named = {"features": feature, "labels": label, "groups": group}
    members: dict[str, Any] = {"kind": str(kind)} | {name: each for name, each in named.items() if each}
    members |= {"package": package} if package else {}
    members |= {"filters": filters} if (filters := _filters(only)) else {}
    question, settings = read_question(members), site_of_home()

    async def ask(connection: AsyncConnection) -> str:
        holder = (await permits.show(connection, permit)).subject
        if not await jobs.is_allowed(connection, holder, permit, dataset):
            raise Forbidden("the permit does not allow jobs.run on this dataset now")
        most = settings.jobs_per_permit
        return await jobs.submit(connection, holder, permit, dataset, question, most=most, by=user())

    say(run(settings, ask))


def _filters(given: list[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not equals:
            raise BadRequest("a filter is written as DIMENSION=VALUE")
        found.setdefault(name, []).append(value)
    return found


@app.command("list")
def list_jobs(
    subject: Annotated[str | None, typer.Option(help="Only those of this principal.")] = None,
    as_json: AsJson = False,
) -> None:
    """The newest jobs, in whatever state."""
    found = run(site_of_home(), lambda connection: jobs.list_jobs(connection, subject))
    if as_json:
        out.print_json(json.dumps([asdict(one) for one in found], default=str))
    for one in [] if as_json else found:
        line = f"{one.job_id}  {one.state}  {one.kind}  {one.dataset}  {one.subject}  {one.permit}"
        out.print(f"{line}  {one.done}/{one.total}" if one.total else line, markup=False)


@app.command("show")
def show(
    job_id: JobId,
    answer: Annotated[
        bool, typer.Option("--answer", help="What it came to, before its release, too.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """All that is known of a job, with what the output check found."""
    if answer:
        text = run(site_of_home(), lambda connection: jobs.result(connection, job_id, checked=True))
        out.print_json(text)
        return
    found = asdict(run(site_of_home(), lambda connection: jobs.show(connection, job_id)))
    if as_json:
        out.print_json(json.dumps(found, default=str))
    for name, value in () if as_json else found.items():
        if value not in (None, "", [], {}):
            out.print(f"{name.replace('_', ' ')}: {value}", markup=False)


@app.command("approve")
def approve(job_id: JobId) -> None:
    """Let a job run that waits for it."""
    run(site_of_home(), lambda connection: jobs.approve(connection, job_id, by=user()))
    say(f"{job_id} is due")


@app.command("refuse")
def refuse(job_id: JobId, reason: Annotated[str, typer.Option(help="Why; its requester reads it.")]) -> None:
    """End a job, or keep its answer in."""
    run(site_of_home(), lambda connection: jobs.refuse(connection, job_id, reason, by=user()))
    say(f"{job_id} is refused")


@app.command("cancel")
def cancel(job_id: JobId) -> None:
    """End a job for its requester."""
    run(site_of_home(), lambda connection: jobs.cancel(connection, job_id, by=user()))
    say(f"{job_id} is cancelled")


@app.command("release")
def release(job_id: JobId) -> None:
    """Let a checked answer out; exit status 1 where its permit has ended, or the job has to begin anew."""
    state = run(site_of_home(), lambda connection: jobs.release(connection, job_id, by=user()))
    say(f"{job_id} is {state}")
    if state is not JobState.RELEASED:
        raise typer.Exit(1)


@app.command("packages")
def list_packages(as_json: AsJson = False) -> None:
    """The packages that were sent in for jobs."""
    found = run(site_of_home(), job_packages.list_packages)
    if as_json:
        out.print_json(json.dumps([asdict(one) for one in found], default=str))
    for one in [] if as_json else found:
        state = "approved" if one.approved_at else "whole" if one.is_whole else "without its network"
        out.print(f"{one.package}  {state}  {one.sent_by}", markup=False)


@app.command("send-package")
def send_package(
    folder: Annotated[
        Path, typer.Argument(exists=True, file_okay=False, help="With passport.toml and model.onnx.")
    ],
) -> None:
    """Send in a package for jobs alone: it is not added to the site; print its passport's SHA-256."""
    passport = _read(folder / "passport.toml")
    sha256 = hashlib.sha256(passport).hexdigest()

    async def send(connection: AsyncConnection) -> None:
        await job_packages.add(connection, sha256, passport, by=user())
        await job_packages.add_network(connection, sha256, _chunks(folder / "model.onnx"), by=user())

    run(site_of_home(), send)
    say(sha256)


@app.command("approve-package")
def approve_package(package: Annotated[str, typer.Argument(help="Its passport's SHA-256.")]) -> None:
    """Let jobs evaluate a package whoever signed it."""
    run(site_of_home(), lambda connection: job_packages.approve(connection, package, by=user()))
    say(f"{package} is approved")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadRequest(f"{path} can't be read: {error.strerror}") from None


async def _chunks(path: Path) -> AsyncIterator[bytes]:
    content = memoryview(_read(path))
    for start in range(0, len(content), _CHUNK):
        yield bytes(content[start : start + _CHUNK])
