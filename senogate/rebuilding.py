"""`senogate orthanc rebuild`: Orthanc's index, lost or another one, made anew of the files that are in storage.

The site runs meanwhile. Every file is shown to the plugin, which has Orthanc register what its index does not name
(orthanc_plugin/taking_up.py); the index of the site follows; then what is superfluous goes. It holds no state: whoever
is killed anywhere is followed by the same command, which finds most of it done.
"""

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice

import psycopg
import typer
from rich.progress import Progress

from archive import instances
from archive.audit import Detail, Event, write
from archive.errors import Conflict, Unavailable
from archive.follow import Follower
from archive.orthanc import Orthanc
from archive.pool import autocommitting, connect, queries
from archive.settings import Settings
from archive.tiers import Tiers
from deidentification.stored import is_proven
from senogate.operator import AsJson, err, out, say, site_of_home
from senogate.site_keys import keys_of
from senogate.user import user

BATCH = 16  # files that the plugin is shown at a time
LOCK = 0x5E0A_0048
"""Key of the advisory lock that lets one process rebuild at a time."""
_SUPERFLUOUS = ("linked", "again", "erased")
_PAUSE = 0.5  # seconds between two looks how far the worker is

Advance = Callable[[int], object]
app = typer.Typer(no_args_is_help=True, help="The Orthanc of the site.")


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """Files by what became of them.

    `held` by Orthanc in the end, of which `registered` were new to it; `removed`, for what they hold is stored twice or
    was erased; left as they are for want of a valid proof (`unproven`), or since the crosswalk does not say whom they
    are about (`unknown`), or since the index of the site still names them (`awaited`). `missing` are named by that and
    not there.
    """

    registered: int
    held: int
    removed: int
    unproven: int
    unknown: int
    awaited: int
    missing: int

    @property
    def is_whole(self) -> bool:
        """Whether Orthanc's index is that of the files now."""
        return not (self.unknown or self.awaited)

    def to_text(self) -> str:
        lines = [f"{self.held} files are in Orthanc's index, {self.registered} of them anew"]
        if self.missing:
            lines.append(f"{self.missing} that the site's index names are not there: are they in a backup?")
        if self.removed:
            lines.append(f"{self.removed} were removed: stored twice, or erased since")
        if self.unproven:
            lines.append(f"{self.unproven} carry no valid proof and were left as they are")
        if self.unknown:
            lines.append(
                f"of {self.unknown} the crosswalk does not say whom they are about: restore the database"
            )
        if self.awaited:
            lines.append(
                f"{self.awaited} that the site's index names are damaged, or can't be indexed: put them back from a"
                " backup, or remove them, and try again"
            )
        return "\n".join(lines)


@app.command("rebuild")
def rebuild_command(as_json: AsJson = False) -> None:
    """Register every stored file with Orthanc again, whose index is lost; again where that was cut short."""
    with Progress(console=err, disable=as_json, transient=True) as progress:
        task = progress.add_task("registering", total=None)
        rebuilt = rebuild(site_of_home(), lambda number: progress.advance(task, number))
    if as_json:
        out.print_json(json.dumps(asdict(rebuilt) | {"whole": rebuilt.is_whole}))
    else:
        say(rebuilt.to_text())
    raise typer.Exit(0 if rebuilt.is_whole else 1)


def rebuild(settings: Settings, advance: Advance = lambda number: None) -> Rebuilt:
    """Have Orthanc's index hold every proven file once. `advance` is told of files as they are shown to the plugin.

    Raises Unavailable, and Conflict where another process does the same (then the same call goes on), or where files
    lie in a bucket.
    """
    with (
        closing(Orthanc(settings)) as orthanc,
        autocommitting(settings.database_url) as connection,
        _alone(connection),
    ):
        _require_folder(connection)
        return _Rebuilding(settings, orthanc, connection, advance).run()


def _require_folder(connection: psycopg.Connection) -> None:
    """Raise Conflict where files lie in the bucket: Orthanc would not know of them, and they would be removed."""
    ((number,),) = connection.execute(queries("tiers.sql")["in_bucket"]).fetchall()
    if number:
        raise Conflict(
            f"{number} instances lie in the bucket, which Orthanc's index can't be made of: restore a backup"
            " (docs/backup.md); until then nothing is removed"
        )


