"""The hub's relay under attack: what is not the whole call of an active member's own SuperNode reaches no SuperLink."""

import asyncio
import base64
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from starlette.responses import Response

from archive import federation_keys
from archive.federation_roles import read_site
from gateway.fleet import identity
from gateway.fleet.carrying import NODE_KEY
from gateway.fleet.identity import Identity
from tests.federation.nodes import Node
from tests.federation.superlink import PROTOBUF, FakeSuperLink, serve_superlink
from tests.live import eventually

PREFIX = "/federation/v1/fleet/"
HEARTBEAT = b"\x0a\x02\x08\x07\x11" + bytes(8)  # node 7, and an interval
RUN = 2**63 + 11


def varint(value: int) -> bytes:
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


def about(run: int) -> bytes:
    """A call that names node 7 and a run."""
    return b"\x0a\x02\x08\x07\x10" + varint(run)


def an_object(run: int, content: bytes) -> bytes:
    return about(run) + b"\x1a\x02id\x22" + varint(len(content)) + content + b"\x2a\x01s"


class Site:
    """A member, as its relay speaks to the hub."""

    def __init__(self, hub: Node, node: Node, name: str) -> None:
        self.hub, self.node, self.name = hub, node, name
        joined = read_site(node.settings)
        assert joined
        self.identity = Identity.load(node.settings, joined)

    @property
    def header(self) -> str:
        return base64.b64encode(self.identity.node_key).decode()

    def call(self, call: str, body: bytes = HEARTBEAT, **headers: str) -> httpx.Response:
        """Make a call; `headers` have underscores for dashes, and an empty one is left out."""
        own = {
            "authorization": f"Bearer {self.identity.token()}",
            NODE_KEY: self.header,
            "content-type": PROTOBUF,
        }
        own |= {name.replace("_", "-"): value for name, value in headers.items()}
        sent = {name: value for name, value in own.items() if value}
        with httpx.Client(trust_env=False, timeout=30) as client:
            return client.post(f"{self.hub.settings.public_url}{PREFIX}{call}", content=body, headers=sent)

    def claims(self, **changed: object) -> str:
        """A token with other claims, signed by the site's own key; `key` is another to sign with."""
        now = int(time.time())
        key = changed.pop("key", self.identity.key)
        claims = {
            "iss": self.name, "sub": federation_keys.node_subject(self.identity.node_key), "iat": now, "exp": now + 60,
            "aud": identity.audience_of(self.hub.settings.public_url), "jti": "x",
        }  # fmt: skip
        kid = federation_keys.key_id(federation_keys.public_bytes(self.identity.key))
        headers = {"kid": kid, "typ": identity.TYPE}
        return f"Bearer {jwt.encode(claims | changed, key, algorithm='EdDSA', headers=headers)}"


@pytest.fixture(scope="module")
def hub(make_node: Callable[[], Node]) -> Node:
    node = make_node()
    node.run("init", "hub")
    return node


def join(hub: Node, node: Node) -> Site:
    name = f"s{uuid.uuid4().hex[:12]}"
    told = node.told("join", stdin=hub.invite(name))[0]
    hub.run("approve", name, told["fingerprint"])
    return Site(hub, node, name)


@pytest.fixture(scope="module")
def member(hub: Node, make_node: Callable[[], Node]) -> Site:
    return join(hub, make_node())


@pytest.fixture(scope="module")
def other(hub: Node, make_node: Callable[[], Node]) -> Site:
    return join(hub, make_node())


@pytest.fixture(scope="module")
def served(hub: Node) -> Iterator[FakeSuperLink]:
    with serve_superlink(hub.settings) as fake:
        yield fake


@pytest.fixture
def superlink(served: FakeSuperLink) -> FakeSuperLink:
    """One that has seen nothing yet and answers at once."""
    served.__init__()
    return served


def denials(hub: Node) -> list[dict]:
    with hub.database() as connection:
        rows = connection.execute("select content::jsonb from audit order by number").fetchall()
    return [row for (row,) in rows if row["event"] == "access.denied"]


def polls(member: Site) -> int:
    with member.hub.database() as connection:
        return dict(connection.execute("select member, polls from fleet_poll").fetchall()).get(member.name, 0)


