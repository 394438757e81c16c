"""Pixels that may name a person, at a real site: sealed on arrival, cleaned, or left to somebody who decides."""

import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.filebase import DicomBytesIO
from pydicom.uid import SecondaryCaptureImageStorage

from archive import audit_log
from archive.audit import Event
from deidentification.deidentify import Deidentifier, Pixels
from deidentification.profile import Profile
from deidentification.pseudonym import Keys
from tests.drawn_text import document, draw_names, ultrasound
from tests.integration.conftest import send_c_store, send_rest, send_stow
from tests.integration.test_whole_way import read_back, write
from tests.live import LiveSite, eventually

NO_ID = "00000000-0000-0000-0000-000000000000"


@pytest.fixture
def scan() -> bytes:
    """An ultrasound that no site has seen, with names in its pixels."""
    return ultrasound(draw_names(21, light=True)[0])


@pytest.fixture(name="document")
def new_document() -> bytes:
    """What no cleaning can look through."""
    return document()


@pytest.fixture(scope="module")
def reviewing(new_home: Callable[[], Path], free_ports: Callable[[int], list[int]]) -> Iterator[LiveSite]:
    """A site as it is without the setting: a person looks at what was cleaned."""
    live = LiveSite(new_home(), free_ports(3), {"SENOGATE_PIXEL_CLEANING": ""}).start()
    yield live
    assert live.stop() == 0


@pytest.fixture(scope="module")
def own_site(new_home: Callable[[], Path], free_ports: Callable[[int], list[int]]) -> Iterator[LiveSite]:
    """A site whose worker is killed, and whose private key is away at times."""
    live = LiveSite(new_home(), free_ports(3)).start()
    yield live
    assert live.stop() == 0


@contextmanager
def hidden_key(site: LiveSite) -> Iterator[None]:
    """The private key is not there."""
    key = Path(site.settings.crosswalk_key)
    hidden = key.rename(key.with_name("hidden"))
    try:
        yield
    finally:
        hidden.rename(key)


def spool(site: LiveSite, *arguments: str) -> Any:
    return json.loads(site.run("spool", *arguments, "--json").stdout)


def quarantined(site: LiveSite, instance: bytes, folder: Path) -> dict[str, str]:
    (held,) = site.send(write(folder, [instance]))["held"]
    assert held["state"] == "quarantined"
    return held


def stored(site: LiveSite, instance: bytes) -> Dataset:
    study = dcmread(DicomBytesIO(instance), stop_before_pixels=True).StudyInstanceUID
    (dataset,) = eventually(lambda: read_back(site, site.pseudonyms().uid(study)))
    return dataset


class TestAnUltrasoundWithNamesInItsPixels:
    def test_comes_out_masked(self, site: LiveSite, tmp_path: Path) -> None:
        frame, drawn = draw_names(22, light=True)
        scan = ultrasound(frame, BurnedInAnnotation="YES")
        answer = site.send(write(tmp_path, [scan]))
        assert (answer["sent"], answer["refused"], answer["held"]) == (1, [], [])
        dataset = stored(site, scan)
        assert dataset.BurnedInAnnotation == "NO"
        assert "113101" in {item.CodeValue for item in dataset.DeidentificationMethodCodeSequence}
        assert dataset.PatientID == site.pseudonyms().patient_id("PAT-40404")
        assert all(np.unique(dataset.pixel_array[each.box]).size == 1 for each in drawn if each.size >= 14)

    @pytest.mark.parametrize("name", ["greyscale_burned_in", "rgb_burned_in"])
    def test_so_do_real_ones(self, site: LiveSite, shared: Path, name: str) -> None:
        path = shared / "data" / "dicom" / "us" / f"{name}.dcm"
        answer = site.send(path)
        assert (answer["sent"], answer["held"]) == (1, [])
        assert stored(site, path.read_bytes()).pixel_array[:30].max() == 0

    def test_is_accepted_by_every_way_in_and_stored_once(self, site: LiveSite, scan: bytes) -> None:
        before = site.stored_instances()
        assert [send_c_store(site, scan), send_stow(site, scan), send_rest(site, scan)] == [
            "stored",
            "202",
            "200",
        ]
        eventually(lambda: site.stored_instances() == before + 1)
        assert stored(site, scan).BurnedInAnnotation == "NO"

    def test_sent_twice_it_is_held_once_and_read_once(
        self, site: LiveSite, scan: bytes, tmp_path: Path
    ) -> None:
        folder = write(tmp_path, [scan, scan])
        first, again = site.send(folder), site.send(folder)
        assert (first["held"], again["held"]) == ([], [])
        uid = site.pseudonyms().uid(dcmread(DicomBytesIO(scan)).SOPInstanceUID)
        assert [each["state"] for each in spool(site, "list") if each["sop_instance_uid"] == uid] == [
            "released"
        ]
        assert stored(site, scan)

    def test_without_waiting_send_says_that_it_is_held(
        self, own_site: LiveSite, scan: bytes, tmp_path: Path
    ) -> None:
        with hidden_key(own_site):
            (held,) = own_site.send(write(tmp_path, [scan]), wait=False)["held"]
        assert (held["state"], held["reason"]) == ("waiting", "pixels-may-carry-text")
        assert own_site.send(tmp_path)["held"] == []


