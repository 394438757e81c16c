"""A package on exams that a site holds out: run as the product runs it, or refused (federation.evaluation.packages)."""

import hashlib
import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from archive.errors import BadRequest, Forbidden
from federation.evaluation.packages import LEAST_CELL, Exam, evaluate_package, join
from federation.evaluation.release import Seen, protect, to_text
from federation.evaluation.scoring import ANSWERS, counts_of, groups_of, plan_of
from federation.training.task import Label
from inference import package
from inference.errors import PackageError
from inference.installed import BUILT_IN
from inference.package import NETWORK
from inference.passport import PASSPORT
from inference.pipeline import read_study
from inference.session import open_model
from inference.signature import identify
from inference.trust import shipped_keys
from tests.federation.exams import draw_exams

FOLDER = BUILT_IN / "phantom_density"
TEXT, NETWORK_BYTES = (FOLDER / PASSPORT).read_bytes(), (FOLDER / NETWORK).read_bytes()
SHA256 = hashlib.sha256(TEXT).hexdigest()


@pytest.fixture(scope="module")
def exams() -> list[Exam]:
    drawn = draw_exams("alpha", "aabbbccddd") + draw_exams("beta", "aabbbccddd", seed=1)
    return [
        Exam(
            one.study_instance_uid,
            one.patient_id,
            one.instances,
            Label("csv", one.category),
            "HOLOGIC, Inc.",
            55,
        )
        for one in drawn
    ]


def evaluate(exams, *, text=TEXT, trusted=None, approved=(SHA256,)):
    keys = shipped_keys() if trusted is None else trusted
    return evaluate_package(text, NETWORK_BYTES, exams, trusted=keys, approved=approved)


def test_what_is_told_is_what_the_product_answers(exams):
    """Of the same exams, by `inference.pipeline` on the installed package."""
    model = open_model(package.load(FOLDER))
    seen = [
        Seen(
            counts_of(read_study(one.parts, model), one.label),
            groups_of(one.label, one.manufacturer, one.age),
        )
        for one in exams
    ]
    wanted = protect(seen, 0, plan_of("density"), LEAST_CELL)
    assert evaluate(exams).text == to_text(wanted, task="density", package=SHA256)


def test_sites_are_joined_in_all_and_by_their_groups(exams):
    text = evaluate(exams).text
    joined = join({"north": text, "south": text}, task="density", package=SHA256)
    assert joined["exams"] == 40
    numbers = {
        name: {label: one["exams"] for label, one in told.items()} for name, told in joined["groups"].items()
    }
    assert numbers == {
        "site": {"north": 20, "south": 20}, "vendor": {"HOLOGIC": 40}, "age": {"50 to 59": 40},
    }  # fmt: skip
    assert [one["name"] for one in joined["figures"]] == [
        "area under the curve", "calibration error", "quadratic kappa", "linear kappa", "accuracy",
    ]  # fmt: skip
    assert sum(map(sum, joined["curves"]["answers"])) == pytest.approx(40, abs=0.5)


def test_nothing_that_leaves_names_a_study_or_a_patient(exams):
    text = evaluate(exams).text.decode()
    assert not any(name in text for one in exams for name in (one.study_instance_uid, one.patient_id))
    assert all(count >= 5 for table in json.loads(text)["tables"].values() for _, _, count in table["runs"])


def test_one_exam_of_each_patient_counts(exams):
    twice = [
        *exams,
        *(Exam(f"{one.study_instance_uid}.1", one.patient_id, one.parts, one.label) for one in exams),
    ]
    assert evaluate(twice).exams == 20


def test_a_package_that_the_run_does_not_name_is_refused(exams):
    with pytest.raises(Forbidden):
        evaluate(exams, approved=("0" * 64,))


def test_a_package_that_the_site_does_not_trust_is_refused(exams):
    stranger = Ed25519PrivateKey.generate().public_key()
    with pytest.raises(PackageError, match="not trusted"):
        evaluate(exams, trusted={identify(stranger): stranger})


def test_a_passport_that_was_changed_is_refused_though_the_run_names_it(exams):
    changed = TEXT.replace(b"required = true", b"required = false")
    with pytest.raises(PackageError, match="changed"):
        evaluate(exams, text=changed, approved=(hashlib.sha256(changed).hexdigest(),))


def test_another_network_than_the_passport_names_is_refused(exams):
    with pytest.raises(PackageError, match="sha256"):
        evaluate_package(TEXT, NETWORK_BYTES + b"0", exams, trusted=shipped_keys(), approved=(SHA256,))


def test_of_too_few_patients_nothing_is_told(exams):
    with pytest.raises(BadRequest):
        evaluate(exams[:4])


def test_exams_that_the_model_was_not_made_for_are_told_as_such_where_they_are_enough(exams):
    """Exams of two views: the passport requires four."""
    halves = [
        Exam(f"{one.study_instance_uid}.2", f"{one.patient_id}+", one.parts[:2], one.label) for one in exams
    ]
    assert join({"a": evaluate([*exams, *halves]).text}, task="density", package=SHA256)["unread"] == {
        "a": 20
    }


def test_a_site_that_tells_of_another_package_is_refused(exams):
    text = evaluate(exams).text
    with pytest.raises(BadRequest):
        join({"north": text}, task="density", package="0" * 64)
    with pytest.raises(BadRequest):
        join({}, task="density", package=SHA256)


def test_a_group_whose_errors_are_too_few_to_tell_is_taken_to_be_like_all():
    """Of one vendor there are two errors, of the other eight: they are joined to right answers in both."""
    plan = plan_of("density")
    stratum, cells = "negative", ANSWERS["negative"]
    seen = []
    for vendor, errors in (("HOLOGIC", 2), ("SIEMENS", 8)):
        answers = [("a", "b")] * errors + [("a", "a")] * (60 - errors) + [("b", "b")] * 60
        seen += [
            Seen(
                {stratum: {10: 1}, "answers, negative": {cells.index(one): 1}},
                {"vendor": vendor, "age": "40 to 49"},
            )
            for one in answers
        ]
        seen += [
            Seen({"positive": {90: 1}, "answers, positive": {0: 1}}, {"vendor": vendor, "age": "40 to 49"})
            for _ in range(60)
        ]
    text = to_text(protect(seen, 0, plan, LEAST_CELL), task="density", package="p")
    groups = join({"north": text}, task="density", package="p")["groups"]["vendor"]
    told = {
        label: next(f["value"] for f in one["figures"] if f["name"] == "accuracy")
        for label, one in groups.items()
    }
    assert told == pytest.approx({"HOLOGIC": 1 - 5 / 180, "SIEMENS": 1 - 5 / 180}, abs=0.002)
