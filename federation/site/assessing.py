"""What a site does when it is asked to evaluate a package, and the figures of it that a statement holds."""

import hashlib
import hmac

from archive import evaluations
from archive.findings import Task
from archive.pool import connect, translated_errors
from federation.evaluation.packages import LEAST_CELL, Evaluated, evaluate_package
from federation.evaluation.scoring import plan_of
from federation.examples.held_out import held_out
from federation.site.work import Figures, Order, Outcome
from federation.site_key import derive
from inference.trust import trusted_keys


def assess(order: Order, package: tuple[bytes, bytes]) -> Outcome:
    """Run a package on what the site holds out. Raises Forbidden, PackageError, BadRequest, Unavailable.

    In the statement, `weights_in` is the SHA-256 of the passport's text, `weights_out` that of what is told.
    """
    manifest, (passport, network) = order.manifest, package
    plan_of(manifest.task)
    with held_out(
        *(order.settings, Task(manifest.task), manifest.dataset, order.permit),
        purpose=manifest.purpose,
        hub=manifest.hub,
    ) as given:
        told = evaluate_package(
            *(passport, network, given.exams),
            trusted=trusted_keys(order.settings.home),
            approved=manifest.packages,
        )
    digest = hashlib.sha256(passport).hexdigest()
    _keep(order, digest, told)
    figures = Figures(
        metrics={"exams": float(told.exams)},
        weights_in=digest,
        weights_out=hashlib.sha256(told.text).hexdigest(),
        dataset_version=given.dataset_version,
        cohort=given.cohort,
        opt_outs=given.opt_outs,
        studies=told.exams,
        patients=(),
        number_of_patients=told.exams,
    )
    return Outcome(figures, release=told.text)


def _keep(order: Order, package: str, told: Evaluated) -> None:
    """Note of whom the package's figures are told. Raises Forbidden where that tells of a few."""
    key = derive(order.settings, "evaluated")
    with connect(order.settings.database_url) as connection, translated_errors():
        for stratum, patients in told.patients.items():
            hashes = [hmac.digest(key, one.encode(), "sha256") for one in patients]
            evaluations.tell_of(connection, f"{package} {stratum}", hashes, LEAST_CELL)
