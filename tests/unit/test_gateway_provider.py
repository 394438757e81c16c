"""OpenID providers elsewhere: discovery and keys, and how little anybody can make the site ask them."""

import asyncio
import json
import time

import anyio
import pytest

from archive.addresses import is_allowed
from archive.errors import BadRequest, Unavailable
from archive.policy import Action, Role
from gateway import outgoing, provider
from gateway.issuers import parse_rule
from gateway.outgoing import fetch_json
from gateway.provider import Configured, Provider, RoleRule
from gateway.web_token import InvalidToken, read
from tests import oidc
from tests.oidc import AUDIENCE

DISCOVERY = "/.well-known/openid-configuration"


@pytest.fixture
def elsewhere():
    with oidc.provider("ES256") as made:
        yield made


@pytest.fixture
def known(elsewhere):
    return Provider(Configured("elsewhere", elsewhere.url, AUDIENCE))


def accept(known, *tokens):
    """What becomes of each token, in the order given: a principal or the error."""

    async def all_of_them():
        return await asyncio.gather(
            *(known.principal(read(token)) for token in tokens), return_exceptions=True
        )

    return anyio.run(all_of_them)


class TestKeys:
    """OpenID Connect Discovery section 4, RFC 7517 section 5."""

    @pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256", "EdDSA"])
    def test_signatures_of_another_library_verify(self, algorithm):
        with oidc.provider(algorithm) as made:
            (found,) = accept(Provider(Configured("e", made.url, AUDIENCE)), made.sign())
        assert (found.subject, found.actions) == (f"{made.url}#s", {Action.READ})

    def test_they_are_fetched_once_for_many_tokens(self, known, elsewhere):
        accept(known, *(elsewhere.sign({"sub": str(number)}) for number in range(20)))
        assert elsewhere.asked == {DISCOVERY: 1, "/jwks": 1}

    def test_a_flood_of_unknown_keys_makes_one_fetch_more(self, known, elsewhere, monkeypatch):
        accept(known, elsewhere.sign())
        known._due_at = 0  # the interval since the first fetch has passed
        floods = [elsewhere.sign(kid=f"unknown-{number}") for number in range(200)]
        assert all(isinstance(each, InvalidToken) for each in accept(known, *floods))
        assert elsewhere.asked["/jwks"] == 2

    def test_a_key_that_is_new_there_is_found(self, known, elsewhere):
        accept(known, elsewhere.sign())
        elsewhere.rotate("second")
        known._due_at = 0
        assert accept(known, elsewhere.sign())[0].subject

    def test_a_new_key_within_the_interval_has_to_wait(self, known, elsewhere):
        accept(known, elsewhere.sign())
        elsewhere.rotate("second")
        assert isinstance(accept(known, elsewhere.sign())[0], InvalidToken)

    def test_a_key_that_is_gone_there_verifies_no_more_once_it_is_old_here(
        self, known, elsewhere, monkeypatch
    ):
        token = elsewhere.sign()
        accept(known, token)
        elsewhere.rotate("second")
        del elsewhere.keys[1]
        now = time.monotonic()
        monkeypatch.setattr(provider.time, "monotonic", lambda: now + provider.FRESH + 1)
        assert isinstance(accept(known, token)[0], InvalidToken)

    def test_an_issuer_that_is_away_is_relied_upon_for_a_while_and_not_for_ever(
        self, known, elsewhere, monkeypatch
    ):
        accept(known, elsewhere.sign())
        elsewhere.answers[DISCOVERY] = (500, {}, b"")
        now, token = time.monotonic(), elsewhere.sign()
        monkeypatch.setattr(provider.time, "monotonic", lambda: now + provider.FRESH + 1)
        assert accept(known, token)[0].subject
        monkeypatch.setattr(provider.time, "monotonic", lambda: now + provider.STALE + 1)
        assert isinstance(accept(known, token)[0], Unavailable)

    def test_after_a_failure_it_is_left_alone_for_a_moment(self, known, elsewhere):
        elsewhere.answers[DISCOVERY] = (500, {}, b"")
        for _ in range(5):
            assert isinstance(accept(known, elsewhere.sign())[0], Unavailable)
        assert elsewhere.asked[DISCOVERY] == 1

    def test_the_only_key_needs_no_identifier(self, known, elsewhere):
        assert accept(known, elsewhere.sign(kid=None))[0].subject
        elsewhere.rotate("second")
        known._due_at, known.published = 0, None
        assert isinstance(accept(known, elsewhere.sign(kid=None))[0], InvalidToken)

    @pytest.mark.parametrize(
        "change",
        [
            {"use": "enc"},
            {"alg": "HS256"},
            {"alg": "ES384"},
            {"kty": "oct"},
            {"x": "AAAA"},
            {"crv": "P-384"},
            {"kid": 1},
        ],
    )
    def test_other_keys_are_passed_over(self, known, elsewhere, change):
        token, jwk = elsewhere.sign(), elsewhere.keys[0].as_dict(private=False) | change
        elsewhere.answers["/jwks"] = (200, {}, json.dumps({"keys": [jwk, None, 1, {}]}).encode())
        assert isinstance(accept(known, token)[0], InvalidToken)


