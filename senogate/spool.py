"""`senogate spool`: what is held, and a person's decision on it. What it prints names nobody."""

import getpass
import io
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from archive.errors import BadRequest
from archive.spool import Entry, Opening, Purpose, State
from deidentification.deidentify import Refused
from senogate.operator import site_of_home

if TYPE_CHECKING:  # what finds text is heavy, and needed for a few commands only
    from inference.cleaning.mask import Box
    from inference.cleaning.spooled import Sealed

app = typer.Typer(no_args_is_help=True, help="Instances that are held until their pixels are cleaned.")

_out = Console(highlight=False, soft_wrap=True, emoji=False)
_err = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Identifier = Annotated[str, typer.Argument(help="As `senogate spool list` shows it.", show_default=False)]
Why = Annotated[str, typer.Option("--reason", help="Why; it is recorded.", show_default=False)]
By = Annotated[
    str, typer.Option("--by", help="Who does it; it is recorded. [default: the user]", show_default=False)
]


@app.command("list")
def list_(
    state: Annotated[State | None, typer.Option(help="Only those in this state.")] = None,
    as_json: AsJson = False,
) -> None:
    """What is held, and what became of what was."""
    entries = _sealed().spool.entries(state)
    if as_json:
        _out.print_json(json.dumps([entry.to_json() for entry in entries]))
    for entry in [] if as_json else entries:
        _out.print(
            f"{entry.id}  {entry.state:<11}  {entry.reason:<21}  {entry.size:>11}  {entry.received_at:%Y-%m-%d %H:%M}",
            markup=False,
        )


@app.command()
def show(
    identifier: Identifier,
    image: Annotated[
        Path | None, typer.Option(help="Write a frame as PNG; IT MAY SHOW WHO THE PATIENT IS.")
    ] = None,
    frame: Annotated[int, typer.Option(min=1, help="Which frame.")] = 1,
    masked: Annotated[bool, typer.Option("--masked", help="The frame as the cleaning leaves it.")] = False,
    by: By = "",
    as_json: AsJson = False,
) -> None:
    """One held instance; with --image, what it shows, opened in memory and written only there."""
    from inference.cleaning.cleaner import cover
    from inference.cleaning.spooled import masks_of

    if masked and image is None:
        raise typer.BadParameter("name the file to write to with --image", param_hint="--masked")
    sealed = _sealed()
    entry = sealed.spool.entry(_identifier(identifier))
    if image is not None:
        boxes = masks_of(entry) if masked else None
        instance = sealed.open(entry.id, by or _user(), Purpose.LOOK)
        content = _picture(instance if boxes is None else cover(instance, boxes), frame)
        _err.print(f"{image} may show who the patient is: look, and delete it", markup=False)
        image.touch(mode=0o600)
        image.write_bytes(content)
    _print(entry, as_json, sealed.spool.openings(entry.id))


@app.command()
def release(
    identifier: Identifier,
    why: Why,
    mask: Annotated[
        list[str], typer.Option(help="Mask x,y,w,h in pixels as well; may be given more than once.")
    ] = [],  # noqa: B006
    only: Annotated[bool, typer.Option("--only", help="Mask what --mask names and nothing else.")] = False,
    keep_pixels: Annotated[bool, typer.Option("--keep-pixels", help="Store the pixels as they are.")] = False,
    by: By = "",
    as_json: AsJson = False,
) -> None:
    """Store an instance after looking at it, with the text masked that the cleaning found."""
    from inference.cleaning import spooled

    if (keep_pixels and (mask or only)) or (only and not mask):
        raise typer.BadParameter("name boxes with --mask, or say --keep-pixels", param_hint="--only")
    named = [_box(text) for text in mask]
    sealed = _sealed()
    identifier = _identifier(identifier)
    boxes = None if keep_pixels else _masks(sealed.spool.entry(identifier), named, only)
    try:
        spooled.release(sealed, identifier, boxes, by or _user(), why)
    except Refused as refused:
        raise BadRequest(f"it can't be stored even so: {refused}") from None
    _print(sealed.spool.entry(identifier), as_json)


@app.command()
def discard(identifier: Identifier, why: Why, by: By = "", as_json: AsJson = False) -> None:
    """Delete a held instance for good, and print a receipt."""
    from inference.cleaning import spooled

    spool = _sealed().spool
    identifier = _identifier(identifier)
    spooled.discard(spool, identifier, by or _user(), why)
    _print(spool.entry(identifier), as_json)


def _sealed() -> "Sealed":
    from inference.cleaning.spooled import Sealed
    from senogate.deidentifier import deidentifier_of

    settings = site_of_home()
    return Sealed(settings, deidentifier_of(settings))


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in a container
        raise typer.BadParameter("say who you are", param_hint="--by") from None


def _identifier(text: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", text):
        raise typer.BadParameter("name it as `senogate spool list` does", param_hint="IDENTIFIER")
    return text


def _box(text: str) -> "Box":
    from inference.cleaning.mask import Box

    if not re.fullmatch(r"\d{1,6}(,\d{1,6}){3}", text):
        raise typer.BadParameter("write it as x,y,w,h in whole pixels", param_hint="--mask")
    left, top, width, height = map(int, text.split(","))
    if not width or not height:
        raise typer.BadParameter("a mask needs a width and a height", param_hint="--mask")
    return Box.of_size(left, top, width, height)


def _masks(entry: Entry, named: "list[Box]", only: bool) -> "list[Box]":
    """What is to be masked. Raises BadRequest where neither the cleaning nor the person named anything."""
    from inference.cleaning.spooled import masks_of

    if only or (named and entry.masks is None):
        return named
    try:
        return masks_of(entry) + named
    except BadRequest as error:
        raise BadRequest(f"{error}; name what to mask with --mask, or say --keep-pixels") from None


def _picture(instance: bytes, frame: int) -> bytes:
    """One frame as a PNG, deep and false colours as grey.

    Raises Unsure where it can't be decoded, BadRequest where there is no such frame.
    """
    from PIL import Image

    from inference.cleaning.frames import decode, looks
    from inference.instance import read_dataset

    frames = decode(read_dataset(instance, pixels=True))
    if frame > frames.layout.frames:
        raise BadRequest(f"it has {frames.layout.frames} frames")
    values = frames.values[frame - 1]
    as_it_lies = values.dtype.itemsize == 1 and frames.layout.photometric in ("MONOCHROME2", "RGB")
    picture = values.squeeze() if as_it_lies else looks(frames, frame - 1)[0]
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return buffer.getvalue()


def _print(entry: Entry, as_json: bool, openings: list[Opening] | None = None) -> None:
    values = entry.to_json()
    if openings is not None:
        values["openings"] = [
            f"{each.opened_at.isoformat()} {each.opened_by} {each.purpose}" for each in openings
        ]
    if as_json:
        _out.print_json(json.dumps(values))
        return
    for name, value in values.items():
        _out.print(
            f"{name:<20} {json.dumps(value) if isinstance(value, dict | list) else value}", markup=False
        )
