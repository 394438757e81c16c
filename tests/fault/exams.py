"""What arrives at a site: screening exams and ultrasounds of made-up persons, and files that are damaged.

Every identity holds one of `MARKS`, so that it is found wherever it should not be.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from io import BytesIO
from pathlib import Path

from pydicom import dcmread

from inference.demo import build_exam
from inference.phantom import draw_exam
from senogate import scu
from tests.drawn_text import draw_names, ultrasound

MARKS = (b"Muster", b"DEMO-4711", b"PAT-40404")


@dataclass(frozen=True)
class Arrivals:
    """What a round sends: sound instances and damaged ones, as files outside of the site."""

    sound: Sequence[scu.Item]
    damaged: Sequence[scu.Item]

    @property
    def studies(self) -> set[str]:
        return {item.study_instance_uid for item in self.sound}

    def of(self, study_instance_uid: str) -> list[scu.Item]:
        return [item for item in self.sound if item.study_instance_uid == study_instance_uid]


def write(folder: Path, chance: random.Random, exams: int, damaged: int = 0) -> Arrivals:
    """Exams of four views each, and in every third round an ultrasound with names in its pixels, in a random order."""
    instances = [one for _ in range(exams) for one in _exam(f"{chance.getrandbits(128):x}")]
    if chance.randrange(3) == 0:
        instances.append(ultrasound(_scan(), PatientID=f"PAT-40404-{chance.randrange(10**6)}"))
    sound, broken = folder / "sound", folder / "damaged"
    for parent, contents in (
        (sound, instances),
        (broken, _damaged(chance, damaged)),
    ):
        parent.mkdir(parents=True)
        for number, content in enumerate(contents):
            (parent / f"{number:03}.dcm").write_bytes(content)
    items = scu.find_items([sound])
    chance.shuffle(items)
    return Arrivals(items, scu.find_items([broken]))


def pixels_of(part10: bytes) -> str:
    """The SHA-256 of an instance's pixels."""
    return sha256(dcmread(BytesIO(part10)).PixelData).hexdigest()


def _exam(seed: str) -> list[bytes]:
    """An exam of a woman of her own; only the phantom is the same."""
    number = f"DEMO-4711-{int(seed, 16) % 10**4:04}".encode()
    return [one.replace(b"DEMO-4711-0815", number) for one in build_exam(_views(), seed=seed)]


@cache
def _views():
    return draw_exam(7, glandular_fraction=0.35, rows=208, columns=160).images


@cache
def _scan():
    return draw_names(31, light=True)[0]


def _damaged(chance: random.Random, number: int) -> list[bytes]:
    return [_damage(chance.choice(_exam(f"{chance.getrandbits(128):x}")), chance) for _ in range(number)]


def _damage(instance: bytes, chance: random.Random) -> bytes:
    """An instance cut off, with bytes changed in its header, or with nonsense in it."""
    match chance.randrange(3):
        case 0:
            return instance[: chance.randrange(400, len(instance))]
        case 1:
            changed = bytearray(instance)
            for _ in range(20):
                changed[chance.randrange(400, 4000)] = chance.randrange(256)
            return bytes(changed)
        case _:
            place = chance.randrange(400, 3000)
            return instance[:place] + chance.randbytes(200) + instance[place:]
