"""What a fleet call says of itself, read before Flower reads it: which run it is about, and which node it is from.

Flower's messages are protobuf (https://protobuf.dev/programming-guides/encoding). Only the one form is taken in which
Flower writes them, fields in their order and none twice, so that nothing is read here that Flower reads otherwise.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from enum import IntEnum

from archive.errors import BadRequest, PayloadTooLarge

MIB = 1024**2
HEAD = 4096  # bytes at the beginning of an object's call within which its content begins
TAIL = 256  # bytes that may follow the content
_LONGEST_VARINT = 10


class Wire(IntEnum):
    """How a field is written."""

    VARINT = 0
    FIXED64 = 1
    LENGTH = 2


@dataclass(frozen=True, slots=True)
class Shape:
    """The fields that a message may have, and how many bytes."""

    fields: Mapping[int, Wire]
    most: int = 64 * 1024
    run: int = 0  # the field with the run; 0 for none


_NODE_AND_RUN = {1: Wire.LENGTH, 2: Wire.VARINT, 3: Wire.LENGTH}
CALLS: Mapping[str, Shape] = {
    "activate-node": Shape({1: Wire.LENGTH, 2: Wire.FIXED64}),
    "deactivate-node": Shape({1: Wire.VARINT}),
    "send-node-heartbeat": Shape({1: Wire.LENGTH, 2: Wire.FIXED64}),
    "pull-messages": Shape({1: Wire.LENGTH}),
    "push-messages": Shape(dict.fromkeys((1, 2, 3, 4), Wire.LENGTH), most=4 * MIB),
    "get-run": Shape({1: Wire.LENGTH, 2: Wire.VARINT}, run=2),
    "get-fab": Shape({1: Wire.LENGTH, 2: Wire.LENGTH, 3: Wire.VARINT}, run=3),
    "push-object": Shape(_NODE_AND_RUN | {4: Wire.LENGTH, 5: Wire.LENGTH}, most=16 * MIB, run=2),
    "pull-object": Shape(_NODE_AND_RUN, run=2),
    "confirm-message-received": Shape(_NODE_AND_RUN, run=2),
}
"""The calls that a site may make. Registering nodes is the hub's own business."""

ABOUT_RUNS = frozenset(["push-messages", *(call for call, shape in CALLS.items() if shape.run)])
"""Those that name a run."""

_METADATA = Shape(
    {1: Wire.VARINT, 2: Wire.LENGTH, 3: Wire.VARINT, 4: Wire.VARINT, 5: Wire.LENGTH, 6: Wire.LENGTH}
    | {7: Wire.FIXED64, 8: Wire.LENGTH, 9: Wire.FIXED64, 10: Wire.VARINT, 11: Wire.VARINT}
)
_MESSAGE = Shape({1: Wire.LENGTH, 2: Wire.LENGTH, 3: Wire.LENGTH})
_NODE = Shape({1: Wire.VARINT})
_CONTENT = 4  # the field of an object's call

Value = int | bytes


@dataclass(frozen=True, slots=True)
class Named:
    """What a call names: a run, where it is about one."""

    run: int | None = None


def read_call(call: str, body: bytes) -> Named:
    """What a whole call names. Raises BadRequest for what Flower would not write."""
    found = read(body, CALLS[call])
    if call == "push-messages":
        return Named(_run_of_reply(found))
    return Named(_number(found, CALLS[call].run)) if CALLS[call].run else Named()


def _run_of_reply(found: Mapping[int, Value]) -> int:
    """The run that the one reply is of, which has to come from the node that asks."""
    node = read(_bytes(found, 1), _NODE)
    metadata = read(_bytes(read(_bytes(found, 2), _MESSAGE), 1), _METADATA)
    if _number(metadata, 3) != _number(node, 1):
        raise BadRequest("the reply is from another node than the one that sends it")
    return _number(metadata, 1)


