"""What runs in a worker process: a frame as a picture that a browser shows (PS3.18 section 8.7.4)."""

import io
from dataclasses import dataclass, replace
from enum import StrEnum
from math import ceil, floor
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms
from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut, convert_color_space

from archive.errors import BadRequest, NotAcceptable
from archive.pixels.codecs import decode
from archive.pixels.codestream import depth_of_jpeg_2000, size_of_jpeg, size_of_jpeg_2000
from archive.pixels.layout import DAMAGED, Cells, Layout, Undecodable, values_of
from archive.pixels.recode import hand_over
from archive.pixels.source import Frame
from archive.pixels.syntaxes import JPEG_2000_BOTH, JPEG_BASELINE
from archive.pixels.voi import Grey, Table, make_table, to_grey

Picture = npt.NDArray[np.uint8]
"""(rows, columns), or (rows, columns, 3) in RGB."""
_JPEG_COLOUR, _JPEG_2000_COLOUR = ("YBR_FULL", "YBR_FULL_422"), ("YBR_RCT", "YBR_ICT")
_OVERSAMPLING = 3  # pixels that a small picture is made of, in each direction
Image.MAX_IMAGE_PIXELS = None  # sizes are checked against the header


class Profile(StrEnum):
    """iccprofile (PS3.18 section 8.3.5.1.5)."""

    NO = "no"
    YES = "yes"
    SRGB = "srgb"


@dataclass(frozen=True, slots=True)
class Viewport:
    """The size to fit a picture into, and the region of the frame that it shows (PS3.18 section 8.3.5.1.3).

    Pixels; a region's width or height of None reaches to the edge, a negative one flips.
    """

    width: int
    height: int
    left: float = 0.0
    top: float = 0.0
    region_width: float | None = None
    region_height: float | None = None


@dataclass(frozen=True, slots=True)
class View:
    """What a picture is to be."""

    media_type: str
    quality: int
    viewport: Viewport | None
    profile: Profile
    is_thumbnail: bool = False


def render_frames(
    frames: list[Frame], greys: list[Grey], has_tables: bool, view: View, scratch: Path
) -> bytes | None:
    """As `draw_frames`; None where the picture was written to `scratch`."""
    return hand_over(draw_frames(frames, greys, has_tables, view), scratch)


def draw_frames(frames: list[Frame], greys: list[Grey], has_tables: bool, view: View) -> bytes:
    """One frame as a picture, several as an animation.

    Raises Undecodable, NotFound, BadRequest for a region that lies outside, NotAcceptable for what is no picture.
    """
    needs_header = has_tables or view.profile is not Profile.NO
    header = _read_header(frames[0].path) if needs_header else None
    pictures = [_show(frame, grey, header, view) for frame, grey in zip(frames, greys, strict=True)]
    return _write(pictures, header, view)


def _read_header(path: Path) -> Dataset:
    try:
        return dcmread(path, stop_before_pixels=True)
    except (OSError, *DAMAGED):
        raise Undecodable("the stored data set can't be read") from None


def _show(frame: Frame, grey: Grey, header: Dataset | None, view: View) -> Picture:
    layout = frame.layout
    crop = _Crop.of(layout, view.viewport)
    cells, layout = _decode(frame, crop, view)
    step = crop.step(cells.shape) if view.is_thumbnail else 1
    scale = frame.layout.columns / cells.shape[1], frame.layout.rows / cells.shape[0]
    left, top, right, bottom = crop.box(scale)
    cells = np.ascontiguousarray(cells[floor(top) : ceil(bottom) : step, floor(left) : ceil(right) : step])
    picture = to_picture(cells, layout, grey, header)
    return _fit(picture, crop, (left, top, right, bottom), step)


