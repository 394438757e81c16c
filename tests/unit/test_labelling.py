"""Who is believed of an exam: the steward's file, then readers' reports, then what a reader accepted of a model's."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from archive.accepted import Said
from archive.findings import Evaluation, Findings, Task
from archive.label_file import Known, Lesion
from archive.reviews import Decision
from federation.examples.labelling import Sources, label_of
from federation.examples.reports import Area, Report
from federation.training.task import Label, Mark
from inference.density import BREAST_COMPOSITION, CATEGORIES
from inference.instance import describe
from inference.views import standard_views
from tests.unit.findings import headers, lesion_findings

EXAM = headers()
VIEWS = standard_views([describe(one) for one in EXAM])
UIDS = [str(one.SOPInstanceUID) for one in EXAM]  # L CC, R CC, L MLO, R MLO
BOX = (1.0, 2.0, 3.0, 4.0)
ACCEPT, REJECT = Decision.ACCEPT, Decision.REJECT
FINDINGS = lesion_findings()


def report(density: str | None = None, areas: Sequence[Area] | None = None, verified: bool = False) -> Report:
    return Report(density, None if areas is None else tuple(areas), verified, ("20240101", ""), "1.2")


def density(category: str) -> Findings:
    told = replace(FINDINGS.evaluations[0], concept=BREAST_COMPOSITION, value=CATEGORIES[category])
    return replace(FINDINGS, task=Task.DENSITY, evaluations=(replace(told, likelihoods=()),))


def said(*decisions: tuple[str, Decision], of: Findings = FINDINGS) -> list[Said]:
    return [Said(of, "f", lesion, decision) for lesion, decision in decisions]


def category(sources: Sources) -> Label | None:
    return label_of("density", sources, VIEWS)


def lesions(sources: Sources) -> Label | None:
    return label_of("lesions", sources, VIEWS)


class TestPrecedence:
    def test_the_file_comes_before_reports_and_these_before_accepted_findings(self) -> None:
        every = Sources(Known("a"), [report("b")], said(("", ACCEPT), of=density("c")))
        assert category(every) == Label("csv", "a")
        assert category(replace(every, imported=Known())) == Label("reader-sr", "b")
        assert category(replace(every, imported=Known(), reports=())) == Label("accepted-finding", "c")
        assert category(Sources()) is None

    def test_each_task_has_its_own_source(self) -> None:
        sources = Sources(Known("a"), [report("b", [Area(UIDS[3], "mass", BOX, False)])])
        assert category(sources) == Label("csv", "a")
        assert lesions(sources) == Label("reader-sr", "a", (Mark(("R", "MLO"), "mass", BOX),))

    def test_a_verified_report_comes_before_another(self) -> None:
        assert category(Sources(reports=[report("a"), report("d", verified=True)])) == Label("reader-sr", "d")

    def test_no_lesions_in_the_file_is_a_label(self) -> None:
        marked = [report(areas=[Area(UIDS[0], "mass", BOX, False)])]
        assert lesions(Sources(Known(lesions=()), marked)) == Label("csv")

    def test_the_file_names_views(self) -> None:
        known = Known(lesions=(Lesion(("L", "CC"), "calcifications", BOX),))
        assert lesions(Sources(known)) == Label("csv", marks=(Mark(("L", "CC"), "calcifications", BOX),))


class TestReports:
    @pytest.mark.parametrize(
        "unfit",
        [Area("1.2", "mass", BOX, False), Area(UIDS[0], "", BOX, False), Area(UIDS[0], "mass", BOX, True)],
    )
    def test_what_can_not_be_placed_makes_no_label(self, unfit: Area) -> None:
        """Else its view would be learnt as one without a lesion."""
        assert lesions(Sources(reports=[report(areas=[Area(UIDS[1], "mass", BOX, False), unfit])])) is None

    def test_what_is_benign_is_passed_over(self) -> None:
        areas = [Area(UIDS[1], "mass", BOX, False), Area("1.2", "other", BOX, False)]
        found = lesions(Sources(reports=[report(areas=areas)]))
        assert found and len(found.marks) == 1


class TestAcceptedFindings:
    def test_all_that_is_accepted_as_a_whole_is_a_label(self) -> None:
        found = lesions(Sources(said=said(("", ACCEPT))))
        assert found and found.source == "accepted-finding"
        assert sorted((mark.view, mark.kind) for mark in found.marks) == [
            (("L", "CC"), "mass"), (("L", "MLO"), "mass"), (("R", "CC"), "calcifications"),
        ]  # fmt: skip

    def test_a_lesion_that_is_rejected_goes(self) -> None:
        found = lesions(Sources(said=said(("", ACCEPT), (FINDINGS.lesions[0].name, REJECT))))
        assert found and {mark.kind for mark in found.marks} == {"calcifications"}

    def test_each_lesion_may_be_decided_on(self) -> None:
        names = [one.name for one in FINDINGS.lesions]
        assert lesions(Sources(said=said(*((name, REJECT) for name in names)))) == Label("accepted-finding")

    @pytest.mark.parametrize(
        "decisions",
        [
            [("", REJECT)],
            [("", ACCEPT), ("", REJECT)],
            [(FINDINGS.lesions[0].name, ACCEPT)],
            [("", ACCEPT), (FINDINGS.lesions[0].name, ACCEPT), (FINDINGS.lesions[0].name, REJECT)],
        ],
    )
    def test_what_is_rejected_open_or_disputed_is_no_label(
        self, decisions: list[tuple[str, Decision]]
    ) -> None:
        assert lesions(Sources(said=said(*decisions))) is None

    def test_the_findings_that_were_decided_on_last_count(self) -> None:
        earlier = [Said(density("a"), "earlier", "", ACCEPT)]
        assert category(Sources(said=[*earlier, *said(("", ACCEPT), of=density("b"))])) == Label(
            "accepted-finding", "b"
        )

    def test_a_density_of_another_concept_is_none(self) -> None:
        other = replace(density("a").evaluations[0], concept=FINDINGS.evaluations[-1].value)
        assert isinstance(other, Evaluation)
        findings = replace(density("a"), evaluations=(other,))
        assert category(Sources(said=said(("", ACCEPT), of=findings))) is None
