"""The chain of the audit trail: how a record hangs on the one before it, how its end is signed, how both are verified.

Nothing that the database enforces is trusted here: a trail that was edited by somebody who may do everything there is
still told from one that was not, back to the last signature, and where a signed head was kept elsewhere, to that.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from archive.audit import canonical, instant
from archive.errors import BadRequest

GENESIS = bytes(32)  # what the first record hangs on
_CONTEXT = b"senogate audit checkpoint 1\0"
_INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{6}Z")


class Link(NamedTuple):
    """A record in its place."""

    number: int
    hash: bytes
    content: str


class Fault(NamedTuple):
    """What is wrong with the trail, and the records among which it is: from `first` to `last`."""

    first: int
    last: int
    problem: str


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A signed statement that the chain had this hash at this number; where it `closes`, that what is before may go."""

    number: int
    hash: bytes
    signed_at: str
    closes: bool
    key_id: str
    signature: bytes

    def to_json(self) -> dict[str, Any]:
        """As it is shown, and kept elsewhere."""
        return {
            "number": self.number,
            "hash": self.hash.hex(),
            "signed_at": self.signed_at,
            "closes": self.closes,
            "key_id": self.key_id,
            "signature": self.signature.hex(),
        }

    @classmethod
    def from_json(cls, found: object) -> "Checkpoint":
        """Raises BadRequest for what is no checkpoint."""
        try:
            match found:
                case {
                    "number": int(number),
                    "hash": str(hashed),
                    "signed_at": str(signed_at),
                    "closes": bool(closes),
                    "key_id": str(key_id),
                    "signature": str(signature),
                } if _INSTANT.fullmatch(signed_at):
                    return cls(
                        number, bytes.fromhex(hashed), signed_at, closes, key_id, bytes.fromhex(signature)
                    )
        except ValueError:
            pass
        raise BadRequest("it is no signed head of an audit trail")


def chain(previous: bytes, number: int, content: str) -> bytes:
    """The hash of a record: SHA-256 over the hash before it, its number in 8 bytes, and its content in UTF-8."""
    return hashlib.sha256(previous + number.to_bytes(8, "big") + content.encode("utf-8")).digest()


def key_id_of(public: Ed25519PublicKey) -> str:
    """The first half of the key's SHA-256, in hexadecimal."""
    return hashlib.sha256(public.public_bytes_raw()).hexdigest()[:32]


def sign(
    private: Ed25519PrivateKey,
    number: int,
    hashed: bytes,
    *,
    closes: bool = False,
    at: datetime | None = None,
) -> Checkpoint:
    """Sign that the chain has this hash at this number."""
    signed_at = instant(at or datetime.now(UTC))
    signature = private.sign(_message(number, hashed, signed_at, closes))
    return Checkpoint(number, hashed, signed_at, closes, key_id_of(private.public_key()), signature)


def is_signed(checkpoint: Checkpoint, public: Ed25519PublicKey) -> bool:
    """Whether the key signed exactly this."""
    message = _message(checkpoint.number, checkpoint.hash, checkpoint.signed_at, checkpoint.closes)
    try:
        public.verify(checkpoint.signature, message)
    except InvalidSignature:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Signers:
    """The public key that signs, and each that signed before it with the last number that it may have signed."""

    current: Ed25519PublicKey
    former: tuple[tuple[Ed25519PublicKey, int], ...] = ()

    def allow(self, checkpoint: Checkpoint) -> bool:
        """Whether the key that the checkpoint names signed it, in that key's time."""
        in_time = [(self.current, checkpoint.number), *self.former]
        return any(
            key_id_of(public) == checkpoint.key_id
            and checkpoint.number <= last
            and is_signed(checkpoint, public)
            for public, last in in_time
        )

    def followed_by(self, public: Ed25519PublicKey, last: int) -> "Signers":
        """With another key that signs, the one that did having signed up to a number."""
        return Signers(public, ((self.current, last), *self.former))

    def to_bytes(self) -> bytes:
        """The current key's 32 bytes; of each former one its 32 bytes and its last number in 8."""
        former = (public.public_bytes_raw() + last.to_bytes(8, "big") for public, last in self.former)
        return self.current.public_bytes_raw() + b"".join(former)

    @classmethod
    def from_bytes(cls, found: bytes) -> "Signers":
        """Raises ValueError for what is no such list."""
        if len(found) % 40 != 32:
            raise ValueError("not a list of keys")
        rows = [found[start : start + 40] for start in range(32, len(found), 40)]
        load = Ed25519PublicKey.from_public_bytes
        former = ((load(row[:32]), int.from_bytes(row[32:], "big")) for row in rows)
        return cls(load(found[:32]), tuple(former))


