"""How blurred a mammogram is, without a reference: the width of the Gaussian that would explain its spectrum.

Breast tissue shows a power law in spatial frequency (Burgess, Jacobson, Judy, Med Phys 28:419, 2001); a Gaussian blur
of deviation s multiplies the power by exp(-(2 pi s f)^2). Both, over a floor of white noise, are fitted to the mean
power spectrum of patches inside the breast, for each of four directions: motion blurs one direction only.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from inference.picture import Picture

PATCH = 25.6
"""Millimetres of a patch's side; patches that lie wholly inside the breast are taken, half overlapping."""

PATCHES = 48
"""At most so many patches, evenly chosen."""

BAND = (0.3, 4.0)
"""Cycles per millimetre between which the spectrum is fitted, as far as it stands above the noise."""

ABOVE = 2.0
"""The spectrum is used as far as it is so many times the noise's."""

SLOPE = (3.0, 0.6)
"""The exponent of tissue's power law that is expected, and its deviation from image to image."""

SCATTER = 0.15
"""The deviation of ln(power) from what is fitted, in each band of frequencies."""

DETAIL = (1.0, 2.0)
"""Cycles per millimetre of the details that motion takes from one direction."""

HIDDEN = 0.34
"""Where noise hides all but the coarsest details, the blur is at least this over the highest frequency that is seen:
the deviation of a Gaussian that leaves there a hundredth of the power, which is about what noise hides."""

DIRECTIONS = 4

_NOTHING = 1e-30

Spectrum = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Blur:
    """Of the direction that is blurred most: the deviation of its blur in millimetres; and how much weaker than in
    the other directions small details are in the weakest one, in decibels.
    """

    deviation: float
    directed: float


def measure_blur(picture: Picture) -> Blur | None:
    """The blur of a picture at full resolution, with mask and spacing; None where it has too little breast for it."""
    if picture.spacing is None or picture.mask is None:
        return None
    pixels = np.asarray(picture.pixels, np.float32)
    side = 16 * max(round(PATCH / max(picture.spacing) / 16), 1)
    corners = _corners(picture.mask, side)
    if not corners:
        return None
    logs = [np.log(_power(pixels[y : y + side, x : x + side]) + _NOTHING) for y, x in corners]
    power = np.exp(np.mean(logs, axis=0))
    down = np.fft.fftfreq(side, picture.spacing[0])[:, np.newaxis]
    across = np.fft.rfftfreq(side, picture.spacing[1])[np.newaxis, :]
    frequency = np.hypot(down, across)
    sector = (
        np.floor(np.rad2deg(np.arctan2(down, across)) / (180 / DIRECTIONS) + 0.5).astype(int) % DIRECTIONS
    )
    sectors = [(frequency[sector == one], power[sector == one]) for one in range(DIRECTIONS)]
    deviation = np.sqrt(max(0.0, *(_fit(*each) for each in sectors)))
    return Blur(float(deviation), _deficit([_level(*each) for each in sectors]))


def _deficit(levels: list[float]) -> float:
    """Of the weakest direction against the mean of the others, in decibels."""
    weakest = int(np.argmin(levels))
    others = np.mean([one for index, one in enumerate(levels) if index != weakest])
    return float(10 * np.log10(float(others) / levels[weakest]))


def _level(frequency: Spectrum, power: Spectrum) -> float:
    """The mean power of details of a quarter to half a millimetre, less the noise's; never quite nothing."""
    chosen = (frequency >= DETAIL[0]) & (frequency <= DETAIL[1])
    noise = _noise(frequency, power)
    return max(float(power[chosen].mean()) - noise, 0.05 * noise, _NOTHING)


def _corners(mask: npt.NDArray[np.bool_], side: int) -> list[tuple[int, int]]:
    """The upper left corners of patches inside the mask."""
    rows, columns = mask.shape
    inside = cv2.erode(mask.astype(np.uint8), np.ones((17, 17), np.uint8))
    sums = cv2.integral(inside)
    every = [
        (y, x)
        for y in range(0, rows - side + 1, side // 2)
        for x in range(0, columns - side + 1, side // 2)
        if sums[y + side, x + side] - sums[y, x + side] - sums[y + side, x] + sums[y, x] == side**2
    ]
    return every[:: -(-len(every) // PATCHES)] if every else []


def _power(patch: npt.NDArray[np.float32]) -> Spectrum:
    """The power spectrum, (rows, columns // 2 + 1), of a patch without its mean and slope, under a Hann window."""
    window = np.hanning(len(patch)).astype(np.float32)
    ramp = np.linspace(-1, 1, len(patch), dtype=np.float32)
    level = patch - patch.mean()
    level = level - np.outer(ramp, np.ones_like(ramp)) * (
        (level * ramp[:, np.newaxis]).mean() / (ramp**2).mean()
    )
    level = level - np.outer(np.ones_like(ramp), ramp) * ((level * ramp).mean() / (ramp**2).mean())
    return np.asarray(np.abs(np.fft.rfft2(level * np.outer(window, window))) ** 2, np.float64)


def _noise(frequency: Spectrum, power: Spectrum) -> float:
    """The floor: the mean power of the highest frequencies."""
    return float(power[frequency > 0.85 * frequency.max()].mean())


def _fit(frequency: Spectrum, power: Spectrum) -> float:
    """The square of the blur's deviation (mm²): that of ln(power) = a - b ln f - (2 pi s f)^2, b near `SLOPE`."""
    edges = np.geomspace(*BAND, 17)
    bins, noise = np.digitize(frequency, edges), _noise(frequency, power)
    rows, values = [(0.0, SCATTER / SLOPE[1], 0.0)], [SLOPE[0] * SCATTER / SLOPE[1]]
    seen = BAND[0]
    for one in range(1, len(edges)):
        chosen = bins == one
        if chosen.sum() < 3:
            continue
        level = float(power[chosen].mean())
        if level < (1 + ABOVE) * noise:
            break
        f = seen = float(np.exp(np.log(frequency[chosen]).mean()))
        rows.append((1.0, -np.log(f), -((2 * np.pi * f) ** 2)))
        values.append(np.log(level - noise))
    if len(rows) < 5:
        return (HIDDEN / seen) ** 2
    return float(np.linalg.lstsq(np.array(rows), np.array(values), rcond=None)[0][2])
