"""`/jobs`: people have jobs run over datasets that they may use in place; stewards let them run, and answers out."""

import hashlib
from functools import partial
from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from archive import job_packages, jobs
from archive.errors import Forbidden, NotFound
from archive.job_packages import LARGEST_NETWORK, LARGEST_PASSPORT
from archive.job_questions import DIMENSIONS, FEATURES, LABELS, JobKind, read_question
from archive.jobs import Job, JobState
from archive.persons import hers
from archive.policy import Action
from gateway.api.jobs import answer_of, approve_sent, ask, chunks, decides, find, require_sender, visible
from gateway.api.management import is_manager, require_manager
from gateway.api.payload import Payload
from gateway.portal.forms import (
    absent,
    answering,
    back_to,
    file_of,
    read_files,
    read_form,
    refusal,
    signed_page,
)
from gateway.portal.languages import gettext, marked, told
from gateway.services import grants_of, principal_of, services_of

PATH = "/jobs"
STATES = {
    "submitted": marked("Received"),
    "waiting": marked("Waits for a steward"),
    "due": marked("Waits for its turn"),
    "running": marked("Runs"),
    "checked": marked("Checked: waits for its release"),
    "released": marked("Released"),
    "refused": marked("Refused"),
    "cancelled": marked("Cancelled"),
    "stopped": marked("Stopped"),
    "failed": marked("Failed"),
    "withheld": marked("Withheld by the output check"),
}
KINDS = {
    "evaluation": marked("Evaluation of a model"),
    "features": marked("Features of exams"),
    "counts": marked("Counts of patients"),
}
RULES = {
    "size": marked("The answer is small"),
    "form": marked("It has the form of an answer"),
    "cells": marked("No cell counts one to four patients"),
    "lists": marked("No list is as long as a list of patients"),
    "words": marked("It holds words of the catalogue alone: no free text and no UID"),
    "numbers": marked("Its numbers have few digits"),
}
FEATURE_WORDS = {
    "age": marked("Age at the exam"),
    "views": marked("Standard views"),
    "pixel_spacing": marked("Pixel spacing"),
    "compression_thickness": marked("Thickness of the compressed breast"),
    "compression_force": marked("Compression force"),
    "organ_dose": marked("Organ dose of an image"),
    "breast_area": marked("Area of the breast in the image"),
    "brightness": marked("Mean brightness of the breast"),
    "brightness_quartile_1": marked("First quartile of its brightness"),
    "brightness_median": marked("Median of its brightness"),
    "brightness_quartile_3": marked("Third quartile of its brightness"),
    "bright_fraction": marked("Bright share of the breast"),
}
DIMENSION_WORDS = {
    "vendor": marked("Vendor"),
    "age": marked("Age"),
    "density": marked("Density"),
    "lesions": marked("Lesions"),
}
_WORDS = {
    "states": STATES,
    "kinds": KINDS,
    "rules": RULES,
    "feature_words": FEATURE_WORDS,
    "dimension_words": DIMENSION_WORDS,
}
_OPEN = frozenset(map(str, jobs.OPEN))
_DECIDED_ON = (JobState.WAITING, JobState.CHECKED)


async def jobs_page(request: Request, problem: str = "", status: HTTPStatus = HTTPStatus.OK) -> Response:
    """Show jobs, packages, and the forms that ask for jobs to who has a permit for them."""
    subject, manages = principal_of(request).subject, is_manager(request)
    permits = [one for one in grants_of(request).permits if Action.JOB in one.actions]
    async with services_of(request).connection() as connection:
        found = await visible(connection, request)
        packages = await job_packages.list_packages(connection, None if manages else subject)
        datasets = await jobs.usable(connection, [one.permit_id for one in permits])
        asked = {one.subject for one in found} | {one.sent_by for one in packages}
        own = await hers(connection, subject, asked)
    return signed_page(
        request,
        "jobs.html",
        status,
        problem=problem,
        own=[one for one in found if one.subject == subject],
        deciding=[one for one in found if manages and one.subject not in own and one.state in _DECIDED_ON],
        others=[one for one in found if one.subject != subject],
        not_own={one.package for one in packages if one.sent_by not in own},
        packages=packages,
        package=request.query_params.get("package", ""),
        datasets=datasets,
        features=FEATURES,
        labels=LABELS,
        dimensions=DIMENSIONS,
        **_WORDS,
    )


async def show(request: Request) -> Response:
    """GET /jobs."""
    return await jobs_page(request)


async def submit(request: Request) -> Response:
    """Ask for a job, then to its page."""
    form = await read_form(request, lists=("features", "labels", "groups"))
    question = read_question(_members(form))
    async with services_of(request).connection() as connection:
        job_id = await ask(connection, request, form.text("dataset", ""), "", question)
    return back_to(f"{PATH}/{job_id}")


