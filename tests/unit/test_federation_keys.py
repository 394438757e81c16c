"""The keys of a node of a federation."""

import base64
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from archive import federation_keys, secrets
from archive.errors import BadRequest, ConfigurationError
from archive.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = Settings(home=tmp_path)
    Path(made.secrets).mkdir()
    federation_keys.make(made)
    return made


def test_both_keys_are_readable_by_their_owner_alone(settings):
    for name in (federation_keys.FEDERATION_KEY, federation_keys.NODE_KEY):
        assert stat.S_IMODE(Path(settings.secrets, name).stat().st_mode) == 0o600


def test_keys_that_are_there_stay(settings):
    before = federation_keys.own_fingerprint(settings)
    federation_keys.make(settings)
    assert federation_keys.own_fingerprint(settings) == before


def test_a_node_that_came_back_has_another_fingerprint(settings):
    before = federation_keys.own_fingerprint(settings)
    federation_keys.forget(settings, federation_keys.NODE_KEY)
    federation_keys.make(settings)
    assert federation_keys.own_fingerprint(settings) != before


def test_flower_reads_the_node_key_and_sends_it_as_the_hub_knows_it(settings):
    pytest.importorskip("flwr")
    from argparse import Namespace

    from flwr.supercore.primitives.asymmetric import public_key_to_bytes
    from flwr.supernode.cli.flower_supernode import _try_setup_client_authentication

    named = Namespace(
        auth_supernode_private_key=str(federation_keys.node_key_path(settings)),
        auth_supernode_public_key=None,
    )
    read = _try_setup_client_authentication(named)
    assert read is not None
    assert public_key_to_bytes(read[1]) == federation_keys.node_public_bytes(
        federation_keys.node_key(settings)
    )


def test_the_thumbprint_is_that_of_rfc_8037_appendix_a_3():
    x = base64.urlsafe_b64decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo=")
    assert federation_keys.key_id(x) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def test_a_fingerprint_is_sixteen_groups_and_hangs_on_both_keys(settings):
    site_key = federation_keys.public_bytes(federation_keys.federation_key(settings))
    node_key = federation_keys.node_public_bytes(federation_keys.node_key(settings))
    shown = federation_keys.fingerprint(site_key, node_key)
    assert [len(group) for group in shown.split(" ")] == [4] * 16
    assert federation_keys.fingerprint(bytes(32), node_key) != shown
    assert federation_keys.fingerprint(site_key, node_key + b"\n") != shown


def test_a_missing_key_is_named(settings):
    federation_keys.forget(settings, federation_keys.FEDERATION_KEY)
    with pytest.raises(ConfigurationError, match=r"federation\.key"):
        federation_keys.federation_key(settings)


@pytest.mark.parametrize("content", [b"", b"no key", bytes(range(32))])
def test_a_node_key_that_is_none_is_named(settings, content):
    secrets.write(federation_keys.node_key_path(settings), content)
    with pytest.raises(ConfigurationError, match=r"supernode\.key"):
        federation_keys.node_key(settings)


def test_a_node_key_of_another_curve_or_another_form_is_none(settings):
    own = federation_keys.node_public_bytes(federation_keys.node_key(settings))
    other = federation_keys.node_public_bytes(ec.generate_private_key(ec.SECP256R1()))
    assert federation_keys.load_node_public(own)
    for bad in (other, own + b"\n", own.replace(b"\n", b"\r\n"), own * 2):
        with pytest.raises(BadRequest):
            federation_keys.load_node_public(bad)


@given(st.binary(max_size=600))
def test_what_is_no_node_key_is_a_bad_request(content):
    with pytest.raises(BadRequest):
        federation_keys.load_node_public(content)