class _Rebuilding:
    def __init__(
        self, settings: Settings, orthanc: Orthanc, connection: psycopg.Connection, advance: Advance
    ) -> None:
        self._settings, self._orthanc, self._connection = settings, orthanc, connection
        self._advance = advance
        self._sql = queries("index.sql")

    def run(self) -> Rebuilt:
        self._orthanc.judge_index(is_own=False)  # so that nothing is removed or forgotten meanwhile
        self._connection.execute(self._sql["want_comparison"])  # by which the worker learns which index it is
        before = Counter[str]()
        for some in _batches(
            self._indexed()
        ):  # first: of several files of an instance, readings were made of these
            before += self._show(some, clear=False)
        for some in _batches(instances.places(self._settings.storage)):
            before["registered"] += self._show(some, clear=False)["registered"]
        self._follow()
        rebuilt = self._clear(before)
        if rebuilt.is_whole:
            self._orthanc.judge_index(is_own=True)
        with self._connection.transaction():
            self._connection.execute(self._sql["want_comparison"])
            detail: Detail = {"orthanc": "rebuilt", "instances": rebuilt.held}
            write(self._connection, Event.CONFIGURATION_CHANGED, subject=user(), detail=detail)
        return rebuilt

    def _indexed(self) -> Iterator[str]:
        """The files that the site's index names."""
        with connect(self._settings.database_url) as connection, connection.cursor("places") as cursor:
            for (place,) in cursor.execute("select place from instance order by place"):
                yield place

    def _show(self, places: Sequence[str], *, clear: bool) -> Counter[str]:
        """Raises Unavailable where one can't be registered now. No erasure ends meanwhile."""
        with self._connection.transaction():
            self._connection.execute(queries("erasure.sql")["store_together"])
            found = self._orthanc.take_up(places, clear=clear)
        for place, word in found.items():
            if word == "not now":
                raise Unavailable(
                    f"the file {place} can't be read, or Orthanc can't take it now: see its log and its disk"
                )
        self._advance(len(places))
        return Counter(found.values())

    def _clear(self, before: Counter[str]) -> Rebuilt:
        """Have what is superfluous removed, but for what the site's index still names; `before` is what was done."""
        found, awaited = Counter[str](), 0
        for some in _batches(instances.places(self._settings.storage)):
            values = {"places": some}
            named = {place for (place,) in self._connection.execute(self._sql["named_places"], values)}
            found += self._show([place for place in some if place not in named], clear=True)
            kept = self._show(sorted(named), clear=False)
            awaited += sum(kept.pop(word, 0) for word in (*_SUPERFLUOUS, "unproven"))
            found += kept
        for some in _batches(instances.header_places(self._settings.storage)):
            self._orthanc.clear_headers(some)
        return Rebuilt(
            registered=before["registered"],
            held=found["held"] + found["registered"],
            removed=sum(found[word] for word in _SUPERFLUOUS),
            unproven=found["unproven"],
            unknown=found["unknown"],
            awaited=awaited,
            missing=before["gone"],
        )

    def _follow(self) -> None:
        """Until the site's index has what Orthanc's has: by the worker, or here where none runs."""
        key = keys_of(self._settings).proof
        proven, pause = partial(is_proven, key), threading.Event()
        with connect(self._settings.database_url) as connection:
            follower = Follower(connection, self._orthanc, Tiers.of(self._settings), proven)
            while not self._is_followed():
                if not follower.is_alone():
                    pause.wait(_PAUSE)
                    continue
                while not follower.step().done:
                    pass

    def _is_followed(self) -> bool:
        mark, last = self._orthanc.index_state().mark, self._orthanc.last_change()
        ((known,),) = self._connection.execute(self._sql["index_mark"]).fetchall()
        ((position,),) = self._connection.execute(self._sql["position"]).fetchall()
        return known == mark and position >= last


def _batches(places: Iterable[str]) -> Iterator[list[str]]:
    remaining = iter(places)
    while batch := list(islice(remaining, BATCH)):
        yield batch


@contextmanager
def _alone(connection: psycopg.Connection) -> Iterator[None]:
    sql, key = queries("reindexing.sql"), {"key": LOCK}
    if connection.execute(sql["alone"], key).fetchall() != [(True,)]:
        raise Conflict("another process registers stored files again")
    try:
        yield
    finally:
        if not connection.closed:
            connection.execute(sql["leave"], key)
