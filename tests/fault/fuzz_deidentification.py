"""Mutated instances: none is stored with the identity of its source, none crashes the engine, none takes long.

    python -m tests.fault.fuzz_deidentification [--count 100000] [--seed 1]

`tests/unit/test_fuzz.py` runs a small number of them.
"""

import argparse
import random
import struct
import time
import zlib
from collections import Counter
from dataclasses import dataclass, field

from deidentification.deidentify import Deidentifier, Refused
from deidentification.profile import Profile
from deidentification.pseudonym import Keys
from tests.unit.part10_bytes import (
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    SEQUENCE_END,
    UNDEFINED,
    dataset,
    element,
    item,
    jpeg,
    mammogram,
    part10,
    sequence,
)

_PIXEL_DATA = struct.pack("<HH", 0x7FE0, 0x0010)
JPEG = "1.2.840.10008.1.2.4.50"
# Who the source is about. A mutation may spoil one of these, so each is planted more than once.
IDENTITY = (b"MUSTERMANN", b"ERIKA", b"PATIENT-12345", b"19551203", b"1.2.752.99.1.2", b"JOHN^SMITHSON")
SLOWEST_MS = 10.0


@dataclass
class Tally:
    """What became of the mutated instances."""

    stored: int = 0
    slowest_ms: float = 0.0
    refused: Counter[str] = field(default_factory=Counter)
    leaks: list[bytes] = field(default_factory=list)

    def __str__(self) -> str:
        reasons = ", ".join(f"{code} {count}" for code, count in self.refused.most_common())
        return (
            f"{self.stored} stored, {self.refused.total()} refused, {len(self.leaks)} leaks, "
            f"slowest {self.slowest_ms:.2f} CPU-ms\n  {reasons}"
        )


def make_engine() -> Deidentifier:
    """The shipped profile, with limits that a small instance does not reach."""
    keys = Keys.derive(b"a site secret of thirty-two bytes")
    return Deidentifier(keys, Profile.load("breast-screening"), max_inflated_bytes=1 << 20)


def run(engine: Deidentifier, count: int, seed: int) -> Tally:
    """Mutate and de-identify `count` instances; anything but Refused ends the run."""
    drawn, seeds, tally = random.Random(seed), make_seeds(), Tally()
    for _ in range(count):
        syntax, instance = drawn.choice(seeds)
        mutated = mutate(drawn, instance)
        began = time.thread_time()
        try:
            made = engine.deidentify(mutated)
        except Refused as refused:
            tally.refused[refused.reason.code] += 1
            made = None
        tally.slowest_ms = max(tally.slowest_ms, (time.thread_time() - began) * 1000)
        if made is not None:
            tally.stored += 1
            if holds_identity(made.instance, syntax) or not engine.carries_proof(made.instance):
                tally.leaks.append(mutated)
    return tally


def mutate(drawn: random.Random, instance: bytes) -> bytes:
    """Some bytes set, put in, taken out, doubled or swapped; most often one only."""
    data = bytearray(instance)
    for _ in range(drawn.choice((1, 1, 1, 2, 3, 6))):
        at, length = drawn.randrange(len(data) or 1), drawn.choice((1, 1, 2, 4, 8, 16))
        piece = data[at : at + length]
        kind = drawn.randrange(6)
        if kind == 0 and piece:
            data[at] ^= 1 << drawn.randrange(8)
        elif kind == 1:
            data[at : at + length] = drawn.randbytes(length)
        elif kind == 2:
            data[at:at] = drawn.choice((drawn.randbytes(length), b"\xff" * length, bytes(length)))
        elif kind == 3:
            del data[at : at + length]
        elif kind == 4:
            data[at:at] = piece * drawn.choice((1, 2, 50))
        else:
            to = drawn.randrange(len(data) or 1)
            data[to : to + length] = piece
    return bytes(data)


def holds_identity(instance: bytes, syntax: str) -> bool:
    """Whether what was stored names the source.

    The values of pixels are left out: a mutation that copies a name into them makes no name that is text.
    """
    header, _, pixels = instance.partition(_PIXEL_DATA)
    if syntax == DEFLATED:
        stream = zlib.decompressobj(-15)
        header = instance + stream.decompress(instance[144 + struct.unpack_from("<L", instance, 140)[0] :])
        header, _, pixels = header.partition(_PIXEL_DATA)
    segments = pixels.partition(b"\xff\xda")[0] if syntax == JPEG else b""
    upper = (header + segments).upper()
    return any(word in upper for word in IDENTITY)


def make_seeds() -> list[tuple[str, bytes]]:
    """Small instances in each encoding, with identity at every kind of place."""
    private = {0x00091001: ("LO", b"MUSTERMANN"), 0x00090010: ("LO", b"SOMEBODY")}
    others = {0x00104000: ("LT", b"ERIKA MUSTERMANN 19551203"), 0x00081050: ("PN", b"JOHN^SMITHSON")}
    full = mammogram() | private | others
    report = mammogram(
        x00080016=("UI", b"1.2.840.10008.5.1.4.1.1.88.34"), x7FE00010=None, x00280010=None, x00280011=None
    )
    text = element(0x0040A040, "CS", b"TEXT") + element(0x0040A160, "UT", b"MRS MUSTERMANN")
    content = sequence(0x0040A730, text, sequence(0x0040A730, text, undefined=True), undefined=True)
    head = dataset({tag: value for tag, value in report.items() if tag < 0x0040A730})
    unknown = item(element(0x00100010, "PN", b"JOHN^SMITHSON", explicit=False))
    frame = jpeg(b"1111")[:2] + b"\xff\xfe\0\x0cMUSTERMANN" + jpeg(b"1111")[2:]
    frames = item(struct.pack("<L", 0)) + item(frame[:14]) + item(frame[14:]) + SEQUENCE_END
    compressed = dataset(full | mammogram(x7FE00010=("OB", b""))).removesuffix(
        element(0x7FE00010, "OB", b"")
    ) + element(0x7FE00010, "OB", frames, length=UNDEFINED)
    stream = zlib.compressobj(6, zlib.DEFLATED, -15)
    deflated = stream.compress(dataset(full)) + stream.flush()
    return [
        (EXPLICIT, part10(dataset(full))),
        (IMPLICIT, part10(dataset(full, explicit=False), IMPLICIT)),
        (EXPLICIT, part10(head + content)),
        (EXPLICIT, part10(dataset(full | {0x00540220: ("UN", unknown)}))),
        (DEFLATED, part10(deflated, DEFLATED)),
        (JPEG, part10(compressed, JPEG)),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    tally = run(make_engine(), arguments.count, arguments.seed)
    print(tally)
    raise SystemExit(1 if tally.leaks or tally.slowest_ms > SLOWEST_MS else 0)


if __name__ == "__main__":
    main()
