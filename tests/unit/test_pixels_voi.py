"""Stored values to grey levels (PS3.3 sections C.11.1 and C.11.2), against the standard's own pseudo-code."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive.errors import BadRequest
from archive.pixels.layout import Layout
from archive.pixels.voi import Function, Grey, Window, make_table, scale_window, to_grey

TWELVE = Layout(1, 4096, 1, 16, 12, 11, False, "MONOCHROME2", False, 1)
SIGNED = Layout(1, 4096, 1, 16, 12, 11, True, "MONOCHROME2", False, 1)
EVERY = np.arange(4096, dtype="<u2").reshape(1, -1)


def by_pseudo_code(x: float, center: float, width: float, function: str) -> float:
    """Sections C.11.2.1.2.1 and C.11.2.1.3.1 and .2, line by line, for an output of 0 to 255."""
    if function == "SIGMOID":
        return 255 / (1 + np.exp(min(-4 * (x - center) / width, 700)))
    if function == "LINEAR_EXACT":
        if x <= center - width / 2:
            return 0
        return 255 if x > center + width / 2 else ((x - center) / width + 0.5) * 255
    if x <= center - 0.5 - (width - 1) / 2:
        return 0
    if x > center - 0.5 + (width - 1) / 2:
        return 255
    return ((x - (center - 0.5)) / (width - 1) + 0.5) * 255


@given(
    center=st.floats(-5000, 5000), width=st.floats(1, 9000), function=st.sampled_from(list(Function)),
    x=st.integers(-5000, 5000),
)  # fmt: skip
def test_a_window_is_that_of_the_pseudo_code(center, width, function, x):
    (found,) = scale_window(np.array([float(x)]), Window(center, width, function))
    assert found == pytest.approx(by_pseudo_code(x, center, width, function), abs=1e-6)


@pytest.mark.parametrize(("x", "level"), [(2046, 0), (2047, 0), (2048, 255), (2049, 255)])
def test_a_width_of_one_is_a_threshold(x, level):
    """Note 5 of section C.11.2.1.2.1."""
    assert scale_window(np.array([float(x)]), Window(2048, 1))[0] == level


def test_the_identity_window():
    """Note 4: center 2^(n-1) and width 2^n span the whole range of n bits."""
    found = to_grey(EVERY, TWELVE, Grey(window=Window(2048, 4096)))
    assert np.array_equal(found[0], np.floor(np.arange(4096) / 4095 * 255 + 0.5))


@pytest.mark.parametrize(("function", "width"), [("LINEAR", 0.5), ("LINEAR_EXACT", 0), ("SIGMOID", -1)])
def test_a_width_without_meaning_is_refused(function, width):
    with pytest.raises(BadRequest):
        Window(0, width, Function(function))


def test_rescaling_comes_before_the_window():
    """Section C.11.1: Hounsfield units of CT."""
    grey = Grey(slope=2, intercept=-1024, window=Window(0, 2, Function.LINEAR_EXACT))
    assert to_grey(EVERY, TWELVE, grey)[0, [511, 512, 513]].tolist() == [0, 128, 255]


def test_signed_values_below_zero():
    found = to_grey(EVERY, SIGNED, Grey(window=Window(0, 4096, Function.LINEAR_EXACT)))
    assert (found[0, 0x800], found[0, 0x7FF], found[0, 0]) == (0, 255, 128)


def test_bits_above_the_stored_ones_are_no_pixel():
    """Section C.7.6.3.1.4, note: overlays may lie there."""
    grey = Grey(window=Window(2048, 4096))
    assert np.array_equal(to_grey(EVERY | 0xF000, TWELVE, grey), to_grey(EVERY, TWELVE, grey))


def test_the_lowest_may_be_white():
    grey = Grey(window=Window(2048, 4096))
    inverted = Grey(window=grey.window, inverted=True)
    assert np.array_equal(to_grey(EVERY, TWELVE, inverted), 255 - to_grey(EVERY, TWELVE, grey))


class TestTables:
    """Section C.11.2.1.1."""

    @pytest.mark.parametrize("data", [(0, 100, 255), bytes([0, 0, 100, 0, 255, 0])])
    def test_values_outside_take_the_ends(self, data):
        table = make_table([3, 10, 8], data, signed=False)
        assert table.look_up(np.array([0.0, 10, 11, 12, 99])).tolist() == [0, 0, 100, 255, 255]

    def test_the_first_value_may_be_negative(self):
        assert make_table([2, 0xFFFF, 8], (1, 2), signed=True).first == -1

    def test_no_entries_are_65536(self):
        assert len(make_table([0, 0, 16], bytes(131072), signed=False).data) == 65536

    @pytest.mark.parametrize(
        ("descriptor", "data"), [([], b"ab"), ([1, 0, 99], b"ab"), ([1, 0, 8], b""), (["x", 0, 8], b"a")]
    )
    def test_one_that_contradicts_itself_is_none(self, descriptor, data):
        assert make_table(descriptor, data, signed=False) is None

    def test_it_wins_over_the_window(self):
        table = make_table([2, 0, 8], (255, 0), signed=False)
        found = to_grey(EVERY, TWELVE, Grey(window=Window(1, 2), table=table))
        assert found[0, :3].tolist() == [255, 0, 0]
