"""What the list of the catalogue is narrowed to, as its address says."""

import re
from dataclasses import dataclass
from urllib.parse import urlencode

from starlette.requests import Request

from archive.catalogue import PAGE, Sought
from archive.errors import BadRequest

FACETS = {"modality": "modalities", "manufacturer": "manufacturers", "density": "densities"}
"""By the name in an address the facet of `archive.catalogue.Sought`."""
_MOST_VALUES, _LONGEST, _MOST_WORDS = 20, 200, 10


@dataclass(frozen=True, slots=True)
class Asked:
    """`first` is the place of the first dataset shown, from 0."""

    words: str
    sought: Sought
    first: int

    def values(self, facet: str) -> tuple[str, ...]:
        """The values that are wanted of a facet, by its name in an address."""
        found: tuple[str, ...] = getattr(self.sought, FACETS[facet])
        return found

    def address(self, first: int) -> str:
        """That of another page of the same."""
        pairs = [("q", self.words)] if self.words else []
        pairs += [(facet, value) for facet in FACETS for value in self.values(facet)]
        pairs += [("from", str(first))] if first else []
        return f"?{urlencode(pairs)}" if pairs else ""

    @property
    def before(self) -> str:
        return self.address(max(self.first - PAGE, 0))

    @property
    def behind(self) -> str:
        return self.address(self.first + PAGE)


def parse_asked(request: Request) -> Asked:
    """Raises BadRequest for a place that is none, and for what no value has."""
    given = request.query_params
    first, words = given.get("from", "0"), given.get("q", "").strip()
    if not re.fullmatch("[0-9]{1,6}", first):
        raise BadRequest("from is the number of the first dataset to be shown")
    facets = {name: tuple(given.getlist(facet)[:_MOST_VALUES]) for facet, name in FACETS.items()}
    if any(
        "\0" in text or len(text) > _LONGEST
        for text in (words, *(one for many in facets.values() for one in many))
    ):
        raise BadRequest(
            "what is sought has %(most)s characters at most, and no control characters", most=_LONGEST
        )
    return Asked(words, Sought(tuple(words.split()[:_MOST_WORDS]), **facets), int(first))