class TestWhateverHappens:
    def test_without_the_private_key_it_waits_and_then_goes_on(
        self, own_site: LiveSite, scan: bytes, tmp_path: Path
    ) -> None:
        before = own_site.stored_instances()
        with hidden_key(own_site):
            (held,) = own_site.send(write(tmp_path, [scan]), wait=False)["held"]
            os.kill(own_site.child("worker"), signal.SIGKILL)
            waiting = spool(own_site, "show", held["id"])
            assert (waiting["state"], waiting["attempts"]) == ("waiting", 0)
            assert own_site.stored_instances() == before
        eventually(lambda: own_site.stored_instances() == before + 1)

    def test_a_worker_killed_while_it_cleans_loses_nothing(self, own_site: LiveSite, tmp_path: Path) -> None:
        before = own_site.stored_instances()
        frames = np.stack([draw_names(3, light=True)[0]] * 8)
        own_site.send(write(tmp_path, [ultrasound(frames)]), wait=False)
        with own_site.database() as database:
            cleaning = "select from spool where state = 'cleaning'"
            eventually(lambda: database.execute(cleaning).fetchall())
        os.kill(own_site.child("worker"), signal.SIGKILL)
        answer = own_site.send(tmp_path)
        assert answer["held"] == []
        assert own_site.stored_instances() == before + 1

    def test_one_that_never_comes_to_an_end_is_left_to_a_person(
        self, own_site: LiveSite, scan: bytes, tmp_path: Path
    ) -> None:
        with hidden_key(own_site), own_site.database() as database:
            own_site.send(write(tmp_path, [scan]), wait=False)
            database.execute("update spool set attempts = 3, state = 'cleaning' where state = 'waiting'")
        (held,) = own_site.send(tmp_path)["held"]
        assert (held["state"], held["reason"]) == ("quarantined", "given-up")

    def test_no_identity_lies_in_the_home_while_it_is_held_and_afterwards(
        self, own_site: LiveSite, scan: bytes, document: bytes, tmp_path: Path
    ) -> None:
        marks = [
            b"Mustermann",
            b"PAT-40404",
            b"ACC-118834",
            dcmread(DicomBytesIO(scan)).StudyInstanceUID.encode(),
        ]
        assert all(mark in scan for mark in marks)
        before = len(list(own_site.settings.spool.iterdir()))
        with hidden_key(own_site):
            own_site.send(write(tmp_path, [scan, document]), wait=False)
            assert len(list(own_site.settings.spool.iterdir())) == before + 2
            assert not found(own_site.home, marks)
        own_site.send(tmp_path)
        assert len(list(own_site.settings.spool.iterdir())) == before + 1
        assert not found(own_site.home, marks)

    def test_a_forged_proof_of_cleaning_is_not_believed(self, site: LiveSite) -> None:
        capture = ultrasound(np.full((64, 64), 9, np.uint8), SOPClassUID=SecondaryCaptureImageStorage)
        forger = Deidentifier(Keys.derive(bytes(32)), Profile.load("breast-screening"))
        forged = forger.deidentify(capture, Pixels.CLEANED).instance
        before = site.stored_instances()
        assert send_rest(site, forged) == "200"
        uid = site.pseudonyms().uid(dcmread(DicomBytesIO(forged)).SOPInstanceUID)
        rows = [each for each in spool(site, "list") if each["sop_instance_uid"] == uid]
        assert [each["reason"] for each in rows] in (["pixels-may-carry-text"], ["cleaned"])
        eventually(lambda: site.stored_instances() == before + 1)


