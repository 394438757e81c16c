"""What a node says it is in federations."""

import json
import stat
from pathlib import Path

import pytest

from archive.errors import BadRequest, ConfigurationError
from archive.federation_roles import (
    Hub,
    Joined,
    begin_to_leave,
    check_name,
    have_left,
    read_hub,
    read_leaving,
    read_site,
    write_role,
)
from archive.settings import Settings

JOINED = Joined("north", "https://hub.test", "hub", "A" * 43 + "=", "2026-03-01T12:00:00+00:00")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


def test_a_new_node_is_neither(settings):
    assert (read_hub(settings), read_site(settings), read_leaving(settings)) == (None, None, None)


def test_a_node_may_be_both(settings):
    hub = Hub("hub", "2026-03-01T12:00:00+00:00")
    write_role(settings, hub)
    write_role(settings, JOINED)
    assert (read_hub(settings), read_site(settings)) == (hub, JOINED)


def test_what_it_is_is_told_to_its_owner_alone(settings):
    write_role(settings, JOINED)
    assert stat.S_IMODE((settings.federation / "site.json").stat().st_mode) == 0o600
    assert stat.S_IMODE(settings.federation.stat().st_mode) == 0o700


def test_who_leaves_is_no_site_from_then_on(settings):
    write_role(settings, JOINED)
    begin_to_leave(settings)
    assert (read_site(settings), read_leaving(settings)) == (None, JOINED)
    have_left(settings)
    assert read_leaving(settings) is None


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", json.dumps({"name": 1, "created_at": "x"}), "\xff"])
def test_a_damaged_file_is_named(settings, text):
    write_role(settings, Hub("hub", "now"))
    (settings.federation / "hub.json").write_text(text, "latin-1")
    with pytest.raises(ConfigurationError, match=r"hub\.json"):
        read_hub(settings)


@pytest.mark.parametrize("name", ["", "-a", "A", "a b", "a" * 33, "a\n", "ä", "../a", "a.b"])
def test_what_is_no_name(name):
    with pytest.raises(BadRequest):
        check_name(name)
