"""Modules are loaded with no search for garbage: they make objects by the hundred thousand and leave none behind."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def loading() -> Iterator[None]:
    """While modules are loaded. No later search looks through what is there when the block ends."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
