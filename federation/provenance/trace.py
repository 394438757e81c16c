"""What a model was made of, as its package tells, verified from its own bytes: which data, whose, under which permits.

At a site it also tells whether a patient or a study is in what the model learnt from, by the site's own cohorts.
"""

import base64
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from archive.errors import BadRequest, NotFound
from federation.provenance import cohort
from federation.provenance.cohort import Proof
from federation.provenance.record import Round, Signed, from_base64
from federation.provenance.verification import TRAIN, Provenance, verify
from inference.errors import PackageError
from inference.package import Package
from inference.signature import identify


@dataclass(frozen=True, slots=True)
class Use:
    """What a site's data did for a model: how, in which rounds, under which permits; counts are its last ones.

    `kind` is `train`, or `evaluate` for exams that the weights were only judged on. `versions` are dataset and hash.
    """

    site: str
    kind: str
    rounds: tuple[int, ...]
    permits: tuple[str, ...]
    versions: tuple[tuple[str, str], ...]
    cohorts: tuple[str, ...]
    opt_outs: tuple[str, ...]
    studies: int
    patients: int
    epsilon: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Found:
    """That a model learnt from a study: in these rounds of the site, shown by a proof for each cohort."""

    study_instance_uid: str
    rounds: tuple[int, ...]
    proofs: tuple[tuple[str, Proof], ...]  # root, proof

    def to_json(self) -> dict[str, Any]:
        proofs = [{"cohort": root} | asdict(proof) for root, proof in self.proofs]
        return {"study": self.study_instance_uid, "rounds": self.rounds, "proofs": proofs}


def read_provenance(package: Package, hub_key: bytes | None = None) -> Provenance:
    """The record in a package, whose signature was verified, and that it is of this very network.

    `hub_key` is the key of the hub that the site knows, 32 bytes. Raises PackageError where something of it does not
    hold, NotFound for a package without a record.
    """
    content = package.read_record()
    if content is None:
        raise NotFound("the model has no record: it was not trained across sites")
    try:
        found = verify(content, hub_key)
    except BadRequest as error:
        raise PackageError(f"{package.folder}: {error}") from error
    wrong = [what for what, same in _ties(package, found) if not same]
    if wrong:
        raise PackageError(f"{package.folder}: the record is of another {wrong[0]}")
    return found


def _ties(package: Package, found: Provenance) -> Iterable[tuple[str, bool]]:
    end, passport = found.end, package.passport
    yield "run, which has not ended", end is not None
    if end is None:
        return
    signature = passport.signature
    yield "network", end.network == passport.network_sha256
    yield "model", (end.model, end.version) == (passport.identity.name, passport.identity.version)
    yield "task", found.manifest.task == passport.identity.task
    yield "key", signature is not None and identify(model_key(found)) == signature.key


def model_key(found: Provenance) -> Ed25519PublicKey:
    """The key with which the hub says that it signs its models. Raises PackageError."""
    try:
        return Ed25519PublicKey.from_public_bytes(from_base64(found.end.model_key if found.end else ""))
    except (BadRequest, ValueError):
        raise PackageError("the record names no key that signs the model") from None


def uses(found: Provenance) -> list[Use]:
    """What each site's data did, by the names of sites: those learnt from, then those that weights were judged on."""
    judged = [one for one in found.rounds if one.stage != TRAIN]
    return [*_uses(TRAIN, found.learnt), *_uses("evaluate", judged)]


def _uses(kind: str, rounds: Sequence[Round]) -> list[Use]:
    by_site: dict[str, Use] = {}
    for one in rounds:
        for signed in one.statements:
            by_site[signed.statement.site] = _with(by_site.get(signed.statement.site), kind, signed)
    return [by_site[site] for site in sorted(by_site)]


def _with(use: Use | None, kind: str, signed: Signed) -> Use:
    said = signed.statement
    use = use or Use(said.site, kind, (), (), (), (), (), 0, 0, 0.0)
    return replace(
        use,
        rounds=(*use.rounds, said.round),
        permits=_added(use.permits, said.permit),
        versions=_added(use.versions, (said.dataset, said.dataset_version)),
        cohorts=_added(use.cohorts, said.cohort),
        opt_outs=_added(use.opt_outs, said.opt_outs),
        studies=said.studies,
        patients=said.patients,
        epsilon=max(use.epsilon, said.epsilon),
    )


def _added(told: tuple[Any, ...], one: Any) -> tuple[Any, ...]:
    return told if one in told else (*told, one)


def find_study(
    found: Provenance,
    study: str,
    site_key: bytes | None,
    salt_key: bytes,
    leaves_of: Callable[[str], Sequence[bytes]],
) -> Found | None:
    """Where the model learnt from a study of the site whose public key is `site_key`; None where it did not.

    `leaves_of` gives the leaves of a cohort by its root, and raises NotFound for one that the site has not kept. So
    cohorts are found that it stated under an earlier key. Raises NotFound where it lacks one of the key that it has.
    """
    rounds: list[int] = []
    proofs: dict[str, Proof | None] = {}
    for one in found.learnt:
        for signed in one.statements:
            root = signed.statement.cohort
            if root not in proofs:
                leaves = _leaves(root, leaves_of, is_own=signed.key == site_key)
                proofs[root] = _prove(root, study, salt_key, leaves) if leaves else None
            if proofs[root]:
                rounds.append(one.round)
    shown = tuple((root, proof) for root, proof in proofs.items() if proof)
    return Found(study, tuple(rounds), shown) if shown else None


def _leaves(
    root: str, leaves_of: Callable[[str], Sequence[bytes]], *, is_own: bool
) -> Sequence[bytes] | None:
    try:
        return leaves_of(root)
    except NotFound:
        if is_own:
            raise NotFound(
                "this site has lost a cohort that it stated: whether a study is in it can't be told"
            ) from None
        return None


def _prove(root: str, study: str, salt_key: bytes, leaves: Sequence[bytes]) -> Proof | None:
    """Raises BadRequest where the leaves are not those of the root."""
    if cohort.root(leaves) != root:
        raise BadRequest("a cohort that the site has kept is not the one that it stated")
    try:
        proof = cohort.prove(salt_key, leaves, study)
    except NotFound:
        return None
    if not cohort.verify(root, proof):
        raise BadRequest("a cohort's proof does not hold")
    return proof


def to_json(found: Provenance) -> dict[str, Any]:
    """The record as `senogate model trace --json` tells it."""
    manifest, end = found.manifest, found.end
    return {
        "run": manifest.run,
        "hub": manifest.hub,
        "hub_key": base64.b64encode(found.hub_key).decode("ascii"),
        "manifest": dict(found.start.manifest),
        "manifest_sha256": manifest.sha256,
        "rounds": [_round_json(one) for one in found.rounds],
        "best": end.best if end else None,
        "weights": end.weights if end else None,
        "network": end.network if end else None,
        "uses": [one.to_json() for one in uses(found)],
    }


def _round_json(one: Round) -> dict[str, Any]:
    return {
        "round": one.round,
        "stage": one.stage,
        "at": one.at,
        "weights_in": one.weights_in,
        "weights_out": one.weights_out,
        "sites": {each.statement.site: dict(each.statement.metrics) for each in one.statements},
        "absent": {site: str(reason) for site, reason in one.absent.items()},
        "figures": dict(one.figures),
    }