class TestAPersonReviewsWhatWasCleaned:
    """`pixel_cleaning` is "review"."""

    @pytest.fixture
    def frame(self) -> np.ndarray:
        return draw_names(31, light=True)[0]

    @pytest.fixture
    def awaiting(
        self, reviewing: LiveSite, frame: np.ndarray, tmp_path: Path
    ) -> tuple[bytes, dict[str, Any]]:
        scan = ultrasound(frame)
        held = quarantined(reviewing, scan, tmp_path / "sent")
        assert held["reason"] == "awaiting-review"
        return scan, spool(reviewing, "show", held["id"])

    def test_it_is_not_stored_and_shows_what_is_masked(
        self, reviewing: LiveSite, frame: np.ndarray, awaiting: tuple[bytes, dict[str, Any]], tmp_path: Path
    ) -> None:
        before = reviewing.stored_instances()
        _, entry = awaiting
        look, masked = tmp_path / "look.png", tmp_path / "masked.png"
        spool(reviewing, "show", entry["id"], "--image", str(look))
        spool(reviewing, "show", entry["id"], "--image", str(masked), "--masked")
        x, y, width, height = entry["masks"][0]
        assert (np.array(Image.open(look)) == frame).all()
        assert np.unique(np.array(Image.open(masked))[y : y + height, x : x + width]).size == 1
        assert reviewing.stored_instances() == before

    def test_who_opens_it_is_on_record(
        self, reviewing: LiveSite, awaiting: tuple[bytes, dict[str, Any]], tmp_path: Path
    ) -> None:
        _, entry = awaiting
        spool(reviewing, "show", entry["id"], "--image", str(tmp_path / "look.png"), "--by", "A. Person")
        spool(reviewing, "release", entry["id"], "--reason", "looked", "--by", "B. Person")
        openings = spool(reviewing, "show", entry["id"])["openings"]
        assert [each.split(" ", 1)[1] for each in openings] == [
            "worker clean",
            "A. Person look",
            "B. Person release",
        ]
        with reviewing.database() as connection:
            recorded = list(audit_log.entries(connection, event=Event.SPOOL_OPENED))
        mine = [each for each in recorded if each.detail["spool"] == entry["id"]]
        assert [each.subject for each in mine] == ["site:worker", "os:A. Person", "os:B. Person"]
        assert {each.study for each in mine} == {entry["study_instance_uid"]}

    def test_the_status_of_the_site_counts_it(
        self, reviewing: LiveSite, awaiting: tuple[bytes, dict[str, Any]]
    ) -> None:
        waiting = len([each for each in spool(reviewing, "list") if each["state"] == "quarantined"])
        state = json.loads(reviewing.run("status", "--json").stdout)
        assert state["held"] == {"awaiting_cleaning": 0, "awaiting_review": waiting}
        assert f"awaiting review: {waiting}" in reviewing.run("status").stdout

    def test_released_it_is_stored_as_it_was_shown(
        self, reviewing: LiveSite, awaiting: tuple[bytes, dict[str, Any]]
    ) -> None:
        scan, entry = awaiting
        receipt = spool(reviewing, "release", entry["id"], "--reason", "looked")
        assert (receipt["state"], receipt["decision"]["masks"]) == ("released", entry["masks"])
        dataset = stored(reviewing, scan)
        assert "113101" in {item.CodeValue for item in dataset.DeidentificationMethodCodeSequence}
        drawn = [each for each in draw_names(31, light=True)[1] if each.size >= 14]
        assert all(np.unique(dataset.pixel_array[each.box]).size == 1 for each in drawn)

    def test_a_box_is_masked_as_well(
        self, reviewing: LiveSite, awaiting: tuple[bytes, dict[str, Any]]
    ) -> None:
        scan, entry = awaiting
        receipt = spool(reviewing, "release", entry["id"], "--reason", "a logo", "--mask", "0,0,50,30")
        assert receipt["decision"]["masks"] == [*entry["masks"], [0, 0, 50, 30]]
        assert np.unique(stored(reviewing, scan).pixel_array[:30, :50]).size == 1

    def test_a_box_is_masked_and_nothing_else(
        self, reviewing: LiveSite, frame: np.ndarray, awaiting: tuple[bytes, dict[str, Any]]
    ) -> None:
        scan, entry = awaiting
        spool(reviewing, "release", entry["id"], "--reason", "no text", "--mask", "0,0,50,30", "--only")
        assert (stored(reviewing, scan).pixel_array[30:] == frame[30:]).all()

    def test_its_pixels_are_kept(
        self, reviewing: LiveSite, frame: np.ndarray, awaiting: tuple[bytes, dict[str, Any]]
    ) -> None:
        scan, entry = awaiting
        spool(reviewing, "release", entry["id"], "--reason", "a phantom", "--keep-pixels")
        assert (stored(reviewing, scan).pixel_array == frame).all()


