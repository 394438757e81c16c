"""What a dataset's page draws of its numbers: bars, each with the count that it stands for."""

from dataclasses import dataclass

from archive.holdings import Counts, Holdings
from gateway.portal.languages import marked

MODALITIES = {"MG": marked("Mammography"), "US": marked("Ultrasound"), "MR": marked("Magnetic resonance")}
SEXES = {"F": marked("Female"), "M": marked("Male"), "O": marked("Other")}


@dataclass(frozen=True, slots=True)
class Plot:
    """Counts to be drawn as bars: (label, count, share of the largest in percent). `of` is what the labels are."""

    title: str
    of: str
    unit: str
    bars: tuple[tuple[str, int, float], ...]


def plots_of(holdings: Holdings) -> list[Plot]:
    """Those of what is held, without any that would be empty."""
    modalities = {MODALITIES.get(each, each): n for each, n in sorted(holdings.modalities.items())}
    if holdings.tomosynthesis:
        modalities[marked("of it with tomosynthesis")] = holdings.tomosynthesis
    ages = {f"{low}–{low + 4}": holdings.ages[str(low)] for low in sorted(map(int, holdings.ages))}
    sexes = {SEXES.get(each, marked("Not known")): n for each, n in sorted(holdings.sexes.items())}
    densities = {each.upper(): n for each, n in sorted(holdings.densities.items())}
    lesions = {
        marked("read"): holdings.lesions.get("read", 0),
        marked("with a lesion"): holdings.lesions.get("marked", 0),
    }
    drawn = [
        _plot(marked("Modality"), marked("Modality"), marked("studies"), modalities),
        _plot(marked("Age at the exam"), marked("Years of age"), marked("studies"), ages),
        _plot(marked("Sex"), marked("Sex"), marked("individuals"), sexes),
        _plot(
            marked("Breast density (AI, research use only)"), marked("Category"), marked("studies"), densities
        ),
        _plot(
            marked("Lesions (AI, research use only)"),
            marked("Exams"),
            marked("studies"),
            lesions if lesions["read"] else {},
        ),
        _plot(
            marked("Manufacturer"),
            marked("Manufacturer"),
            marked("studies"),
            dict(sorted(holdings.manufacturers.items())),
        ),
        _plot(marked("Year"), marked("Year"), marked("studies"), dict(sorted(holdings.years.items()))),
    ]
    return [plot for plot in drawn if plot.bars]


def _plot(title: str, of: str, unit: str, counts: Counts) -> Plot:
    most = max(counts.values(), default=0)
    bars = tuple((label, count, 100 * count / most) for label, count in counts.items() if count)
    return Plot(title, of, unit, bars)
