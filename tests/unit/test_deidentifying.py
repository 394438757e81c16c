"""`senogate deidentify`: files and folders, the report, the proofs, and what is never written."""

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from archive.errors import BadRequest, ConfigurationError
from deidentification.pseudonym import Keys
from senogate import deidentifying
from senogate.cli import app
from senogate.deidentifying import Order
from tests.unit.dicom_files import dataset as instance
from tests.unit.dicom_files import part10 as file
from tests.unit.dicom_files import prove
from tests.unit.part10_bytes import dataset, mammogram, part10

SECRET = b"a site secret of 32 bytes, exact"
ORDER = Order(SECRET, "breast-screening", 1 << 26, 1 << 26)


def begin(total: int):  # noqa: ANN201
    return lambda: None


@pytest.fixture
def exam(tmp_path: Path) -> Path:
    """Three instances in a tree that names the patient, and one file that is no instance."""
    folder = tmp_path / "MUSTERMANN"
    for number in range(3):
        place = folder / f"view {number}" / "image"
        place.parent.mkdir(parents=True)
        place.write_bytes(part10(dataset(mammogram(x00080018=("UI", b"1.2.752.99.%d" % number)))))
    (folder / "notes.txt").write_text("Erika Mustermann")
    return folder


def all_bytes(folder: Path) -> bytes:
    return b"".join(str(path).encode() + path.read_bytes() for path in folder.rglob("*") if path.is_file())


class TestRun:
    def test_writes_a_tree_of_pseudonyms(self, exam: Path, tmp_path: Path) -> None:
        report = deidentifying.run(ORDER, exam, tmp_path / "out", begin)
        assert len(report.written) == 3
        assert all(part.startswith("2.25.") for place in report.written for part in Path(place).parts)
        assert sorted(report.written) == sorted(
            str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.dcm")
        )

    def test_writes_no_identity(self, exam: Path, tmp_path: Path) -> None:
        deidentifying.run(ORDER, exam, tmp_path / "out", begin)
        assert b"mustermann" not in all_bytes(tmp_path / "out").replace(str(tmp_path).encode(), b"").lower()

    def test_lists_what_it_refuses(self, exam: Path, tmp_path: Path) -> None:
        report = deidentifying.run(ORDER, exam, tmp_path / "out", begin)
        assert [(Path(each.path).name, each.code) for each in report.refused] == [("notes.txt", "not-dicom")]

    def test_again_gives_the_same(self, exam: Path, tmp_path: Path) -> None:
        first = deidentifying.run(ORDER, exam, tmp_path / "out", begin)
        before = all_bytes(tmp_path / "out")
        assert deidentifying.run(ORDER, exam, tmp_path / "out", begin) == first
        assert all_bytes(tmp_path / "out") == before

    def test_one_core_and_all_cores_agree(
        self, exam: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        many = deidentifying.run(ORDER, exam, tmp_path / "many", begin)
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0})
        assert deidentifying.run(ORDER, exam, tmp_path / "one", begin) == many

    def test_another_instance_is_not_written_over(self, exam: Path, tmp_path: Path) -> None:
        report = deidentifying.run(ORDER, exam, tmp_path / "out", begin)
        (tmp_path / "out" / report.written[0]).write_bytes(b"other")
        again = deidentifying.run(ORDER, exam, tmp_path / "out", begin)
        assert "in-the-way" in {each.code for each in again.refused}

    @pytest.mark.parametrize("place", [".", "within", ".."])
    def test_input_and_output_lie_apart(self, exam: Path, place: str) -> None:
        with pytest.raises(BadRequest):
            deidentifying.run(ORDER, exam, exam / place, begin)

    @pytest.mark.parametrize("order", [Order(SECRET, "nobody", 1, 1), Order(b"short", "basic", 1, 1)])
    def test_unusable_key_or_profile(self, exam: Path, tmp_path: Path, order: Order) -> None:
        with pytest.raises(ConfigurationError):
            deidentifying.run(order, exam, tmp_path / "out", begin)
        assert not (tmp_path / "out").exists()

    def test_links_are_not_followed(self, exam: Path, tmp_path: Path) -> None:
        (exam / "link").symlink_to(exam / "view 0" / "image")
        assert len(deidentifying.find_files(exam)) == 4


class TestVerify:
    @pytest.fixture
    def out(self, exam: Path, tmp_path: Path) -> Path:
        deidentifying.run(ORDER, exam, tmp_path / "out", begin)
        return tmp_path / "out"

    def test_proofs_hold_in_files_and_folders(self, out: Path) -> None:
        checked = deidentifying.verify(ORDER, [out, next(out.rglob("*.dcm"))], begin)
        assert (list(checked.proven.values()), checked.unproven) == (["header"] * 3, [])

    def test_a_proof_of_the_whole_file_is_told_apart(self, tmp_path: Path) -> None:
        (tmp_path / "made").write_bytes(prove(file(instance()), Keys.derive(SECRET).proof))
        assert list(deidentifying.verify(ORDER, [tmp_path], begin).proven.values()) == ["whole"]

    def test_altered_file(self, out: Path) -> None:
        path = next(out.rglob("*.dcm"))
        path.write_bytes(path.read_bytes().replace(b"MONOCHROME2", b"MONOCHROME1"))
        checked = deidentifying.verify(ORDER, [out], begin)
        assert (len(checked.proven), [each.code for each in checked.unproven]) == (2, ["no-proof"])

    def test_another_sites_key(self, out: Path) -> None:
        other = Order(SECRET[::-1], "breast-screening", 1 << 26, 1 << 26)
        assert deidentifying.verify(other, [out], begin).proven == {}


class TestCommand:
    @pytest.fixture
    def key(self, tmp_path: Path) -> str:
        (tmp_path / "key").write_bytes(SECRET)
        return str(tmp_path / "key")

    def invoke(self, *arguments: object) -> int:
        return CliRunner().invoke(app, ["deidentify", *map(str, arguments)]).exit_code

    def test_refusals_end_with_1_and_are_reported(self, exam: Path, tmp_path: Path, key: str) -> None:
        report = tmp_path / "report.json"
        assert self.invoke(exam, tmp_path / "out", "--key", key, "--report", report) == 1
        told = json.loads(report.read_text())
        assert (len(told["written"]), told["refused"][0]["code"]) == (3, "not-dicom")
        assert told["profile"].startswith("Senogate breast-screening")

    def test_without_refusals_0(self, exam: Path, tmp_path: Path, key: str) -> None:
        (exam / "notes.txt").unlink()
        assert self.invoke(exam, tmp_path / "out", "--key", key) == 0
        assert self.invoke("--verify", tmp_path / "out", "--key", key) == 0

    def test_what_carries_no_proof_ends_with_1(self, exam: Path, key: str) -> None:
        assert self.invoke("--verify", exam, "--key", key) == 1

    def test_wrong_usage_is_2(self, exam: Path, key: str) -> None:
        assert self.invoke(exam, "--key", key) == 2
        assert self.invoke("--verify", exam / "none", "--key", key) == 2
