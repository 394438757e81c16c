"""Whole instances by WADO-RS where they lie in the folder, as copies at hand, and in a bucket, beside each other.

python -m benchmarks.tiers [--instances N] [--rows N] [--columns N]

The bucket is the tests' own S3 server, in the process that asks, on loopback: a hospital's service takes more, or less.
`cpu_ms` is the site's.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from archive.pool import connect
from archive.settings import Settings
from archive.tiers import Tiers
from benchmarks.exams import write_studies
from benchmarks.report import cpu_seconds, keep, percentiles
from benchmarks.servers import Server
from tests.buckets import serving
from tests.live import LiveSite, eventually, find_free_ports, temporary_home

_STORED = {"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}
_FIRST = 5  # requests that are not counted


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--instances", type=int, default=60)
    parser.add_argument("--rows", type=int, default=3328)
    parser.add_argument("--columns", type=int, default=2560)
    arguments = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="senogate-bench-")))
        s3 = stack.enter_context(serving())
        bucket = s3.bucket()
        options = {
            "SENOGATE_STORAGE_S3_URL": s3.url,
            "SENOGATE_STORAGE_S3_BUCKET": bucket.access.bucket,
            "SENOGATE_STORAGE_S3_ACCESS_KEY": "key",
            "SENOGATE_STORAGE_S3_SECRET_KEY": "secret",
            "SENOGATE_STORAGE_S3_AFTER_DAYS": "36500",
        }
        site = LiveSite(stack.enter_context(temporary_home()), find_free_ports(3), options).start()
        stack.callback(site.stop)
        write_studies(folder, 1, arguments.instances, arguments.rows, arguments.columns)
        site.send(folder)
        keep("tiers", _measured(site, bucket_of=Tiers.of(site.settings)), bytes=_bytes(folder))


def _measured(site: LiveSite, bucket_of: Tiers) -> list[dict[str, Any]]:
    """The same instances in each tier: the plugin removes them from the folder once their rows say that they moved."""
    named = _named(site.settings)
    addresses = [address for address, _, _ in named]
    rows = [_fetch(site, "folder", addresses, lambda number: None)]
    moved_in = _move(site, bucket_of, [(place, uid, identifier) for _, place, (uid, identifier) in named])
    cache = bucket_of.cache
    assert cache
    places = [place for _, place, _ in named]
    rows.append(_fetch(site, "bucket", addresses, lambda number: cache.forget(places[number])))
    rows.append(_fetch(site, "copy at hand", addresses, lambda number: None))
    rows.append({"tier": "to the bucket, checked and read back", "instances_per_s": moved_in})
    return rows


def _named(settings: Settings) -> list[tuple[str, str, tuple[str, str]]]:
    """Address, place, and identifiers of each image."""
    with connect(settings.database_url) as connection:
        found = connection.execute(
            "select study_instance_uid, series_instance_uid, sop_instance_uid, place, orthanc_id from instance"
            " where is_image"
        ).fetchall()
    return [
        (f"/studies/{study}/series/{series}/instances/{uid}", place, (uid, identifier))
        for study, series, uid, place, identifier in found
    ]


def _move(site: LiveSite, tiers: Tiers, named: Sequence[tuple[str, str, str]]) -> float:
    """Have the worker move them, as it does with what is old; how many a second."""
    begun = time.perf_counter()
    with connect(site.settings.database_url, autocommit=True) as connection:
        for place, uid, identifier in named:
            row = {"place": place, "uid": uid, "id": identifier}
            connection.execute(
                "insert into moved (place, sop_instance_uid, orthanc_id, size) values (%(place)s, %(uid)s, %(id)s, 0)",
                row,
            )
        eventually(
            lambda: connection.execute("select count(*) from moved where moved_at is null").fetchone() == (0,)
        )
        seconds = time.perf_counter() - begun
    eventually(lambda: not any(tiers.is_in_folder(place) for place, _, _ in named))
    return round(len(named) / seconds, 1)


def _fetch(
    site: LiveSite, tier: str, addresses: Sequence[str], before: Callable[[int], object]
) -> dict[str, Any]:
    """Each instance once, one after the other; `before` is called with its number."""
    seconds: list[float] = []
    with site.client() as client:
        server = Server("Senogate", None, client, site.pid)
        for number in range(min(_FIRST, len(addresses))):
            client.get(addresses[number], headers=_STORED).raise_for_status()
        began = cpu_seconds(server.processes())
        for number, address in enumerate(addresses):
            before(number)
            at = time.perf_counter()
            client.get(address, headers=_STORED).raise_for_status()
            seconds.append(time.perf_counter() - at)
        spent = cpu_seconds(server.processes()) - began
    return {"tier": tier, **percentiles(seconds), "cpu_ms": round(1000 * spent / len(addresses), 2)}


def _bytes(folder: Path) -> int:
    """Of one instance as it was sent."""
    return next(path for path in folder.rglob("*") if path.is_file()).stat().st_size


if __name__ == "__main__":
    main()