class TestDiscovery:
    @pytest.mark.parametrize(
        "change",
        [
            {"issuer": "https://other.test"},
            {"issuer": None},
            {"jwks_uri": "http://keys.test/jwks"},
            {"jwks_uri": "file:///etc/passwd"},
            {"jwks_uri": None},
        ],
    )
    def test_a_description_that_is_not_its_own(self, known, elsewhere, change):
        elsewhere.metadata |= change
        assert isinstance(accept(known, elsewhere.sign())[0], Unavailable)

    @pytest.mark.parametrize("path", [DISCOVERY, "/jwks"])
    def test_a_redirect_is_not_followed(self, known, elsewhere, path):
        with oidc.provider("ES256") as other:
            elsewhere.answers[path] = (302, {"location": f"{other.url}{path}"}, b"")
            assert isinstance(accept(known, elsewhere.sign())[0], Unavailable)
            assert not other.asked

    @pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b'"x"', b"[" * 100_000])
    def test_what_is_no_json_object(self, elsewhere, body):
        elsewhere.answers["/x"] = (200, {}, body)
        with pytest.raises(Unavailable):
            anyio.run(fetch_json, f"{elsewhere.url}/x")

    def test_an_answer_that_is_too_long(self, elsewhere):
        elsewhere.answers["/x"] = (200, {}, b'{"a": "' + b"x" * outgoing.MAXIMUM_ANSWER + b'"}')
        with pytest.raises(Unavailable, match="more than is read"):
            anyio.run(fetch_json, f"{elsewhere.url}/x")

    def test_an_answer_that_does_not_come(self, monkeypatch):
        monkeypatch.setattr(outgoing, "TIMEOUT", 0.2)

        async def ask() -> None:
            silent = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1")
            async with silent:
                port = silent.sockets[0].getsockname()[1]
                with pytest.raises(Unavailable):
                    await fetch_json(f"http://127.0.0.1:{port}/x")

        anyio.run(ask)

    @pytest.mark.parametrize(
        "url",
        ["http://issuer.test", "ftp://issuer.test", "https://", "https://u@issuer.test", "https://issuer.test/#x", "x",
         "https://issuer.test:x", "https://issuer.test/a b", "http://127.0.0.1.evil.test", "https://é.test", ""],
    )  # fmt: skip
    def test_addresses_that_are_not_asked(self, url):
        assert not is_allowed(url)

    @pytest.mark.parametrize(
        "url", ["https://issuer.test/realms/x", "http://127.0.0.1:80/x", "http://[::1]:8080/x"]
    )
    def test_addresses_that_are(self, url):
        assert is_allowed(url)


@pytest.mark.parametrize(
    ("issuer", "address", "may"),
    [
        ("https://issuer.test", "https://keys.test/jwks", True),
        ("https://issuer.test", "http://127.0.0.1:8042/x", False),
        ("http://127.0.0.1:9", "http://127.0.0.1:9/jwks", True),
        ("http://127.0.0.1:9", "http://keys.test/jwks", False),
        ("https://issuer.test", ["https://keys.test"], False),
    ],
)
def test_an_issuer_sends_the_site_to_no_plain_address_within(issuer, address, may):
    assert Provider(Configured("e", issuer)).may_name(address) is may


class TestPrincipal:
    RULES = (
        RoleRule("groups", "/stewards", Role.STEWARD),
        RoleRule("realm_access.roles", "doctor", Role.CLINICIAN),
        RoleRule("https://x.test/role", "r", Role.RESEARCHER),
    )

    def principal(self, elsewhere, claims, **configured):
        known = Provider(Configured("e", elsewhere.url, AUDIENCE, **configured))
        return accept(known, elsewhere.sign(claims))[0]

    @pytest.mark.parametrize(
        ("claims", "roles"),
        [
            ({}, set()),
            ({"groups": ["/x", "/stewards"]}, {Role.STEWARD}),
            ({"groups": "/stewards"}, {Role.STEWARD}),
            ({"groups": "/stewards/x"}, set()),
            ({"groups": {"/stewards": 1}}, set()),
            ({"realm_access": {"roles": ["doctor"]}}, {Role.CLINICIAN}),
            ({"realm_access": ["doctor"]}, set()),
            ({"https://x.test/role": "r"}, {Role.RESEARCHER}),
            ({"roles": ["administrator", "steward"]}, set()),
        ],
    )
    def test_roles_are_those_of_the_rules_alone(self, elsewhere, claims, roles):
        assert self.principal(elsewhere, claims, roles=self.RULES).roles == roles

    @pytest.mark.parametrize(
        ("said", "granted", "actions"),
        [
            ("dicomweb.read", "", {Action.READ}),
            ("openid", "", set()),
            ("openid", "dicomweb.read", {Action.READ}),
            ("dicomweb.write", "dicomweb.read", {Action.WRITE}),
            (None, "dicomweb.read", {Action.READ}),
        ],
    )
    def test_a_token_that_names_no_scope_of_the_site_has_what_the_site_grants(
        self, elsewhere, said, granted, actions
    ):
        assert self.principal(elsewhere, {"scope": said}, scope=granted).actions == actions

    def test_no_audience_no_access_tokens(self, elsewhere):
        known = Provider(Configured("e", elsewhere.url, "", "client"))
        assert isinstance(accept(known, elsewhere.sign({"aud": ""}))[0], InvalidToken)

    def test_a_permit_is_passed_on(self, elsewhere):
        assert self.principal(elsewhere, {"permit": "HDAB-1"}).permit == "HDAB-1"

    def test_a_purpose_is_passed_on(self, elsewhere):
        assert self.principal(elsewhere, {"purpose": "research"}).purpose == "research"


def test_a_rule_is_read_and_a_wrong_one_refused():
    assert parse_rule("groups=/a:b:steward") == RoleRule("groups", "/a:b", Role.STEWARD)
    for text in ("groups", "groups=a", "groups=a:king", "=a:steward", "groups=:steward"):
        with pytest.raises(BadRequest):
            parse_rule(text)