@dataclass(slots=True)
class Object:
    """An object's call, whose content is carried on as it comes: what it names, and how its bytes are parted."""

    named: Named
    begun: bytes
    content: int  # bytes from the beginning to the content's end


async def begin_object(chunks: AsyncIterator[bytes], length: int) -> Object:
    """Read until the content begins. `length` is that of the whole body. Raises BadRequest."""
    begun = bytearray()
    async for chunk in chunks:
        begun += chunk
        if len(begun) >= min(HEAD, length):
            break
    if len(begun) < min(HEAD, length):
        raise BadRequest("the body ends before its length")
    found, end = _read_until(bytes(begun[:HEAD]), CALLS["push-object"], _CONTENT)
    if not length - TAIL <= end <= length:
        raise BadRequest("the object's length is not that of the body")
    return Object(Named(_number(found, 2)), bytes(begun), end)


async def carry(opened: Object, chunks: AsyncIterator[bytes], length: int) -> AsyncIterator[bytes]:
    """The whole body, its last bytes only when they are what may follow a content. Raises BadRequest."""
    sent, tail = 0, bytearray()

    def part(chunk: bytes) -> bytes:
        nonlocal sent
        whole = min(len(chunk), opened.content - sent)
        sent += whole
        tail.extend(chunk[whole:])
        if sent + len(tail) > length:
            raise PayloadTooLarge("the body is longer than its length")
        return chunk[:whole]

    if first := part(opened.begun):
        yield first
    async for chunk in chunks:
        if rest := part(chunk):
            yield rest
    if sent + len(tail) != length:
        raise BadRequest("the body ends before its length")
    read(bytes(tail), Shape({5: Wire.LENGTH}))
    yield bytes(tail)


def read(data: bytes, shape: Shape) -> dict[int, Value]:
    """The fields of a message, each once and in order. Raises BadRequest."""
    found: dict[int, Value] = {}
    position = 0
    while position < len(data):
        number, value, position = _field(data, position, shape, max(found, default=0))
        if isinstance(value, int) or position <= len(data):
            found[number] = value
        else:
            raise BadRequest(_MALFORMED)
    return found


_MALFORMED = "the call is not in the form in which Flower writes it"


def _read_until(data: bytes, shape: Shape, last: int) -> tuple[dict[int, Value], int]:
    """The fields before the last one, and where that one ends, which may be beyond the data."""
    found: dict[int, Value] = {}
    position = 0
    while position < len(data):
        number, value, position = _field(data, position, shape, max(found, default=0))
        if number == last:
            return found, position
        found[number] = value
    raise BadRequest(_MALFORMED)


def _field(data: bytes, position: int, shape: Shape, before: int) -> tuple[int, Value, int]:
    """The field at this position: its number, its value as far as the data go, and where it ends."""
    key, position = _varint(data, position)
    number, wire = key >> 3, key & 7
    if number <= before or shape.fields.get(number) != wire:
        raise BadRequest(_MALFORMED)
    if wire == Wire.VARINT:
        value, position = _varint(data, position)
        return number, value, position
    size, position = (8, position) if wire == Wire.FIXED64 else _varint(data, position)
    return number, data[position : position + size], position + size


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """A number in its shortest form, and where it ends."""
    value = 0
    for index, byte in enumerate(data[position : position + _LONGEST_VARINT]):
        value |= (byte & 0x7F) << 7 * index
        if not byte & 0x80:
            if (byte == 0 and index) or value >= 2**64:
                break
            return value, position + index + 1
    raise BadRequest(_MALFORMED)


def _number(found: Mapping[int, Value], number: int) -> int:
    """A field's number, 0 where it is left out (proto3)."""
    value = found.get(number, 0)
    assert isinstance(value, int)
    return value


def _bytes(found: Mapping[int, Value], number: int) -> bytes:
    value = found.get(number, b"")
    assert isinstance(value, bytes)
    return value