class TestAPersonDecides:
    """`senogate spool`."""

    def test_sees_it_and_masks_what_names_the_patient(self, site: LiveSite, tmp_path: Path) -> None:
        page = ultrasound(page_of_text())
        held = quarantined(site, page, tmp_path / "sent")
        assert held["reason"] == "too-much-text"
        spool(site, "show", held["id"], "--image", str(tmp_path / "look.png"))
        assert (np.array(Image.open(tmp_path / "look.png")) == page_of_text()).mean() > 0.9
        receipt = spool(
            site, "release", held["id"], "--reason", "checked", "--by", "A. Person", "--mask", "0,0,500,100"
        )
        assert receipt["state"] == "released"
        assert (receipt["decision"]["by"], receipt["decision"]["masks"]) == ("A. Person", [[0, 0, 500, 100]])
        pixels = stored(site, page).pixel_array
        assert pixels[:100, :500].max() == pixels.min()
        assert (pixels[100:] == page_of_text()[100:]).all()

    def test_lets_pixels_pass_as_they_are(self, site: LiveSite, tmp_path: Path) -> None:
        page = ultrasound(page_of_text())
        held = quarantined(site, page, tmp_path)
        spool(site, "release", held["id"], "--reason", "a phantom", "--keep-pixels")
        dataset = stored(site, page)
        assert (dataset.pixel_array == page_of_text()).all()
        assert "113101" not in {item.CodeValue for item in dataset.DeidentificationMethodCodeSequence}

    def test_discards_it_with_a_receipt(self, site: LiveSite, document: bytes, tmp_path: Path) -> None:
        held = quarantined(site, document, tmp_path)
        receipt = spool(site, "discard", held["id"], "--reason", "no consent")
        assert (receipt["state"], receipt["decision"]["why"]) == ("discarded", "no consent")
        assert not (site.settings.spool / held["id"]).exists()
        again = site.run("spool", "release", held["id"], "--reason", "x", "--keep-pixels", check=False)
        assert again.returncode == 1

    def test_what_was_discarded_and_is_sent_again_is_held_again(
        self, site: LiveSite, document: bytes, tmp_path: Path
    ) -> None:
        first = quarantined(site, document, tmp_path)
        spool(site, "discard", first["id"], "--reason", "by mistake")
        assert quarantined(site, document, tmp_path)["id"] != first["id"]

    def test_what_can_not_be_stored_stays_held(self, site: LiveSite, document: bytes, tmp_path: Path) -> None:
        held = quarantined(site, document, tmp_path)
        refused = site.run("spool", "release", held["id"], "--reason", "x", "--keep-pixels", check=False)
        assert refused.returncode == 1 and "can't be stored" in refused.stderr
        assert spool(site, "show", held["id"])["state"] == "quarantined"

    def test_what_was_not_cleaned_is_not_released_without_saying_how(
        self, site: LiveSite, document: bytes, tmp_path: Path
    ) -> None:
        held = quarantined(site, document, tmp_path)
        refused = site.run("spool", "release", held["id"], "--reason", "x", check=False)
        assert refused.returncode == 1 and "--keep-pixels" in refused.stderr

    @pytest.mark.parametrize(
        "arguments",
        [
            ["show", "x"],
            ["show", NO_ID, "--masked"],
            ["release", "x"],
            ["release", NO_ID, "--reason", "y", "--mask", "1"],
            ["release", NO_ID, "--reason", "y", "--mask", "0,0,9,9", "--keep-pixels"],
            ["release", NO_ID, "--reason", "y", "--only"],
        ],
    )
    def test_wrong_usage_ends_with_two(self, site: LiveSite, arguments: list[str]) -> None:
        assert site.run("spool", *arguments, check=False).returncode == 2

    def test_the_list_says_nothing_of_a_person(self, site: LiveSite, document: bytes, tmp_path: Path) -> None:
        quarantined(site, document, tmp_path)
        printed = site.run("spool", "list").stdout + site.run("spool", "list", "--json").stdout
        assert "quarantined" in printed and "not-an-image" in printed
        assert "PAT-40404" not in printed and "Mustermann" not in printed


def page_of_text() -> np.ndarray:
    """So many names that nothing of a picture would be left."""
    from PIL import ImageDraw, ImageFont

    page = Image.new("L", (640, 480), 10)
    for row in range(5, 460, 26):
        text = "Erika Mustermann, born 1961-03-04, Hospital of St. Mary"
        ImageDraw.Draw(page).text((5, row), text, fill=240, font=ImageFont.load_default(22))
    return np.array(page)


def found(home: Path, marks: list[bytes]) -> list[Path]:
    """The files below a home that hold one of the marks."""
    files = [path for path in home.rglob("*") if path.is_file()]
    return [path for path in files if any(mark in path.read_bytes() for mark in marks)]
