"""Destinations and their acknowledgement, as the settings have them."""

from pathlib import Path

import pytest

from archive.destinations import EXAMPLE, KINDS
from archive.errors import ConfigurationError
from archive.settings import Settings, load

PACS = '[destinations.pacs]\naet = "PACS"\nhost = "pacs.example"\nport = 11112\n'


def settings_of(home: Path, text: str) -> Settings:
    (home / "senogate.toml").write_text(text)
    return load({"SENOGATE_HOME": str(home)})


def test_a_destination_is_a_table_under_its_name(tmp_path: Path) -> None:
    (pacs,) = settings_of(tmp_path, PACS).destinations
    assert (pacs.name, pacs.address, pacs.calling_aet) == ("pacs", "PACS@pacs.example:11112", "SENOGATE")
    assert (pacs.tls, pacs.results, pacs.commitment) == (False, KINDS, False)


def test_its_files_lie_in_the_home(tmp_path: Path) -> None:
    (pacs,) = settings_of(tmp_path, PACS + 'tls = true\ntls_authorities = "ca.pem"\n').destinations
    assert pacs.tls_authorities == f"{tmp_path}/ca.pem"


def test_there_are_none_by_default_and_nothing_is_acknowledged(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    assert (settings.destinations, settings.acknowledge, settings.commitment_port) == ((), "", 0)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('destinations = "pacs"', "destinations"),
        ("[destinations]\npacs = 1", "destinations"),
        (PACS + "prt = 1", "destinations.pacs .*'prt'"),
        (PACS.replace('aet = "PACS"\n', ""), "destinations.pacs lacks aet"),
        (PACS.replace("11112", "0"), "destinations.pacs: port"),
        (PACS.replace("11112", '"104"'), "destinations.pacs.port"),
        (PACS.replace('"PACS"', '"LONGER-THAN-AN-AE-TITLE"'), "destinations.pacs: aet"),
        (PACS.replace('"PACS"', '"A\\\\B"'), "destinations.pacs: aet"),
        (PACS.replace("destinations.pacs", "destinations.PACS"), "name of a destination"),
        (PACS + 'results = ["pdf"]', "destinations.pacs: results"),
        (PACS + "results = []", "destinations.pacs: results"),
        (PACS + 'results = "sr"', "destinations.pacs.results"),
        (PACS + 'tls = "yes"', "destinations.pacs.tls"),
        (PACS + 'tls_authorities = "ca.pem"', "tls = true"),
        (PACS + 'tls = true\ntls_key = "k.pem"', "tls_certificate"),
        (PACS + "timeout = 0", "timeout"),
        ("commitment_port = 65536", "commitment_port"),
    ],
)
def test_one_that_can_not_be_is_refused_by_name(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        settings_of(tmp_path, text)


def test_the_environment_tells_destinations_as_json(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, f'acknowledge = "{EXAMPLE}"\n{PACS}results = ["sr"]\ntimeout = 5\n')
    (tmp_path / "senogate.toml").unlink()
    assert load(settings.environment) == settings


@pytest.mark.parametrize("text", ["{", "[]", '{"pacs": 1}', '{"pacs": {"aet": "A"}}'])
def test_a_wrong_variable_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigurationError, match="destinations|DESTINATIONS"):
        load({"SENOGATE_HOME": str(tmp_path), "SENOGATE_DESTINATIONS": text})


def test_a_sentence_that_names_research_use_acknowledges(tmp_path: Path) -> None:
    text = "These are for Research Use only, and not for diagnosis."
    assert settings_of(tmp_path, f'acknowledge = "{text}"').acknowledge == text


@pytest.mark.parametrize(
    "text",
    ["", "   ", "yes", "true", "research use", "I acknowledge everything that there is to acknowledge"],
)
def test_anything_else_is_refused_with_what_to_write(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigurationError, match="research use.*for research use only"):
        settings_of(tmp_path, f'acknowledge = "{text}"')
    if text:
        with pytest.raises(ConfigurationError, match="acknowledge"):
            load({"SENOGATE_HOME": str(tmp_path / "none"), "SENOGATE_ACKNOWLEDGE": text})
