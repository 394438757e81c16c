"""Correlated noise, of mean 0 and deviation 1, the same for the same generator."""

import cv2
import numpy as np
import numpy.typing as npt

Plane = npt.NDArray[np.float32]
Volume = npt.NDArray[np.float32]


def draw_volume_noise(random: np.random.Generator, shape: tuple[int, int, int], roughness: float) -> Volume:
    """Noise of `shape` whose amplitude falls with spatial frequency to the power `roughness`."""
    axes = [np.fft.fftfreq(size).astype(np.float32) for size in shape[:2]]
    last = np.fft.rfftfreq(shape[2]).astype(np.float32)
    square = axes[0][:, None, None] ** 2 + axes[1][:, None] ** 2 + last**2
    amplitude = np.maximum(square, np.float32(2 / max(shape)) ** 2) ** np.float32(-roughness / 2)
    spectrum = np.fft.rfftn(random.standard_normal(shape, dtype=np.float32)) * amplitude
    return _standard(np.fft.irfftn(spectrum, s=shape, axes=(0, 1, 2)).astype(np.float32))


def draw_plane_noise(
    random: np.random.Generator, shape: tuple[int, int], scales: tuple[float, ...], roughness: float
) -> Plane:
    """Noise of `shape` (rows, columns): a sum of smooth noises, one for each scale in pixels.

    Each counts as its scale to the power `roughness`, so that a larger one makes coarser grain.
    """
    total = np.zeros(shape, np.float32)
    for scale in scales:
        total += np.float32(scale**roughness) * _draw_smooth(random, shape, scale)
    return _standard(total)


def _draw_smooth(random: np.random.Generator, shape: tuple[int, int], scale: float) -> Plane:
    rows, columns = (int(size / scale) + 4 for size in shape)
    coarse = random.standard_normal((rows, columns), dtype=np.float32)
    if scale <= 1:
        return coarse[: shape[0], : shape[1]]
    size = (round(columns * scale), round(rows * scale))
    fine = cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC if scale > 2 else cv2.INTER_LINEAR)
    return np.asarray(fine[: shape[0], : shape[1]], np.float32)


def _standard(noise: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return np.asarray((noise - noise.mean()) / noise.std(), np.float32)