@dataclass(frozen=True, slots=True)
class _Crop:
    """The region of a frame that is shown and the size that it is shown in, in pixels of the frame."""

    left: float
    top: float
    width: float
    height: float
    target: tuple[int, int] | None  # columns and rows
    flips: tuple[bool, bool]

    @classmethod
    def of(cls, layout: Layout, viewport: Viewport | None) -> "_Crop":
        if viewport is None:
            return cls(0, 0, layout.columns, layout.rows, None, (False, False))
        left, top = abs(viewport.left), abs(viewport.top)
        wide, high = viewport.region_width, viewport.region_height
        width = layout.columns - left if wide is None else abs(wide)
        height = layout.rows - top if high is None else abs(high)
        inside = left + width <= layout.columns and top + height <= layout.rows
        if not inside or width <= 0 or height <= 0:
            raise BadRequest("the viewport's region reaches out of the frame")
        ratio = min(viewport.width / width, viewport.height / height)
        target = max(round(width * ratio), 1), max(round(height * ratio), 1)
        flips = wide is not None and wide < 0, high is not None and high < 0
        return cls(left, top, width, height, target, flips)

    def step(self, shape: tuple[int, ...]) -> int:
        """How many pixels may be passed over for each that is taken."""
        if self.target is None:
            return 1
        return max(int(min(shape[1] / self.target[0], shape[0] / self.target[1])) // _OVERSAMPLING, 1)

    def box(self, scale: tuple[float, float]) -> tuple[float, float, float, float]:
        """Left, top, right and bottom in a frame that is so much smaller."""
        x, y = scale
        return self.left / x, self.top / y, (self.left + self.width) / x, (self.top + self.height) / y


def size_of_picture(layout: Layout, viewport: Viewport | None) -> tuple[int, int]:
    """Its columns and rows. Raises BadRequest for a region that lies outside of the frame."""
    return _Crop.of(layout, viewport).target or (layout.columns, layout.rows)


def _decode(frame: Frame, crop: _Crop, view: View) -> tuple[Cells, Layout]:
    """The frame's cells; for a thumbnail fewer of them, where the codec can give fewer."""
    syntax, layout = frame.transfer_syntax_uid, frame.layout
    data = frame.read()
    if view.is_thumbnail and crop.target and syntax in JPEG_2000_BOTH | {JPEG_BASELINE}:
        try:
            return _decode_small(data, layout, syntax, crop)
        except (OSError, *DAMAGED):
            pass  # the codec that decodes it whole says whether it can be
    return decode(data, layout, syntax)


def _decode_small(data: bytes, layout: Layout, syntax: str, crop: _Crop) -> tuple[Cells, Layout]:
    """A power of two smaller: by fewer DCT coefficients, or by fewer wavelet levels. Else ValueError."""
    is_jpeg = syntax == JPEG_BASELINE
    size = (size_of_jpeg if is_jpeg else size_of_jpeg_2000)(data)
    plain = layout.samples == 1 or layout.photometric in (_JPEG_COLOUR if is_jpeg else _JPEG_2000_COLOUR)
    if size != (layout.rows, layout.columns, layout.samples) or layout.signed or not plain or not crop.target:
        raise ValueError("decoded whole")
    least = crop.target[0] * 2, crop.target[1] * 2
    with Image.open(io.BytesIO(data)) as image:
        if is_jpeg:
            image.draft("L" if layout.samples == 1 else "RGB", least)
        elif isinstance(image, Jpeg2KImageFile):
            smaller = min(layout.columns // least[0], layout.rows // least[1])
            image.reduce = min(max(smaller.bit_length() - 1, 0), 4)
        cells = np.asarray(image)
    if cells.dtype.itemsize != layout.dtype.itemsize or cells.ndim != len(layout.shape):
        raise ValueError("decoded whole")
    if not is_jpeg:  # Pillow draws the values out to the width of its pixels
        depth = depth_of_jpeg_2000(data)
        if not 0 < depth <= 8 * cells.dtype.itemsize:
            raise ValueError("decoded whole")
        cells = np.right_shift(cells, cells.dtype.type(8 * cells.dtype.itemsize - depth))
    photometric = layout.photometric if layout.samples == 1 else "RGB"
    return cells, replace(layout.decoded, photometric=photometric, high_bit=layout.stored - 1)


def to_picture(cells: Cells, layout: Layout, grey: Grey, header: Dataset | None) -> Picture:
    """The cells through the pipeline that their photometric interpretation asks for (PS3.3 section C.7.6.3.1.2)."""
    if layout.photometric.startswith("MONOCHROME") and layout.samples == 1:
        return to_grey(cells, layout, _with_tables(grey, header, layout))
    if layout.photometric == "PALETTE COLOR" and header is not None:
        return _apply_palette(cells, header)
    if layout.samples != 3:
        raise Undecodable("PhotometricInterpretation is of a kind that is not shown")
    shift = max(layout.stored - 8, 0)
    picture = np.right_shift(values_of(cells, replace(layout, signed=False)), shift).astype(np.uint8)
    if layout.photometric == "YBR_FULL":
        return np.asarray(convert_color_space(picture, "YBR_FULL", "RGB"), np.uint8)
    return picture


def _apply_palette(cells: Cells, header: Dataset) -> Picture:
    try:
        colours = apply_color_lut(cells, header)
        bits = int(header.RedPaletteColorLookupTableDescriptor[2])
    except DAMAGED:
        raise Undecodable("the palette can't be applied") from None
    return np.asarray(
        np.right_shift(colours, 8) if bits > 8 or colours.max(initial=0) > 255 else colours, np.uint8
    )


def _with_tables(grey: Grey, header: Dataset | None, layout: Layout) -> Grey:
    """With the Modality LUT and the VOI LUT of the header; a window that the client gave stays."""
    if header is None:
        return grey
    modality = _read_table(header, "ModalityLUTSequence", signed=layout.signed)
    voi = None if grey.window else _read_table(header, "VOILUTSequence", signed=layout.signed)
    return replace(grey, modality=modality, table=voi)


def _read_table(header: Dataset, keyword: str, *, signed: bool) -> Table | None:
    """The first item's LUT."""
    for item in header.get(keyword) or []:
        data = item.get("LUTData")
        if data is not None:
            return make_table(item.get("LUTDescriptor") or (), data, signed=signed)
    return None


def _fit(picture: Picture, crop: _Crop, box: tuple[float, float, float, float], step: int) -> Picture:
    """The region in its target size, flipped as asked."""
    if crop.target is not None:
        x, y = floor(box[0]), floor(box[1])
        left, top, right, bottom = (edge / step for edge in (box[0] - x, box[1] - y, box[2] - x, box[3] - y))
        inner = (left, top, min(right, picture.shape[1]), min(bottom, picture.shape[0]))
        image = Image.fromarray(picture).resize(
            crop.target, Image.Resampling.BILINEAR, box=inner, reducing_gap=2.0
        )
        picture = np.asarray(image)
    horizontal, vertical = crop.flips
    picture = picture[:, ::-1] if horizontal else picture
    return picture[::-1] if vertical else picture


def _write(pictures: list[Picture], header: Dataset | None, view: View) -> bytes:
    """Encoded in the media type. Raises BadRequest where it can't hold a profile that is asked for."""
    if view.media_type == "image/gif":
        return _write_gif(pictures)
    picture = np.ascontiguousarray(pictures[0])
    profile = _profile_of(header) if view.profile is not Profile.NO and picture.ndim == 3 else None
    if profile is not None:
        return _write_with_profile(picture, profile, view)
    if view.media_type == "image/png":
        return bytes(imagecodecs.png_encode(picture, level=1))
    colour: dict[str, Any] = {"subsampling": "420"} if picture.ndim == 3 and view.quality < 95 else {}
    try:
        return bytes(imagecodecs.jpeg8_encode(picture, level=view.quality, **colour))
    except RuntimeError:
        raise NotAcceptable("the picture is larger than a JPEG can be") from None


def _write_gif(pictures: list[Picture]) -> bytes:
    buffer = io.BytesIO()
    first, *rest = [Image.fromarray(np.ascontiguousarray(picture)) for picture in pictures]
    more: dict[str, Any] = (
        {"save_all": True, "append_images": rest, "duration": 100, "loop": 0} if rest else {}
    )
    try:
        first.save(buffer, "GIF", **more)
    except (OSError, ValueError):
        raise NotAcceptable("the picture is larger than a GIF can be") from None
    return buffer.getvalue()


def _profile_of(header: Dataset | None) -> bytes:
    """The instance's own ICC profile, else sRGB's."""
    own = header.get("ICCProfile") if header is not None else None
    for path in header.get("OpticalPathSequence") or [] if header is not None else []:
        own = own or path.get("ICCProfile")
    return bytes(own) if own else ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def _write_with_profile(picture: Picture, profile: bytes, view: View) -> bytes:
    image: Image.Image = Image.fromarray(picture)
    if view.profile is Profile.SRGB:
        standard = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
        try:
            changed = ImageCms.profileToProfile(image, io.BytesIO(profile), standard)
        except (ImageCms.PyCMSError, OSError):
            raise Undecodable("the ICC profile of the instance can't be applied") from None
        image, profile = changed or image, standard.tobytes()
    buffer = io.BytesIO()
    kind = "PNG" if view.media_type == "image/png" else "JPEG"
    image.save(buffer, kind, icc_profile=profile, **({"quality": view.quality} if kind == "JPEG" else {}))
    return buffer.getvalue()
