"""Names drawn into frames: every pixel of each is masked by the cleaning, and no view marker is.

    python -m tests.fault.burned_in_text [--frames 20] [--seed 5000]

The seeds from 5000 on serve for nothing else: no threshold was chosen by them. What was drawn is known to the pixel, so
no detector judges another one. `tests/unit/test_burned_in_text.py` runs a small number of them.
"""

import argparse
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from pydicom import dcmread
from pydicom.filebase import DicomBytesIO

from inference.cleaning.cleaner import clean
from inference.cleaning.mask import covered
from inference.cleaning.text import Finder
from inference.cleaning.unsure import Unsure
from tests.drawn_text import Drawn, Grey, draw_faint_names, draw_markers, draw_names, ultrasound

HELD_OUT = 5000
LEAST = 14  # pixels, the size from which a name must not remain
GROUNDS: dict[str, Callable[..., tuple[Grey, list[Drawn]]]] = {
    "speckle": draw_names,
    "bright tissue": draw_faint_names,
}


@dataclass
class Tally:
    """How many texts were drawn, by kind, and what remained of names or was lost of view markers."""

    drawn: Counter[str] = field(default_factory=Counter)
    held: Counter[str] = field(default_factory=Counter)  # in frames that were left to a person
    remaining: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [
            f"{kind:<40} {count:>6} drawn, {self.held[kind]} held for a person"
            for kind, count in sorted(self.drawn.items())
        ]
        lines += [f"not wholly masked: {text}" for text in self.remaining]
        lines += [f"view marker lost: {text}" for text in self.lost]
        return "\n".join(
            [*lines, f"{len(self.remaining)} names remain, {len(self.lost)} view markers are lost"]
        )


def count_names(tally: Tally, finder: Finder, seeds: range) -> None:
    """Clean frames of names, two polarities and two grounds for each seed."""
    for seed in seeds:
        for ground, draw in GROUNDS.items():
            for light in (True, False):
                polarity = "light on dark" if light else "dark on light"
                _count_names_in(tally, finder, f"{polarity}, {ground}", seed, draw(seed, light=light))


def _count_names_in(
    tally: Tally, finder: Finder, kind: str, seed: int, made: tuple[Grey, list[Drawn]]
) -> None:
    frame, names = made
    sized = {
        id(name): f"{kind}, {f'{LEAST} px and more' if name.size >= LEAST else 'smaller'}" for name in names
    }
    tally.drawn.update(sized.values())
    try:
        cleaned = dcmread(DicomBytesIO(clean(ultrasound(frame), finder).instance)).pixel_array
    except Unsure:
        tally.held.update(sized.values())
        return
    for name in names:
        if (cleaned[name.ink] != cleaned.min()).any():
            tally.remaining.append(f"{sized[id(name)]}: seed {seed}, {name.size} px")


def count_markers(tally: Tally, finder: Finder, seeds: range) -> None:
    """Look for text in frames of four view markers each, of which none may be masked."""
    for seed in seeds:
        frame, markers = draw_markers(seed)
        tally.drawn["view markers, 14 to 60 px"] += len(markers)
        texts = [text.box for text in finder.find(frame, 255 - frame) if not text.is_marker]
        mask = covered(texts, (frame.shape[0], frame.shape[1]))
        tally.lost += [f"seed {seed}, {each.size} px" for each in markers if mask[each.ink].any()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=20, help="of each ground and polarity")
    parser.add_argument("--seed", type=int, default=HELD_OUT)
    arguments = parser.parse_args()
    tally, finder = Tally(), Finder()
    count_names(tally, finder, range(arguments.seed, arguments.seed + arguments.frames))
    count_markers(tally, finder, range(arguments.seed, arguments.seed + 50))
    print(tally)
    raise SystemExit(bool(tally.lost) or any("more" in text for text in tally.remaining))


if __name__ == "__main__":
    main()
