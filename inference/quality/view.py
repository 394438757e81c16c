"""Everything that is measured in one view."""

from dataclasses import dataclass

from inference.picture import Picture, View
from inference.quality.chart import Chart, draw_chart
from inference.quality.nipple import Nipple, find_nipple
from inference.quality.pectoral import Pectoral, find_pectoral
from inference.quality.position import CutOff, find_cut_off, length, nipple_line
from inference.quality.sharpness import Blur, measure_blur
from inference.quality.technique import Artefacts, Exposure, find_artefacts, measure_exposure

CONVINCING_SHARE = 0.8
"""A muscle's edge steps from bright to dark along at least this share of its length,"""

CONVINCING_CONTRAST = 0.05
"""by at least this share of black to white,"""

CONVINCING_ANGLE = 6.0
"""and leaves the chest wall at an angle of at least so many degrees."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One view's measures. `pectoral` is None where no convincing edge of a muscle is seen; in a CC there is none."""

    view: View
    chart: Chart
    nipple: Nipple | None
    pectoral: Pectoral | None
    cut_off: CutOff
    blur: Blur | None
    exposure: Exposure
    artefacts: Artefacts

    @property
    def nipple_line(self) -> float | None:
        """The posterior nipple line's length in millimetres."""
        if self.nipple is None:
            return None
        return length(nipple_line(self.nipple, self.pectoral if self.view[1] == "MLO" else None))

    @property
    def shortfall(self) -> float | None:
        """How far above the nipple level the muscle's edge ends, in millimetres; negative where it reaches below."""
        if self.nipple is None or self.pectoral is None:
            return None
        return self.pectoral.along(self.nipple.point) - self.pectoral.length


def measure_view(picture: Picture) -> Measured:
    """Measure a picture of stored values. Raises ReadingFailed where it shows no breast or tells no spacing."""
    chart = draw_chart(picture)
    pectoral = _convincing(find_pectoral(chart))
    return Measured(
        view=picture.view,
        chart=chart,
        nipple=find_nipple(chart, pectoral if picture.view[1] == "MLO" else None),
        pectoral=pectoral,
        cut_off=find_cut_off(chart, picture.view[1]),
        blur=measure_blur(chart.full),
        exposure=measure_exposure(chart),
        artefacts=find_artefacts(chart),
    )


def _convincing(pectoral: Pectoral | None) -> Pectoral | None:
    if pectoral is None or pectoral.share < CONVINCING_SHARE:
        return None
    return (
        pectoral if pectoral.contrast >= CONVINCING_CONTRAST and pectoral.angle >= CONVINCING_ANGLE else None
    )
