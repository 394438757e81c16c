"""`senogate restore`: what is asked for, and how it is carried out."""

from dataclasses import dataclass
from functools import reduce
from pathlib import Path

from archive.backups import Wishes
from archive.settings import Settings
from senogate.backup import receipts, restoring
from senogate.backup.keys import Opener
from senogate.backup.restoring import Restored
from senogate.backups import opener_of, progress_of

__all__ = ["Order", "opener_of", "run"]


@dataclass(frozen=True, slots=True)
class Order:
    """`only` is keys or files, else all; `erased` are receipts of erasures that no backup knows."""

    destination: Path
    name: str
    opener: Opener
    only: str | None
    erased: tuple[Path, ...] = ()
    ignore_newer: bool = False


def run(settings: Settings, order: Order, *, quiet: bool) -> Restored:
    """Raises as `senogate.backup.restoring.restore` and `open_backup` do."""
    source = restoring.open_backup(order.destination, order.name, order.opener)
    with progress_of("restoring", disable=quiet) as advance:
        if order.only == "keys":
            return restoring.restore_keys(settings, source)
        if order.only == "files":
            return restoring.restore_files(settings, source, advance)
        newer = Wishes() if order.ignore_newer else restoring.newer_wishes(source, order.opener)
        keys = receipts.signing_keys(source, order.opener)
        wishes = [receipts.wish(keys, path.read_text("utf-8")) for path in order.erased]
        return restoring.restore(settings, source, reduce(Wishes.and_also, wishes, newer), advance)
