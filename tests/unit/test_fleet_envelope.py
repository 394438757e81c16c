"""What the relay reads of Flower's calls: what Flower reads of them, or nothing (protobuf's encoding)."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive.errors import BadRequest, PayloadTooLarge
from gateway.fleet.envelope import CALLS, begin_object, carry, read_call

fleet = pytest.importorskip("flwr.proto.fleet_pb2")
from flwr.proto import fab_pb2, heartbeat_pb2, message_pb2, node_pb2, run_pb2  # noqa: E402

NODE = node_pb2.Node(node_id=2**63 + 5)
RUN = 2**64 - 3
KINDS = {
    "activate-node": fleet.ActivateNodeRequest(public_key=b"key", heartbeat_interval=30),
    "deactivate-node": fleet.DeactivateNodeRequest(node_id=7),
    "send-node-heartbeat": heartbeat_pb2.SendNodeHeartbeatRequest(node=NODE, heartbeat_interval=30),
    "pull-messages": fleet.PullMessagesRequest(node=NODE),
    "get-run": run_pb2.GetRunRequest(node=NODE, run_id=RUN),
    "get-fab": fab_pb2.GetFabRequest(node=NODE, hash_str="ab", run_id=RUN),
    "push-object": message_pb2.PushObjectRequest(
        node=NODE, run_id=RUN, object_id="id", object_content=b"c" * 10_000, session_id="s"
    ),
    "pull-object": message_pb2.PullObjectRequest(node=NODE, run_id=RUN, object_id="id"),
    "confirm-message-received": message_pb2.ConfirmMessageReceivedRequest(
        node=NODE, run_id=RUN, message_object_id="id"
    ),
}


def reply(*, node: int = 5, source: int = 5) -> "fleet.PushMessagesRequest":
    metadata = message_pb2.Metadata(
        run_id=RUN, message_id="m", src_node_id=source, ttl=1.5, message_type="train"
    )
    return fleet.PushMessagesRequest(
        node=node_pb2.Node(node_id=node),
        messages_list=[message_pb2.Message(metadata=metadata)],
        message_object_trees=[message_pb2.ObjectTree(object_id="m")],
        clientapp_runtime_list=[0.5],
    )


@pytest.mark.parametrize("call", KINDS)
def test_what_flower_writes_is_read(call: str) -> None:
    named = read_call(call, KINDS[call].SerializeToString(deterministic=True))
    assert named.run == (RUN if CALLS[call].run else None)


def test_a_reply_names_its_run() -> None:
    assert read_call("push-messages", reply().SerializeToString(deterministic=True)).run == RUN


def test_a_reply_from_another_node_is_refused() -> None:
    with pytest.raises(BadRequest, match="another node"):
        read_call("push-messages", reply(source=6).SerializeToString(deterministic=True))


def test_two_replies_in_one_call_are_refused() -> None:
    """The SuperLink takes the first, and would not look at whose the second is."""
    both = reply()
    both.messages_list.add()
    with pytest.raises(BadRequest):
        read_call("push-messages", both.SerializeToString(deterministic=True))


def test_a_field_that_comes_twice_is_refused() -> None:
    """Of a field that comes twice protobuf takes the last."""
    body = KINDS["get-run"].SerializeToString(deterministic=True)
    with pytest.raises(BadRequest):
        read_call("get-run", body + run_pb2.GetRunRequest(run_id=1).SerializeToString())


@pytest.mark.parametrize(
    "body",
    [b"\xff" * 12, b"\x0a", b"\x0a\x7f", b"\x10\x80\x00", b"\x12\x01a", b"\x0b\x0c", b"\x10" + b"\xff" * 10],
)
def test_what_is_no_call_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest):
        read_call("get-run", body)


@given(st.sampled_from(["get-run", "get-fab", "pull-object"]), st.binary(max_size=80))
def test_what_is_read_is_what_flower_reads(call: str, body: bytes) -> None:
    try:
        named = read_call(call, body)
    except BadRequest:
        return
    known = type(KINDS[call])()
    try:
        known.ParseFromString(body)
    except Exception:  # noqa: BLE001 - the SuperLink refuses it: nothing is read otherwise
        return
    assert known.run_id == named.run


async def carried(body: bytes, length: int, size: int) -> tuple[int | None, bytes]:
    async def chunks():
        for start in range(0, len(body), size):
            yield body[start : start + size]

    source = chunks()
    opened = await begin_object(source, length)
    return opened.named.run, b"".join([chunk async for chunk in carry(opened, source, length)])


@pytest.mark.parametrize("size", [1, 100, 4096, 100_000])
@pytest.mark.parametrize("content", [0, 10, 5000, 50_000])
def test_an_object_is_carried_as_it_came(size: int, content: int) -> None:
    sent = message_pb2.PushObjectRequest(
        node=NODE,
        run_id=RUN,
        object_id="a" * 64,
        object_content=b"\x12" * max(content, 1),
        session_id="s" * 64,
    )
    body = sent.SerializeToString(deterministic=True)
    assert asyncio.run(carried(body, len(body), size)) == (RUN, body)


def test_a_run_that_follows_an_object_is_refused_before_it_is_sent_on() -> None:
    body = KINDS["push-object"].SerializeToString(deterministic=True)
    with pytest.raises(BadRequest):
        asyncio.run(carried(body + b"\x10\x01", len(body) + 2, 4096))


@pytest.mark.parametrize("cut", [1, 20, 5000])
def test_an_object_that_ends_early_is_refused(cut: int) -> None:
    body = KINDS["push-object"].SerializeToString(deterministic=True)
    with pytest.raises(BadRequest):
        asyncio.run(carried(body[:-cut], len(body), 4096))


def test_an_object_that_goes_on_is_refused() -> None:
    body = KINDS["push-object"].SerializeToString(deterministic=True)
    with pytest.raises((BadRequest, PayloadTooLarge)):
        asyncio.run(carried(body + b"\x2a\x01s", len(body), 4096))