def _message(number: int, hashed: bytes, signed_at: str, closes: bool) -> bytes:
    members = {"closes": closes, "hash": hashed.hex(), "number": number, "signed_at": signed_at}
    return _CONTEXT + canonical(members).encode()


def not_ours(checkpoint: Checkpoint) -> Fault:
    """What is wrong with a checkpoint that no key of the site signed in its time."""
    return Fault(checkpoint.number, checkpoint.number, "the checkpoint's signature is not by the site's key")


def verify(links: Iterable[Link], checkpoints: Sequence[Checkpoint], signers: Signers) -> Iterator[Fault]:
    """What is wrong with a trail; nothing where every record is as it was written.

    `links` come in the order of their numbers; of `checkpoints`, which come in any, those kept elsewhere may be some.
    """
    genuine = [each for each in checkpoints if signers.allow(each)]
    for each in checkpoints:
        if each not in genuine:
            yield not_ours(each)
    passage = iter(links)
    first = next(passage, None)
    walk = _Walk(_start(genuine, first), genuine)
    for link in [first] if first else []:
        yield from walk.step(link)
    for link in passage:
        yield from walk.step(link)
    yield from walk.end()


def _start(genuine: Sequence[Checkpoint], first: Link | None) -> Checkpoint | None:
    """The checkpoint that closed off what lay before the first record."""
    closing = [each for each in genuine if each.closes and (first is None or each.number < first.number)]
    return max(closing, key=lambda each: each.number, default=None)


class _Walk:
    """One passage along the chain."""

    def __init__(self, start: Checkpoint | None, genuine: Sequence[Checkpoint]) -> None:
        self._number, self._hash = (start.number, start.hash) if start else (0, GENESIS)
        self._signed: dict[int, list[Checkpoint]] = {}
        for each in genuine:
            self._signed.setdefault(each.number, []).append(each)
        self._agreed = self._number  # the last number at which the chain was what was signed

    def step(self, link: Link) -> Iterator[Fault]:
        expected = self._number + 1
        if link.number < expected:
            yield Fault(link.number, link.number, "a record stands where none belongs")
            return
        if link.number > expected:
            yield Fault(expected, link.number - 1, "records are missing")
        elif chain(self._hash, link.number, link.content) != link.hash:
            yield Fault(link.number, link.number, "the record is not the one that was written here")
        self._number, self._hash = link.number, link.hash
        yield from self._compare()

    def _compare(self) -> Iterator[Fault]:
        for signed in self._signed.get(self._number, ()):
            if signed.hash != self._hash:
                problem = f"not the records that were signed {signed.signed_at}"
                yield Fault(min(self._agreed + 1, self._number), self._number, problem)
            self._agreed = self._number

    def end(self) -> Iterator[Fault]:
        last = max(self._signed, default=0)
        if last > self._number:
            problem = f"records are missing that were signed {self._signed[last][0].signed_at}"
            yield Fault(self._number + 1, last, problem)


def read_records(lines: Iterable[str]) -> tuple[list[Link], list[Checkpoint]]:
    """Records and checkpoints as `senogate audit export --as records` writes them. Raises BadRequest."""
    links: list[Link] = []
    checkpoints: list[Checkpoint] = []
    for line in lines:
        match _parse(line):
            case {"number": int(number), "hash": str(hashed), "content": str(content)}:
                links.append(Link(number, _from_hex(hashed), content))
            case {"checkpoint": found}:
                checkpoints.append(Checkpoint.from_json(found))
            case _:
                raise BadRequest("a line is neither a record nor a checkpoint")
    return links, checkpoints


def _parse(line: str) -> object:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        raise BadRequest("a line is not JSON") from None


def _from_hex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise BadRequest("a record's hash is not hexadecimal") from None