class TestCarrying:
    def test_a_call_is_handed_on_with_flowers_headers_and_no_others(self, member, superlink):
        answer = member.call(
            "send-node-heartbeat", flwr_signature="sig", cookie="a=b", x_forwarded_for="1.2.3.4"
        )
        assert (answer.status_code, answer.content, answer.headers["content-type"]) == (
            200,
            b"\x08\x01",
            PROTOBUF,
        )
        (call,) = superlink.calls
        assert (call.path, call.body) == ("/v1/fleet/send-node-heartbeat", HEARTBEAT)
        assert call.headers["flwr-signature"] == "sig" and call.headers[NODE_KEY] == member.header
        assert not {"authorization", "cookie", "x-forwarded-for"} & call.headers.keys()

    def test_what_the_superlink_refuses_is_told_as_it_says_it(self, member, superlink):
        async def refuse(call):
            return Response(b'{"code": 1}', 409, media_type="application/json")

        superlink.answer = refuse
        answer = member.call("pull-messages", b"\x0a\x02\x08\x07")
        assert (answer.status_code, answer.content) == (409, b'{"code": 1}')

    def test_a_site_that_the_superlink_does_not_know_yet_tries_again(self, member, superlink):
        async def refuse(call):
            return Response(b"{}", 412, media_type="application/json")

        superlink.answer = refuse
        assert member.call("activate-node", b"\x0a\x01k\x11" + bytes(8)).status_code == 503

    def test_a_superlink_that_breaks_an_answer_off_breaks_it_off(self, member, superlink):
        class Broken(Response):
            async def __call__(self, scope, receive, send):
                headers = [(b"content-length", b"100")]
                await send({"type": "http.response.start", "status": 200, "headers": headers})
                await send({"type": "http.response.body", "body": b"half", "more_body": True})
                raise OSError

        async def half(call):
            return Broken()

        superlink.answer = half
        before = polls(member)
        with pytest.raises(httpx.RemoteProtocolError):
            member.call("pull-messages", b"\x0a\x02\x08\x07")
        assert polls(member) == before

    def test_a_question_for_messages_that_had_its_answer_is_counted(self, member, superlink):
        """By it the hub sees that a SuperNode works on none."""
        before = polls(member)
        member.call("pull-messages", b"\x0a\x02\x08\x07")
        eventually(lambda: polls(member) == before + 1)


class TestWhoAsks:
    @pytest.mark.parametrize(
        "token",
        [
            lambda member, other: "",
            lambda member, other: "Bearer nonsense",
            lambda member, other: "Basic YTpi",
            lambda member, other: member.claims(exp=int(time.time()) - 120, iat=int(time.time()) - 180),
            lambda member, other: member.claims(exp=int(time.time()) + 3600),
            lambda member, other: member.claims(aud="https://another.example/federation"),
            lambda member, other: member.claims(iss=other.name),
            lambda member, other: member.claims(sub=federation_keys.node_subject(other.identity.node_key)),
            lambda member, other: member.claims(key=Ed25519PrivateKey.generate()),
            lambda member, other: member.claims(key=other.identity.key),
        ],
        ids=[
            "none",
            "nonsense",
            "basic",
            "expired",
            "lasting",
            "audience",
            "issuer",
            "subject",
            "key",
            "others-key",
        ],
    )
    def test_a_token_that_proves_nothing_is_401(self, hub, member, other, superlink, token):
        before = len(denials(hub))
        assert member.call("pull-messages", authorization=token(member, other)).status_code == 401
        assert superlink.begun == 0 and len(denials(hub)) == before + 1

    def test_the_header_of_another_site_is_refused_and_on_record(self, hub, member, other, superlink):
        answer = member.call("send-node-heartbeat", **{NODE_KEY.replace("-", "_"): other.header})
        assert answer.status_code == 403 and superlink.begun == 0
        last = denials(hub)[-1]
        assert last["subject"] == f"member:{member.name}" and last["detail"]["call"] == "send-node-heartbeat"

    def test_a_call_without_a_node_key_is_refused(self, member, superlink):
        assert member.call("pull-messages", **{NODE_KEY.replace("-", "_"): ""}).status_code == 403
        assert superlink.begun == 0