def _members(form: Payload) -> dict[str, Any]:
    """The question of a form: what was left empty is left out, and so are the parts of other kinds of jobs."""
    kind = form.text("kind", "")
    named = {"evaluation": ("package",), "features": ("features", "labels", "groups"), "counts": ("groups",)}
    members: dict[str, Any] = {name: form.members[name] for name in named.get(kind, ()) if form.has(name)}
    return members | {"kind": kind}


async def job_page(request: Request, problem: str = "", status: HTTPStatus = HTTPStatus.OK) -> Response:
    """One job: where it is, what the check found, and its tables for who may see them."""
    answer: dict[str, Any] | None = None
    async with services_of(request).connection() as connection:
        job = await find(connection, request)
        may_decide = await decides(connection, request, job)
        if job.has_result:
            try:
                answer = await answer_of(connection, request, job)
            except Forbidden as error:
                problem = problem or told(error)
    return signed_page(
        request,
        "job.html",
        status,
        problem=problem,
        job=job,
        answer=answer,
        title=heading(job),
        is_open=job.state in _OPEN,
        is_own=job.subject == principal_of(request).subject,
        may_decide=may_decide,
        units={name: one.unit for name, one in FEATURES.items()},
        **_WORDS,
    )


def heading(job: Job) -> str:
    return f"{job.job_id}: {gettext(KINDS[JobKind(job.kind)])}"


async def show_job(request: Request) -> Response:
    """GET /jobs/{job}."""
    try:
        return await job_page(request)
    except NotFound:
        return absent(request)
    except Forbidden as error:
        return refusal(request, told(error))


async def cancel(request: Request) -> Response:
    """End a job of one's own."""
    async with services_of(request).connection() as connection:
        job = await find(connection, request)
        if job.subject != principal_of(request).subject:
            raise Forbidden("a job is cancelled by who asked for it; a steward refuses it")
        await jobs.cancel(connection, job.job_id, by=job.subject)
    return back_to(f"{PATH}/{job.job_id}")


async def approve(request: Request) -> Response:
    """Let a job run."""
    by, job_id = require_manager(request), request.path_params["job"]
    async with services_of(request).connection() as connection:
        await jobs.approve(connection, job_id, by=by)
    return back_to(f"{PATH}/{job_id}")


async def refuse(request: Request) -> Response:
    """End a job, or keep its answer in."""
    by, form, job_id = require_manager(request), await read_form(request), request.path_params["job"]
    async with services_of(request).connection() as connection:
        await jobs.refuse(connection, job_id, form.text("reason", ""), by=by)
    return back_to(f"{PATH}/{job_id}")


async def release(request: Request) -> Response:
    """Let an answer out."""
    by, job_id = require_manager(request), request.path_params["job"]
    async with services_of(request).connection() as connection:
        await jobs.release(connection, job_id, by=by)
    return back_to(f"{PATH}/{job_id}")


async def send_package(request: Request) -> Response:
    """POST /jobs/packages: keep a passport and the network that it names, both or neither, and lead to its job."""
    by = require_sender(request)
    async with read_files(request, number=2, most=LARGEST_PASSPORT + LARGEST_NETWORK) as form:
        passport = await file_of(form, "passport").read(LARGEST_PASSPORT + 1)
        network = chunks(file_of(form, "network").file)
        package = hashlib.sha256(passport).hexdigest()
        async with services_of(request).connection() as connection, connection.transaction():
            await job_packages.add(connection, package, passport, by=by)
            await job_packages.add_network(connection, package, network, by=by)
    return back_to(f"{PATH}?package={package}#evaluation")


async def approve_package(request: Request) -> Response:
    """Let jobs evaluate a package whoever signed it."""
    async with services_of(request).connection() as connection:
        await approve_sent(connection, request)
    return back_to(PATH)


_form, _job_form = partial(answering, jobs_page), partial(answering, job_page)
ROUTES = [
    Route(PATH, show, methods=["GET"]),
    Route(PATH, _form(submit), methods=["POST"]),
    Route(f"{PATH}/packages", _form(send_package), methods=["POST"]),
    Route(f"{PATH}/packages/{{package}}/approve", _form(approve_package), methods=["POST"]),
    Route(f"{PATH}/{{job}}", show_job, methods=["GET"]),
    Route(f"{PATH}/{{job}}/cancel", _job_form(cancel), methods=["POST"]),
    Route(f"{PATH}/{{job}}/approve", _job_form(approve), methods=["POST"]),
    Route(f"{PATH}/{{job}}/refuse", _job_form(refuse), methods=["POST"]),
    Route(f"{PATH}/{{job}}/release", _job_form(release), methods=["POST"]),
]
