"""A reader's review as an SR: read back, validated by other people's tools, compared with its golden tree."""

import io
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import highdicom.sr
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset

from archive.findings import Findings
from archive.reviews import Decision, Due
from inference.results.document import series_uids
from inference.results.review import review_sr, sop_instance_uid
from inference.results.sr import comprehensive_3d_sr
from tests.unit.findings import children, code, headers, lesion_findings, only, tree, uid
from tests.unit.sr_validator import validate

GOLDEN = Path(__file__).with_name("golden") / "review.txt"


@pytest.fixture(scope="module")
def findings() -> Findings:
    return lesion_findings()


@pytest.fixture(scope="module")
def reviewed(findings: Findings) -> FileDataset:
    """The model's report."""
    return dcmread(io.BytesIO(comprehensive_3d_sr(findings, headers(), uid)))


@pytest.fixture(scope="module")
def due(findings: Findings, reviewed: FileDataset) -> Due:
    return Due(
        review_id="0c3b",
        study_instance_uid=findings.study_instance_uid,
        lesion="L1",
        decision=Decision.REJECT,
        comment="A skin fold.\nSeen in both views.",
        observer="Reader 4F2A9C1D03",
        findings=findings,
        result_sop_instance_uid=str(reviewed.SOPInstanceUID),
        superseded="",
        number=2,
    )


def write(due: Due) -> bytes:
    return review_sr(due, headers()[0], uid)


def read(due: Due) -> FileDataset:
    return dcmread(io.BytesIO(write(due)))


def said(document: Dataset) -> Dataset:
    return only(document, "Qualitative Evaluations")


@pytest.fixture(scope="module")
def document(due: Due) -> FileDataset:
    return read(due)


class TestContent:
    def test_the_tree_is_the_golden_one(self, document: FileDataset) -> None:
        assert list(tree(document)) == GOLDEN.read_text("utf-8").splitlines()

    @pytest.mark.parametrize(
        ("decision", "value"),
        [(Decision.ACCEPT, "122775"), (Decision.REJECT, "122776"), (Decision.COMMENT, None)],
    )
    def test_the_decision(self, due: Due, decision: Decision, value: str | None) -> None:
        impressions = children(said(read(replace(due, decision=decision))), "Impression")
        assert [code(one.ConceptCodeSequence).value for one in impressions] == ([value] if value else [])

    def test_the_comment_has_the_line_ends_of_dicom(self, document: FileDataset) -> None:
        """PS3.5 section 6.1.3."""
        comment, remark = children(said(document), "Comment")
        assert comment.TextValue == "A skin fold.\r\nSeen in both views."
        assert "RESEARCH USE ONLY" in remark.TextValue and "phantoms" in remark.TextValue

    def test_a_lesion_is_that_of_the_models_report(
        self, document: FileDataset, reviewed: FileDataset
    ) -> None:
        groups = children(only(reviewed, "Imaging Measurements"), "Measurement Group")
        named = [one for one in groups if one.ContentSequence[2].get("TextValue") == "L1"]
        expected = [only(one, "Tracking Unique Identifier").UID for one in named[:2]]
        impression = only(said(document), "Impression")
        assert [one.UID for one in children(impression, "Tracking Unique Identifier")] == expected

    def test_of_the_whole_reading_no_lesion_is_named(self, due: Due) -> None:
        impression = only(said(read(replace(due, lesion=""))), "Impression")
        assert [one.ValueType for one in impression.ContentSequence] == ["COMPOSITE"]

    def test_the_model_s_report_is_its_evidence(self, document: FileDataset, reviewed: FileDataset) -> None:
        """PS3.3 C.17.2.3: all that the tree refers to is in the evidence."""
        (study,) = document.CurrentRequestedProcedureEvidenceSequence
        named = [
            one.ReferencedSOPInstanceUID
            for each in study.ReferencedSeriesSequence
            for one in each.ReferencedSOPSequence
        ]
        composite = only(only(said(document), "Impression"), "Source").ReferencedSOPSequence[0]
        assert composite.ReferencedSOPInstanceUID == reviewed.SOPInstanceUID
        assert study.ReferencedSeriesSequence[-1].SeriesInstanceUID == reviewed.SeriesInstanceUID
        assert len(named) == 5 and reviewed.SOPInstanceUID in named

    def test_a_later_decision_names_the_one_whose_place_it_takes(
        self, due: Due, document: FileDataset
    ) -> None:
        (study,) = read(replace(due, review_id="1d4c", superseded=due.review_id)).PredecessorDocumentsSequence
        (series,) = study.ReferencedSeriesSequence
        assert series.SeriesInstanceUID == document.SeriesInstanceUID
        assert series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == document.SOPInstanceUID
        assert "PredecessorDocumentsSequence" not in document

    def test_the_observer_is_a_person_by_a_pseudonym(self, document: FileDataset) -> None:
        (author,) = document.AuthorObserverSequence
        assert (author.ObserverType, str(author.PersonName)) == ("PSN", "Reader 4F2A9C1D03^")
        assert str(only(document, "Person Observer Name").PersonName) == "Reader 4F2A9C1D03^"

    def test_a_name_of_any_kind_is_a_name(self, due: Due) -> None:
        document = read(replace(due, observer="https://issuer.test#a^b=c\\d" + "x" * 80))
        (author,) = document.AuthorObserverSequence
        assert (
            str(author.PersonName).startswith("https://issuer.test#a b c d")
            and len(str(author.PersonName)) == 64
        )

    def test_highdicom_reads_it(self, document: FileDataset) -> None:
        content = highdicom.sr.Comprehensive3DSR.from_dataset(document).content
        assert content[0].name.meaning == "Imaging Measurement Report"


class TestDocument:
    def test_it_belongs_to_the_study(self, document: FileDataset) -> None:
        source = headers()[0]
        for keyword in ("PatientID", "PatientName", "StudyInstanceUID", "AccessionNumber"):
            assert str(document[keyword].value) == str(source[keyword].value)

    def test_the_same_review_gives_the_same_bytes(self, due: Due) -> None:
        assert write(due) == write(due)

    def test_its_uid_is_told_by_the_review_alone(self, due: Due, document: FileDataset) -> None:
        assert document.SOPInstanceUID == sop_instance_uid(due.review_id, uid)
        assert read(replace(due, review_id="other")).SOPInstanceUID != document.SOPInstanceUID

    def test_it_is_in_no_series_of_a_model(self, document: FileDataset, findings: Findings) -> None:
        """What a model gave and gives no more is removed with its series; reviews stay."""
        assert document.SeriesInstanceUID not in series_uids(findings, uid)

    def test_the_day_is_not_told(self, due: Due) -> None:
        """Beside dates that are shifted it would tell by how much."""
        assert b"2026" not in write(due)


@pytest.mark.parametrize("decision", Decision)
def test_other_tools_find_no_error(due: Due, decision: Decision, tmp_path: Path) -> None:
    (tmp_path / "sr").write_bytes(write(replace(due, decision=decision, superseded="1d4c")))
    for tool in ("dciodvfy", "dsrdump"):
        if not shutil.which(tool):
            pytest.skip(f"{tool} is not installed")
        answer = subprocess.run([tool, tmp_path / "sr"], capture_output=True, text=True)
        assert "Error" not in answer.stderr + answer.stdout
    assert "A skin fold." in answer.stdout


def test_pixelmed_finds_no_error(due: Due, tmp_path: Path) -> None:
    said = validate(write(due), tmp_path)
    assert ("Root Template Validation Complete" in said, "Error" in said) == (True, False)
