"""Settings: `senogate.toml`, the environment, and their documentation."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from archive.errors import ConfigurationError
from archive.settings import Settings, load

DOCUMENTATION = Path(__file__).resolve().parents[2] / "docs" / "settings.md"


def test_every_key_is_documented_and_no_other() -> None:
    documented = set(re.findall(r"^\| `(\w+)` \|", DOCUMENTATION.read_text("utf-8"), re.MULTILINE))
    assert documented == {field.name for field in fields(Settings)}


def test_the_environment_beats_the_file(tmp_path: Path) -> None:
    (tmp_path / "senogate.toml").write_text("port = 8081\ndicom_port = 4243\n")
    settings = load({"SENOGATE_HOME": str(tmp_path), "SENOGATE_PORT": "9090"})
    assert (settings.port, settings.dicom_port) == (9090, 4243)


def test_the_public_url_follows_the_port_and_loses_its_slash(tmp_path: Path) -> None:
    assert (
        load({"SENOGATE_HOME": str(tmp_path), "SENOGATE_PORT": "9090"}).public_url == "http://127.0.0.1:9090"
    )
    given = {"SENOGATE_HOME": str(tmp_path), "SENOGATE_PUBLIC_URL": "https://images.example/"}
    assert load(given).dicomweb_url == "https://images.example/dicom-web"


def test_a_variable_may_name_a_file_that_holds_the_value(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("postgresql://db/senogate\n")
    given = {"SENOGATE_HOME": str(tmp_path), "SENOGATE_DATABASE_URL_FILE": str(tmp_path / "url")}
    assert load(given).database_url == "postgresql://db/senogate"
    assert load(given | {"SENOGATE_DATABASE_URL": "postgresql://other"}).database_url == "postgresql://other"


def test_a_file_that_a_variable_names_in_vain_is_an_error(tmp_path: Path) -> None:
    given = {"SENOGATE_HOME": str(tmp_path), "SENOGATE_DATABASE_URL_FILE": str(tmp_path / "absent")}
    with pytest.raises(ConfigurationError, match="SENOGATE_DATABASE_URL_FILE"):
        load(given)


@pytest.mark.parametrize(
    ("text", "named"),
    [("prt = 1", "prt"), ("port = 'x'", "port"), ("port = [", "TOML"), ("port = true", "port")],
)
def test_a_wrong_file_is_refused_by_name(tmp_path: Path, text: str, named: str) -> None:
    (tmp_path / "senogate.toml").write_text(text)
    with pytest.raises(ConfigurationError, match=named):
        load({"SENOGATE_HOME": str(tmp_path)})


def test_a_wrong_variable_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="SENOGATE_PORT"):
        load({"SENOGATE_HOME": str(tmp_path), "SENOGATE_PORT": "eighty"})


def test_a_port_that_is_none_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="dicom_port"):
        load({"SENOGATE_HOME": str(tmp_path), "SENOGATE_DICOM_PORT": "65536"})


def test_a_way_of_cleaning_pixels_that_is_none_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="pixel_cleaning"):
        load({"SENOGATE_HOME": str(tmp_path), "SENOGATE_PIXEL_CLEANING": "never"})


def test_documents_are_quarantined_or_refused(tmp_path: Path) -> None:
    assert load({"SENOGATE_HOME": str(tmp_path)}).documents == "quarantine"
    with pytest.raises(ConfigurationError, match="documents"):
        load({"SENOGATE_HOME": str(tmp_path), "SENOGATE_DOCUMENTS": "store"})


def test_a_person_reviews_cleaned_pixels_unless_told_otherwise(tmp_path: Path) -> None:
    assert load({"SENOGATE_HOME": str(tmp_path)}).pixel_cleaning == "review"


def test_readers_are_named_by_pseudonyms_unless_told_otherwise(tmp_path: Path) -> None:
    assert load({"SENOGATE_HOME": str(tmp_path)}).reviewers == "pseudonym"
    with pytest.raises(ConfigurationError, match="reviewers"):
        load({"SENOGATE_HOME": str(tmp_path), "SENOGATE_REVIEWERS": "nobody"})


def test_relative_paths_lie_in_the_home(tmp_path: Path) -> None:
    settings = load({"SENOGATE_HOME": str(tmp_path), "SENOGATE_SECRETS": "keys"})
    assert settings.secrets == f"{tmp_path}/keys"
    assert settings.crosswalk_key == f"{tmp_path}/keys/crosswalk.key"


def test_no_password_shows_in_the_repr(tmp_path: Path) -> None:
    assert "hush" not in repr(Settings(home=tmp_path, orthanc_password="hush"))


def test_results_are_a_list(tmp_path: Path) -> None:
    (tmp_path / "senogate.toml").write_text("results = ['sr', 'sc']\n")
    assert load({"SENOGATE_HOME": str(tmp_path)}).results == ("sr", "sc")
    given = {"SENOGATE_HOME": str(tmp_path), "SENOGATE_RESULTS": "sr, gsps kos"}
    assert load(given).results == ("sr", "gsps", "kos")


@pytest.mark.parametrize(
    "text", ["results = 'sr'", "results = [1]", "results = ['sc']", "results = ['sr', 'pdf']"]
)
def test_results_that_are_none_are_refused_by_name(tmp_path: Path, text: str) -> None:
    """The report is always written: the study's reading names it."""
    (tmp_path / "senogate.toml").write_text(text)
    with pytest.raises(ConfigurationError, match="results"):
        load({"SENOGATE_HOME": str(tmp_path)})


def test_the_environment_tells_the_settings(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, results=("sr", "kos"), port=9090)
    assert load(settings.environment) == settings
