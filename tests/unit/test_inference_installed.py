"""Which packages a site has, and which of them reads what."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from archive.errors import Unavailable
from archive.findings import Task
from archive.settings import Settings
from inference import choice, installed, trust
from inference.errors import PackageError
from inference.package import Package, read, save
from inference.reader import Reader
from inference.session import open_session
from tests.unit.test_inference_package import KEY, NETWORK, PASSPORT

PLACE = (Task.DENSITY, "MG")
BUILT_IN = "phantom-trained-density"
BUILT_IN_REFERENCE = read(installed.BUILT_IN / "phantom_density").reference


def make(folder: Path, version: str = "1.0.0", key: Ed25519PrivateKey | None = KEY, **others: Any) -> Package:
    identity = PASSPORT["identity"] | {"version": version} | others
    return save(folder, NETWORK, PASSPORT | {"identity": identity}, key)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    trust.trust(tmp_path, KEY.public_key())
    return tmp_path


@pytest.fixture
def add(home: Path, tmp_path: Path) -> Callable[..., Package]:
    """Adds a version of a model to the site."""
    return lambda *given, **others: installed.add(home, make(tmp_path / "source", *given, **others).folder)


def reading(home: Path, *, shadow: bool = False, place: choice.Place = PLACE) -> list[str]:
    return [
        slot.reference
        for slot in installed.wanted(home)
        if (slot.task, slot.modality, slot.shadow) == (*place, shadow)
    ]


class TestAdd:
    def test_an_added_package_lies_in_the_site(self, home: Path, add: Callable[..., Package]) -> None:
        assert add("1.0.0").folder == home / "models" / "density" / "nyu-density-1.0.0"

    def test_it_reads_nothing_yet(self, home: Path, add: Callable[..., Package]) -> None:
        add("1.0.0")
        assert reading(home) == [BUILT_IN_REFERENCE]

    def test_versions_lie_side_by_side(self, home: Path, add: Callable[..., Package]) -> None:
        add("1.0.0"), add("1.1.0")
        found = [one.reference for one in installed.packages(home) if not one.built_in]
        assert found == ["nyu-density-1.0.0", "nyu-density-1.1.0"]

    def test_the_same_again_changes_nothing(self, add: Callable[..., Package]) -> None:
        before = (add("1.0.0").folder / "passport.toml").stat().st_ino
        assert (add("1.0.0").folder / "passport.toml").stat().st_ino == before

    def test_a_changed_one_needs_a_version_of_its_own(self, add: Callable[..., Package]) -> None:
        add("1.0.0")
        with pytest.raises(PackageError, match="version of its own"):
            add("1.0.0", title="Another")

    def test_one_in_the_name_of_a_built_in_one_is_refused(self, add: Callable[..., Package]) -> None:
        with pytest.raises(PackageError, match="version of its own"):
            add(BUILT_IN_REFERENCE.rpartition("-")[2], name=BUILT_IN)

    def test_nothing_but_the_package_is_copied(self, home: Path, tmp_path: Path) -> None:
        source = make(tmp_path / "source").folder
        (source / "setup.py").write_text("raise SystemExit")
        assert sorted(path.name for path in installed.add(home, source).folder.iterdir()) == [
            "model.onnx",
            "passport.toml",
        ]

    def test_a_record_is_copied_with_it(self, home: Path, tmp_path: Path) -> None:
        source = save(tmp_path / "source", NETWORK, PASSPORT, KEY, b"how it was made\n").folder
        assert installed.add(home, source).read_record() == b"how it was made\n"

    @pytest.mark.parametrize("key", [None, Ed25519PrivateKey.from_private_bytes(b"s" * 32)])
    def test_what_nobody_trusted_signed_is_refused(
        self, home: Path, add: Callable[..., Package], key: Ed25519PrivateKey | None
    ) -> None:
        with pytest.raises(PackageError, match="sign"):
            add("1.0.0", key)
        assert not (home / "models" / "density").exists()

    @pytest.mark.parametrize("steps", [[{"name": "telepathy"}], [{"name": "telepathy"}, {"name": "stack"}]])
    def test_preprocessing_that_nobody_here_knows_is_refused(
        self, home: Path, tmp_path: Path, steps: list[dict[str, str]]
    ) -> None:
        unknown = PASSPORT | {"inputs": PASSPORT["inputs"] | {"preprocessing": steps}}
        package = save(tmp_path / "source", NETWORK, unknown, KEY)
        with pytest.raises(PackageError, match="known are|must be one of"):
            installed.add(home, package.folder)
        with pytest.raises(PackageError, match="known are|must be one of"):
            installed.enable(home, package)
        with pytest.raises(PackageError, match="known are|must be one of"):
            open_session(package)

    @pytest.mark.parametrize("name", ["model.zip", "model.tar.gz"])
    def test_an_archive_is_no_package(self, home: Path, tmp_path: Path, name: str) -> None:
        (tmp_path / name).write_bytes(b"PK")
        with pytest.raises(PackageError, match="unpack"):
            installed.add(home, tmp_path / name)


class TestWanted:
    def test_a_new_site_has_the_phantom_trained_model(self, home: Path) -> None:
        assert reading(home) == [BUILT_IN_REFERENCE]

    def test_each_default_reads_a_place_of_its_own(self, home: Path) -> None:
        assert len(installed.default_packages()) == len(installed.DEFAULTS) == len(installed.wanted(home))

    def test_another_built_in_one_reads_once_it_is_enabled(self, home: Path) -> None:
        others = [
            one.package for one in installed.packages(home) if one.folder.name not in installed.DEFAULTS
        ]
        assert others and others[0]
        installed.enable(home, others[0])
        assert reading(home, place=installed.place_of(others[0])) == [others[0].reference]

    def test_the_enabled_package_reads(self, home: Path, add: Callable[..., Package]) -> None:
        installed.enable(home, add("1.0.0"))
        assert reading(home) == ["nyu-density-1.0.0"]

    def test_another_takes_its_place(self, home: Path, add: Callable[..., Package]) -> None:
        for version in ("1.0.0", "2.0.0"):
            installed.enable(home, add(version))
        assert reading(home) == ["nyu-density-2.0.0"]

    def test_a_second_one_reads_in_the_shadow(self, home: Path, add: Callable[..., Package]) -> None:
        installed.enable(home, add("1.0.0"), shadow=True)
        assert (reading(home), reading(home, shadow=True)) == ([BUILT_IN_REFERENCE], ["nyu-density-1.0.0"])

    def test_none_reads_both_ways(self, home: Path, add: Callable[..., Package]) -> None:
        package = add("1.0.0")
        installed.enable(home, package)
        with pytest.raises(PackageError, match="already"):
            installed.enable(home, package, shadow=True)

    def test_nothing_takes_the_place_of_what_is_disabled(self, home: Path) -> None:
        installed.disable(home, BUILT_IN)
        assert reading(home) == []

    def test_what_is_disabled_can_be_enabled_again(self, home: Path) -> None:
        package = installed.look_up(home, BUILT_IN).runnable()
        installed.disable(home, BUILT_IN)
        installed.enable(home, package)
        assert reading(home) == [package.reference]

    def test_disabling_ends_the_shadow_and_leaves_the_active_one(
        self, home: Path, add: Callable[..., Package]
    ) -> None:
        installed.enable(home, add("1.0.0"), shadow=True)
        left = installed.disable(home, "nyu-density")
        assert [slot.shadow for slot in left] == [True]
        assert (reading(home), reading(home, shadow=True)) == ([BUILT_IN_REFERENCE], [])

    def test_a_name_is_not_taken_for_a_longer_one(self, home: Path, add: Callable[..., Package]) -> None:
        installed.enable(home, add("1.0.0", name="nyu-density-2"))
        assert installed.disable(home, "nyu-density") == []

    def test_who_reads_the_choice_while_it_changes_sees_one_or_the_other(
        self, home: Path, add: Callable[..., Package]
    ) -> None:
        packages = [add("1.0.0"), add("2.0.0")]
        installed.enable(home, packages[0])
        with ThreadPoolExecutor(1) as threads:
            changing = threads.submit(lambda: [installed.enable(home, packages[n % 2]) for n in range(60)])
            seen = [tuple(reading(home)) for _ in range(60)]
            changing.result()
        assert set(seen) <= {("nyu-density-1.0.0",), ("nyu-density-2.0.0",)}


class TestRefused:
    """What must not run is told with its reason, and keeps nothing else from running."""

    def problem(self, home: Path) -> str:
        (slot,) = [slot for slot in installed.wanted(home) if (slot.task, slot.modality) == PLACE]
        assert slot.package is None
        return slot.problem

    def test_one_that_was_changed_since(self, home: Path, add: Callable[..., Package]) -> None:
        package = add("1.0.0")
        installed.enable(home, package)
        file = package.folder / "passport.toml"
        file.write_text(file.read_text().replace("refuse", "accept"))
        assert "changed after it was signed" in self.problem(home)

    def test_one_whose_key_is_trusted_no_more(self, home: Path, add: Callable[..., Package]) -> None:
        installed.enable(home, add("1.0.0"))
        trust.distrust(home, next(key.identifier for key in trust.list_keys(home) if not key.shipped))
        assert "not trusted" in self.problem(home)

    def test_one_that_is_gone(self, home: Path, add: Callable[..., Package]) -> None:
        package = add("1.0.0")
        installed.enable(home, package)
        package.folder.rename(home / "elsewhere")
        assert "can't be read" in self.problem(home)

    def test_an_older_version_in_the_place_of_a_newer(self, home: Path, add: Callable[..., Package]) -> None:
        installed.enable(home, add("2.0.0"))
        old = add("1.0.0")
        (old.folder / "passport.toml").replace(old.folder.with_name("nyu-density-2.0.0") / "passport.toml")
        assert "another name" in self.problem(home)

    @pytest.mark.parametrize("reference", ["../../elsewhere", "/etc", ".", "nyu-density-1.0.0/../../x"])
    def test_a_reference_that_leads_elsewhere(self, home: Path, reference: str) -> None:
        make(home / "elsewhere")
        choice.choose_active(home, PLACE, reference)
        assert self.problem(home)

    def test_a_choice_from_before_packages_were_signed_says_what_to_do(self, home: Path) -> None:
        package = make(home / "models" / "density" / "nyu-density-1.0.0", key=None)
        file = package.folder / "passport.toml"
        file.write_text(file.read_text().replace("format = 2", "format = 1"))
        (home / "models" / "density" / "active").symlink_to("nyu-density-1.0.0")
        assert "import the model again" in self.problem(home)

    @pytest.mark.parametrize(
        "text", ["", "[]", "{}", '{"format": 9, "chosen": []}', '{"format": 1, "chosen": [{}]}']
    )
    def test_a_damaged_choice_is_no_choice_of_the_built_in_one(self, home: Path, text: str) -> None:
        (home / "models" / "enabled.json").write_text(text)
        with pytest.raises(PackageError, match=r"enabled\.json"):
            installed.wanted(home)

    def test_while_it_is_damaged_the_worker_pauses(self, home: Path) -> None:
        """What studies are to be read for can't be told, and none is to be passed over."""
        (home / "models" / "enabled.json").write_text("{}")
        reader = Reader(Settings(home=home), None, None, None)
        with pytest.raises(Unavailable, match=r"enabled\.json"):
            reader.wanted()

    def test_a_choice_of_a_task_that_is_unknown_here(self, home: Path) -> None:
        row = {"task": "weather", "modality": "MG", "active": None, "shadow": ""}
        (home / "models" / "enabled.json").write_text(json.dumps({"format": 1, "chosen": [row]}))
        with pytest.raises(PackageError, match="damaged"):
            installed.wanted(home)

    def test_what_a_killed_import_left_is_not_a_package(self, home: Path) -> None:
        (home / "models" / "density" / ".nyu-density-1.0.0.x7").mkdir(parents=True)
        assert all(one.built_in for one in installed.packages(home))