class TestRevocation:
    @pytest.fixture
    def leaver(self, hub, make_node) -> Site:
        return join(hub, make_node())

    def test_a_call_that_waits_for_its_answer_is_cut(self, hub, leaver, superlink):
        async def never(call):
            await asyncio.sleep(60)

        superlink.answer = never
        with ThreadPoolExecutor(1) as thread:
            calling = thread.submit(leaver.call, "pull-messages", b"\x0a\x02\x08\x07")
            eventually(lambda: superlink.calls)
            hub.run("revoke", leaver.name)
            assert calling.result(10).status_code == 403
        assert leaver.call("pull-messages").status_code == 403

    def test_an_object_that_is_under_way_is_cut(self, hub, leaver, superlink, allow):
        allow(leaver, RUN)
        body, half = an_object(RUN, bytes(300_000)), threading.Event()

        def slowly():
            yield body[:200_000]
            half.wait(30)
            yield body[200_000:]

        with ThreadPoolExecutor(1) as thread:
            calling = thread.submit(leaver.call, "push-object", slowly(), content_length=str(len(body)))
            eventually(lambda: superlink.begun)
            hub.run("revoke", leaver.name)
            eventually(lambda: superlink.broken)
            half.set()
            assert isinstance(calling.exception(10), httpx.HTTPError) or calling.result().status_code == 403
        assert not superlink.calls


@pytest.fixture
def allow(hub: Node) -> Callable[[Site, int], None]:
    """A callable that makes a run of this number, in which the site takes part."""

    def make(site: Site, number: int, state: str = "running", decision: str = "approved") -> None:
        run = f"R{uuid.uuid4().hex[:16]}"
        with hub.database() as connection:
            connection.execute("update run set flower_run = null where flower_run = %s", [number])
            connection.execute(
                "insert into run (run, manifest, signature, created_by, state, flower_run) "
                "values (%s, %s, '', 'test', %s, %s)", [run, run.encode(), state, number],
            )  # fmt: skip
            connection.execute(
                "insert into run_answer (run, member, decision, answer, signature) values (%s, %s, %s, '', '')",
                [run, site.name, decision],
            )

    return make


class TestRuns:
    def test_a_run_that_the_site_approved_is_carried(self, member, superlink, allow):
        allow(member, RUN)
        assert member.call("get-run", about(RUN)).status_code == 200

    def test_one_that_an_earlier_member_of_the_name_approved_is_403(self, hub, member, superlink, allow):
        allow(member, RUN + 5)
        with hub.database() as connection:
            connection.execute(
                "update run_answer set at = requested_at - interval '1 s' from member, run "
                "where member.name = run_answer.member and run.run = run_answer.run and flower_run = %s",
                [RUN + 5],
            )
        assert member.call("get-run", about(RUN + 5)).status_code == 403 and superlink.begun == 0

    @pytest.mark.parametrize(("state", "decision"), [("running", "refused"), ("stopped", "approved")])
    def test_one_that_it_refused_or_that_ended_is_403(self, member, superlink, allow, state, decision):
        allow(member, RUN + 1, state, decision)
        assert member.call("get-run", about(RUN + 1)).status_code == 403 and superlink.begun == 0

    @pytest.mark.parametrize("call", ["get-run", "pull-object", "confirm-message-received", "push-object"])
    def test_one_of_others_is_403(self, member, other, superlink, allow, call):
        allow(other, RUN + 2)
        body = an_object(RUN + 2, b"content") if call == "push-object" else about(RUN + 2)
        assert member.call(call, body).status_code == 403 and superlink.begun == 0


