"""Frames as pictures: a thumbnail may be decoded from fewer pixels, and must look the same."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from archive.pixels.codecs import encode
from archive.pixels.layout import Layout
from archive.pixels.render import Profile, View, Viewport, render_frames
from archive.pixels.source import Frame
from archive.pixels.syntaxes import ENCODED, EXPLICIT, JPEG_2000_LOSSLESS, NATIVE
from archive.pixels.voi import Grey, Window

ROWS, COLUMNS = 600, 500
GREY = Layout(ROWS, COLUMNS, 1, 16, 12, 11, False, "MONOCHROME2", False, 1)
RAMP = np.add.outer(np.arange(ROWS) * 4, np.arange(COLUMNS) * 3).astype("<u2")
THUMBNAIL = View("image/png", 90, Viewport(100, 100), Profile.NO, is_thumbnail=True)


def draw(tmp_path: Path, data: bytes, layout: Layout, syntax: str, view: View) -> np.ndarray:
    path, scratch = tmp_path / "frame", tmp_path / "scratch"
    path.write_bytes(data)
    frame = Frame(path, ((0, len(data)),), layout, syntax, 0)
    made = render_frames([frame], [Grey(window=Window(2048, 4096))], False, view, scratch)
    return np.asarray(Image.open(io.BytesIO(made or scratch.read_bytes())), int)


@pytest.mark.parametrize("syntax", [syntax for syntax in ENCODED if syntax not in NATIVE])
@pytest.mark.parametrize(
    "layout", [GREY, Layout(ROWS, COLUMNS, 1, 16, 16, 15, False, "MONOCHROME2", False, 1)]
)
def test_a_thumbnail_looks_the_same_in_every_transfer_syntax(tmp_path, syntax, layout):
    data, encoded = encode(RAMP, layout, syntax)
    found = draw(tmp_path, data, encoded, syntax, THUMBNAIL)
    expected = draw(tmp_path, RAMP.tobytes(), layout, EXPLICIT, THUMBNAIL)
    assert found.shape == expected.shape == (100, 83)
    assert np.abs(found - expected).max() <= 4


def test_a_colour_one_too(tmp_path):
    layout = Layout(ROWS, COLUMNS, 3, 8, 8, 7, False, "RGB", False, 1)
    cells = np.stack([RAMP >> 4, RAMP >> 5, 255 - (RAMP >> 4)], axis=-1).astype("u1")
    data, encoded = encode(cells, layout, JPEG_2000_LOSSLESS)
    found = draw(tmp_path, data, encoded, JPEG_2000_LOSSLESS, THUMBNAIL)
    assert np.abs(found - draw(tmp_path, cells.tobytes(), layout, EXPLICIT, THUMBNAIL)).max() <= 4


def test_it_shows_the_whole_frame(tmp_path):
    """A thumbnail is a smaller rendering: its corners are the frame's."""
    small = draw(tmp_path, RAMP.tobytes(), GREY, EXPLICIT, THUMBNAIL)
    whole = draw(tmp_path, RAMP.tobytes(), GREY, EXPLICIT, View("image/png", 90, None, Profile.NO))
    assert abs(small[0, 0] - whole[0, 0]) <= 4 and abs(small[-1, -1] - whole[-1, -1]) <= 4
