"""What Flower runs at the hub for a run, in a process of its own: it works on the run, and on no other."""

import logging
from functools import partial

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp
from psycopg import Connection

from archive import evaluations, runs, settings
from archive.errors import BadRequest, ConfigurationError
from archive.runs import Run
from archive.settings import Settings
from federation.evaluation.packages import join
from federation.hub import proposal
from federation.hub.assessment import Assessment, Told, releases
from federation.hub.course import Training
from federation.hub.ledger import Ended, PostgresLedger
from federation.hub.presence import alone
from federation.hub.rounds import Held, NoQuorum, Rounds
from federation.manifest import Kind, Manifest, parse_manifest
from federation.provenance import passport
from federation.provenance.passport import Standing
from federation.training.task import task_of
from federation.training.weights import weights_hash
from inference.errors import PackageError
from inference.passport_reading import parse_passport

log = logging.getLogger("senogate.federation")
app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Work on the run that is named beside the bundle. What can't be helped ends the run; the rest is tried again."""
    serve(settings.load(), grid, str(context.run_config["run"]))


def serve(site: Settings, grid: Grid, run: str) -> None:
    """Work on a run until it has an end, or is another's. Raises Unavailable, and what Flower's grid raises."""
    number = grid.run.run_id
    ledger = PostgresLedger(site, run, number)
    with alone(proposal.folder_of(site, run), number):
        try:
            _work(site, grid, ledger, ledger.find())
        except Ended:
            log.info("run %s has ended, or is another's", run)
        except (NoQuorum, BadRequest, ConfigurationError, PackageError) as error:
            log.error("run %s can't go on: %s", run, error)
            ledger.fail(str(error))


def _work(site: Settings, grid: Grid, ledger: PostgresLedger, run: Run) -> None:
    manifest = parse_manifest(run.manifest)
    rounds = Rounds(grid, ledger.members, ledger.tell, polls=ledger.polls)
    if manifest.kind == Kind.EVALUATION:
        package = partial(proposal.package_of, site, run.run)
        Assessment(manifest, rounds, ledger, package, partial(_keep, ledger, manifest)).run(run.round)
        ledger.finish(None)
        return
    initial = task_of(manifest.task).initial(manifest.seed)
    if weights_hash(initial) != manifest.initial:
        raise BadRequest("the weights to begin with are not those that the manifest names")
    training = Training(manifest, initial, rounds, ledger, proposal.folder_of(site, run.run))
    state = training.run()
    ledger.tell("the model is exported and signed")
    said = (
        f"the weights after round {state.best_round} did best"
        if state.best_round >= 0
        else "no site judged them"
    )
    ledger.finish(training.best(state), said)


def _keep(
    ledger: PostgresLedger,
    manifest: Manifest,
    standing: Standing,
    number: int,
    sha256: str,
    held: Held[Told],
) -> None:
    """Write down what sites told of a package."""
    told = releases(held)
    joined = join(told, task=manifest.task, package=sha256)
    figures = {one["name"]: one["value"] for one in joined["figures"]}
    read = parse_passport(proposal.package_of(ledger.settings, manifest.run, sha256)[0])

    def work(connection: Connection, run: Run) -> None:
        signed = [one.signed for one in held.answers.values()]
        passport.record_round(
            *(connection, ledger.key(), standing, signed, held.absent, standing.weights_in, {}),
            stage="evaluate",
        )
        evaluations.add(
            *(connection, run.run, sha256),
            model={
                "name": read.identity.name,
                "version": read.identity.version,
                "title": read.identity.title,
                "task": manifest.task,
                "trained_on": read.training.trained_on,
            },
            dataset=manifest.dataset,
            releases=told,
            joined=joined,
        )
        sites = {name: {"absent": str(reason)} for name, reason in held.absent.items()}
        runs.complete_round(connection, run.run, number, figures, sites)

    ledger.do(work)