class TestPlaces:
    @pytest.mark.parametrize(
        "path",
        [
            *("register-node", "unregister-node", "", "pull-messages/", "PULL-MESSAGES", "pull-messages?a=1"),
            *(
                "..%2f..%2fcontrol%2flist-runs",
                "%2e%2e/control/start-run",
                "pull%2dmessages",
                "pull-messages%00",
            ),
            *("/v1/control/list-runs", "v1/runtime/pull-messages", "pull-messages/../../control/list-runs"),
        ],
    )
    def test_what_is_no_fleet_call_is_404_and_on_record(self, hub, member, superlink, path):
        before = len(denials(hub))
        assert raw(hub, f"POST {PREFIX}{path} HTTP/1.1", member).split()[1] == b"404"
        assert superlink.begun == 0 and len(denials(hub)) == before + 1

    @pytest.mark.parametrize(
        "path", ["/v1/fleet/pull-messages", "/v1/control/list-runs", "/v1/runtime/pull-messages"]
    )
    def test_flowers_own_addresses_are_not_here(self, hub, member, superlink, path):
        assert raw(hub, f"POST {path} HTTP/1.1", member).split()[1] == b"404" and superlink.begun == 0


def raw(
    hub: Node, line: str, member: Site, *headers: str, body: bytes = b"\x0a\x02\x08\x07", end: bool = False
) -> bytes:
    """What the hub's gateway answers to these very bytes, to its end; `end` closes after the body."""
    own = [
        f"authorization: Bearer {member.identity.token()}",
        f"{NODE_KEY}: {member.header}",
        "connection: close",
    ]
    own += headers or [f"content-length: {len(body)}"]
    with socket.create_connection(("127.0.0.1", hub.settings.port), 20) as connection:
        connection.sendall("\r\n".join([line, "host: hub", *own, "", ""]).encode() + body)
        if end:
            connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


PULL = f"POST {PREFIX}pull-messages HTTP/1.1"


class TestBodies:
    @pytest.mark.parametrize(
        "call", ["pull-messages", "push-messages", "get-run", "push-object", "pull-object"]
    )
    @pytest.mark.parametrize("body", [b"\xff" * 40, b"\x0a\x7fx", b"{}", b"\x0b" * 9, HEARTBEAT * 3])
    def test_what_flower_would_not_write_is_400(self, member, superlink, call, body):
        assert member.call(call, body).status_code == 400 and superlink.begun == 0

    @pytest.mark.parametrize(("call", "size"), [("pull-messages", 65537), ("push-object", 16 * 1024**2 + 1)])
    def test_what_is_too_large_is_413_before_it_comes(self, hub, member, superlink, call, size):
        line = f"POST {PREFIX}{call} HTTP/1.1"
        assert raw(hub, line, member, f"content-length: {size}", body=b"").split()[1] == b"413"
        assert superlink.begun == 0

    @pytest.mark.parametrize(
        "headers",
        [
            ("transfer-encoding: chunked",),
            ("content-length: 4", "content-length: 5"),
            ("content-length: 4", "transfer-encoding: chunked"),
            ("content-length: +4",),
            ("content-length: 4, 4",),
            ("content-length: 4", f"{NODE_KEY}: other"),
            ("content-length: 4", "authorization: Bearer other"),
            ("content-length: 4", "content-type: a", "content-type: b"),
        ],
    )
    def test_headers_that_can_be_read_in_two_ways_are_refused(self, hub, member, superlink, headers):
        status = raw(hub, PULL, member, *headers).split()[1]
        assert status in (b"400", b"401", b"403") and superlink.begun == 0

    @pytest.mark.parametrize("call", ["pull-messages", "push-object"])
    def test_a_body_that_ends_early_is_never_whole_at_the_superlink(
        self, hub, member, superlink, allow, call
    ):
        allow(member, RUN)
        body = an_object(RUN, bytes(100_000))
        raw(
            hub,
            f"POST {PREFIX}{call} HTTP/1.1",
            member,
            f"content-length: {len(body)}",
            body=body[:-10],
            end=True,
        )
        eventually(lambda: superlink.broken == superlink.begun)
        assert not superlink.calls

    def test_bytes_after_the_body_are_no_second_call(self, hub, member, superlink):
        """They are another request, which has no token."""
        smuggled = (
            b"\x0a\x02\x08\x07POST /v1/control/list-runs HTTP/1.1\r\nhost: hub\r\ncontent-length: 0\r\n\r\n"
        )
        raw(hub, PULL, member, "content-length: 4", body=smuggled)
        assert [call.path for call in superlink.calls] == ["/v1/fleet/pull-messages"]
