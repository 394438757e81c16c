"""How a label file's names become the site's own."""

from typing import Any, cast

import pytest

from archive.errors import NotFound
from deidentification.pseudonym import Keys, Pseudonyms
from senogate.labels import _Names

PSEUDONYMS = Pseudonyms(Keys.derive(bytes(32)))


def test_a_date_that_moves_out_of_time_names_no_study() -> None:
    """A traceback there would quote the cell."""
    names = _Names(PSEUDONYMS, cast(Any, None))
    with pytest.raises(NotFound):
        names._shifted("SGA", "00010101")
