"""How a breast lies on the detector in one view. Millimetres from the chest wall (x) and from the image's top (y)."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from inference.phantom.anatomy import turn
from inference.phantom.population import Breast

Array = npt.NDArray[np.floating]
ANGLES = {"CC": 0.0, "MLO": 45.0}
_TIP = 0.2  # below this share of the depth, a breast's edge has no inside to speak of


@dataclass(frozen=True, slots=True)
class Geometry:
    """One compression.

    `depth` is from chest wall to nipple, `up` and `down` from the nipple's level `level` to the breast's edges;
    `tail` is how wide the axillary tail is at the top, `muscle` (width, height) the pectoral muscle's corner; both
    are 0 in CC. `thickness` is the compressed breast's.
    """

    angle: float
    depth: float
    level: float
    up: float
    down: float
    roundness: float
    thickness: float
    tail: float = 0.0
    muscle: tuple[float, float] = (0.0, 0.0)

    def outline(self, y: Array) -> Array:
        """How far from the chest wall the skin lies at each y; 0 beyond the breast."""
        across = np.abs(self.across(y))
        ball = self.depth * np.clip(1 - across**self.roundness, 0, None) ** (1 / self.roundness)
        if not self.tail:
            return np.asarray(ball)
        above = np.clip((self.level - y) / self.level, 0, 1)
        return np.asarray(np.maximum(ball, np.where(y < self.level, self.tail + 8 * (1 - above), 0)))

    def across(self, y: Array) -> Array:
        """The breast's own coordinate across the view at each y: positive above the nipple."""
        return np.where(y < self.level, (self.level - y) / self.up, (self.level - y) / self.down)

    def along(self, x: Array, y: Array) -> Array:
        """The breast's own coordinate towards the nipple at (x, y): 0 at the chest wall."""
        ball = np.sqrt(np.clip(1 - self.across(y) ** 2, 0, 1))
        return np.asarray(x / np.maximum(self.outline(y), 1e-3) * np.maximum(ball, _TIP))

    def place(self, middle: Array, offsets: Array) -> tuple[Array, Array]:
        """(x, y), (n, 2), of parts at offsets (n, 3), and their depth along the compression, (n,), from −1 to 1."""
        a, depth, across = turn(np.asarray(middle), self.angle)
        y = self.level - across * (self.up if across > 0 else self.down)
        x = a * float(self.outline(y)) / np.sqrt(max(1 - across**2, _TIP**2))
        turned = turn(offsets, self.angle)
        places = np.stack([x + turned[..., 0], y - turned[..., 2]], axis=-1)
        return places, depth + turned[..., 1] / (self.thickness / 2)

    def muscle_share(self, x: Array, y: Array) -> Array:
        """Whether the pectoral muscle lies at (x, y): 1 inside, 0 outside, with a soft edge."""
        width, height = self.muscle
        if not width:
            return np.zeros(np.broadcast_shapes(np.shape(x), np.shape(y)), np.float32)
        outside = (x / width) ** 1.15 + (y / height) ** 1.15 - 1
        return np.asarray(1 / (1 + np.exp(np.clip(45 * outside, -20, 20))), np.float32)

    def muscle_edge(self) -> Array:
        """The muscle's edge from the top to the chest wall, (n, 2); (0, 2) in CC."""
        width, height = self.muscle
        share = np.linspace(0, 1, 9 if width else 0)
        return np.column_stack([width * (1 - share**1.15) ** (1 / 1.15), height * share])


def draw_geometry(random: np.random.Generator, breast: Breast, position: str, height: float) -> Geometry:
    """How a breast is positioned for `CC` or `MLO` on a detector of `height`."""
    stretch = random.uniform(0.96, 1.04)
    if position == "CC":
        level = height * random.uniform(0.47, 0.53)
        up = min(breast.half_height * random.uniform(0.95, 1.05), level - 4)
        down = min(breast.half_height * random.uniform(0.95, 1.05), height - level - 4)
        return Geometry(0.0, breast.depth * stretch, level, up, down, breast.roundness, breast.thickness)
    level = height * random.uniform(0.56, 0.62)
    return Geometry(
        angle=ANGLES["MLO"],
        depth=breast.depth * stretch,
        level=level,
        up=min(1.15 * breast.half_height, level - 4),
        down=min(0.9 * breast.half_height, height - level - 6),
        roundness=breast.roundness,
        thickness=breast.thickness * random.uniform(1.0, 1.1),
        tail=breast.depth * random.uniform(0.6, 0.75),
        muscle=(breast.depth * random.uniform(0.4, 0.55), level * random.uniform(0.9, 1.1)),
    )
