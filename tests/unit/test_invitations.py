"""Invitations, and requests to join that both keys of a site have signed."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from hypothesis import given
from hypothesis import strategies as st

from archive import invitations
from archive.errors import BadRequest
from archive.federation_keys import node_public_bytes, public_bytes
from archive.invitations import (
    PREFIX,
    decode,
    encode,
    make_invitation,
    parse_invitation,
    sign_request,
    verify_request,
)

HUB, SITE = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
NODE = ec.generate_private_key(ec.SECP384R1())
INVITATION = make_invitation("hub", "https://hub.test", HUB, "north", timedelta(days=7))
LINE = INVITATION.to_text(HUB)
SENT = sign_request(INVITATION, SITE, NODE)


def signed(**changed: str) -> dict[str, str]:
    """The request with some of its members changed, signed anew by the site."""
    content = json.loads(decode(SENT["request"])) | changed
    text = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    return {
        "request": encode(text),
        "signature": encode(SITE.sign(invitations.REQUEST + text)),
        "node_signature": encode(NODE.sign(invitations.REQUEST + text, ECDSA(SHA256()))),
    }


class TestInvitation:
    def test_what_the_hub_made_is_read(self):
        assert parse_invitation(f"  {LINE}\n") == INVITATION

    def test_it_fits_into_a_line_of_a_terminal(self):
        assert len(LINE) < 1024

    def test_two_have_two_codes_of_256_bits(self):
        other = make_invitation("hub", "https://hub.test", HUB, "north", timedelta(days=7))
        assert other.code != INVITATION.code and len(other.code) == 43

    def test_its_code_is_not_shown_in_a_log(self):
        assert INVITATION.code not in repr(INVITATION)

    def test_it_expires(self):
        past = replace(INVITATION, expires_at=(datetime.now(UTC) - timedelta(seconds=1)).isoformat())
        assert INVITATION.is_timely and not past.is_timely

    def test_another_hub_signs_none_of_this_hub(self):
        with pytest.raises(BadRequest, match="damaged"):
            parse_invitation(INVITATION.to_text(SITE))

    @given(st.integers(0, len(LINE) - 1), st.sampled_from("Aa0-_.=~ \x00é"))
    def test_any_other_character_in_it_is_noticed(self, place, character):
        changed = LINE[:place] + character + LINE[place + 1 :]
        if changed != LINE:
            with pytest.raises(BadRequest) as refused:
                parse_invitation(changed)
            assert INVITATION.code not in str(refused.value)

    @given(st.text() | st.text().map(lambda text: f"{PREFIX}.{text}") | st.just(LINE * 9))
    def test_what_is_none_is_a_bad_request(self, line):
        with pytest.raises(BadRequest):
            parse_invitation(line)

    @pytest.mark.parametrize("changed", [
        {"url": "http://hub.test"}, {"url": "https://u:p@hub.test"}, {"url": "https://hub.test/"}, {"url": "file:///x"},
        {"name": "North"}, {"hub": ""}, {"hub_key": ""}, {"hub_key": encode(bytes(31))}, {"expires_at": "soon"},
        {"expires_at": "2026-01-01T00:00:00"},
    ])  # fmt: skip
    def test_what_it_can_not_say(self, changed):
        with pytest.raises(BadRequest):
            replace(INVITATION, **changed)


class TestRequest:
    def test_what_the_site_signed_is_what_it_asks(self):
        asked = verify_request(sign_request(INVITATION, SITE, NODE), public_bytes(HUB))
        assert (asked.code, asked.name) == (INVITATION.code, "north")
        assert (asked.site_key, asked.node_key) == (public_bytes(SITE), node_public_bytes(NODE))
        assert asked.code not in repr(asked)

    def test_it_is_for_one_hub(self):
        with pytest.raises(BadRequest, match="another hub"):
            verify_request(SENT, public_bytes(SITE))

    @pytest.mark.parametrize("days", [-1, 1])
    def test_it_is_for_now(self, days):
        at = (datetime.now(UTC) + timedelta(days=days)).isoformat()
        with pytest.raises(BadRequest, match="clocks"):
            verify_request(signed(at=at), public_bytes(HUB))

    @given(at=st.datetimes().map(datetime.isoformat), offset=st.sampled_from(["", "Z", "+23:59", "-23:59"]))
    def test_any_moment_is_for_now_or_is_refused(self, at, offset):
        with pytest.raises(BadRequest):
            verify_request(signed(at=at + offset), public_bytes(HUB))

    @pytest.mark.parametrize("name", ["signature", "node_signature"])
    def test_who_does_not_hold_a_key_can_not_ask_with_it(self, name):
        other = sign_request(
            INVITATION, Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP384R1())
        )
        with pytest.raises(BadRequest, match="not signed"):
            verify_request(SENT | {name: other[name]}, public_bytes(HUB))

    @given(st.sampled_from(sorted(SENT)), st.integers(0, 2000), st.integers(1, 255))
    def test_any_other_byte_in_it_is_noticed(self, name, place, difference):
        content = bytearray(decode(SENT[name]))
        content[place % len(content)] ^= difference
        with pytest.raises(BadRequest):
            verify_request(SENT | {name: encode(bytes(content))}, public_bytes(HUB))

    @given(st.fixed_dictionaries({name: st.text() | st.binary().map(encode) for name in SENT}))
    def test_what_is_none_is_a_bad_request(self, sent):
        with pytest.raises(BadRequest):
            verify_request(sent, public_bytes(HUB))

    @pytest.mark.parametrize("changed", [
        {"site_key": ""}, {"site_key": encode(bytes(33))}, {"node_key": "x"}, {"name": "a/b"}, {"at": ""},
        {"code": 1}, {"more": "x"}, {"node_key": node_public_bytes(ec.generate_private_key(ec.SECP256R1())).decode()},
    ])  # fmt: skip
    def test_what_it_can_not_say(self, changed):
        with pytest.raises(BadRequest):
            verify_request(signed(**changed), public_bytes(HUB))


def test_an_invitation_of_names_in_another_order_is_none():
    text = json.dumps(dict(reversed(list(json.loads(invitations._to_bytes(INVITATION)).items())))).encode()
    line = ".".join(
        [PREFIX, invitations._web64(text), invitations._web64(HUB.sign(invitations.INVITATION + text))]
    )
    with pytest.raises(BadRequest, match="damaged"):
        parse_invitation(line)
