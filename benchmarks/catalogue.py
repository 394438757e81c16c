"""How long a page of the catalogue takes with many datasets.

python -m benchmarks.catalogue [--datasets N] [--rounds R]

The lists and records of `gateway.catalogue` over PostgreSQL, asked over HTTP of a gateway in this process: time until
the answer is there, and the processor's time of this process, which holds client and gateway.
"""

import argparse
import asyncio
import time
from dataclasses import asdict, replace
from typing import Any

import httpx
import psycopg
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool

from archive.holdings import Holdings, published
from archive.migration import migrate
from archive.pool import SESSION
from archive.settings import Settings
from benchmarks.report import keep, percentiles
from benchmarks.servers import database
from gateway.portal.pages import render
from tests.live import temporary_home
from tests.unit import fake_site

MAKERS = ("HOLOGIC", "GE MEDICAL SYSTEMS", "SIEMENS", "IMS GIOTTO", "FUJIFILM", "PHILIPS")
PATHS = {
    "first page": ("/catalogue", "text/html"),
    "page 40": ("/catalogue?from=780", "text/html"),
    "words": ("/catalogue?q=screening+programme", "text/html"),
    "facets": ("/catalogue?modality=MG&manufacturer=HOLOGIC&density=d", "text/html"),
    "a dataset": ("/catalogue/d500", "text/html"),
    "its versions": ("/catalogue/d500/versions", "text/html"),
    "a version": ("/catalogue/d500/versions/2", "text/html"),
    "a dataset, Turtle": ("/catalogue/d500", "text/turtle"),
    "the catalogue, Turtle": ("/catalogue", "text/turtle"),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--datasets", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=60)
    arguments = parser.parse_args()
    with database() as url, temporary_home() as home:
        migrate(url)
        with psycopg.connect(url, autocommit=True) as connection:
            fill(connection, arguments.datasets)
        rows = asyncio.run(measure(Settings(home=home, database_url=url), arguments.rounds))
    keep("catalogue", rows, datasets=arguments.datasets)


def fill(connection: psycopg.Connection, datasets: int) -> None:
    """Published datasets of made-up numbers."""
    with connection.transaction():
        for number in range(1, datasets + 1):
            made = connection.execute(
                "insert into dataset (name, query, created_by) values (%s, 'Modality=MG', 'x') returning number",
                [f"d{number}"],
            ).fetchone()
            assert made is not None
            held = Holdings(
                individuals=100 * number, studies=150 * number, series=300 * number, images=600 * number,
                modalities={"MG": 150 * number, "US" if number % 3 else "MR": 40 + number},
                manufacturers={maker: 10 + number for place, maker in enumerate(MAKERS) if number % (place + 2)},
                sexes={"F": 100 * number}, ages={str(low): 30 + number for low in range(40, 80, 5)},
                years={str(year): 20 + number for year in range(2010, 2024)},
                densities=dict.fromkeys("abcd", 12 + number),
            )  # fmt: skip
            fields = {
                "title": f"Dataset {number}", "description": "Mammograms of a screening programme. " * 8,
                "keywords": ["mammography", "screening"], "provenance": "A programme", "contact_email": "a@b.example",
            }  # fmt: skip
            connection.execute(
                "insert into catalogue_record (dataset, fields, edited_by, published_at, version)"
                " values (%s, %s, 'x', now(), 3)",
                [made[0], Jsonb(fields)],
            )
            connection.execute(
                "insert into record_version (name, version, dataset, fields, node, numbers, issued_by)"
                " select %s, version, %s, %s, '{}', %s, 'x' from generate_series(1, 3) version",
                [f"d{number}", made[0], Jsonb(fields), Jsonb(asdict(published(held)))],
            )
            connection.execute(
                "insert into holdings (dataset, content, published) values (%s, %s, %s)",
                [made[0], Jsonb(asdict(held)), Jsonb(asdict(published(held)))],
            )
        connection.execute("analyze")


async def measure(settings: Settings, rounds: int) -> list[dict[str, Any]]:
    """A row for each kind of page."""
    render("portal.css")
    rows = []
    options = {"autocommit": True, **SESSION}
    async with AsyncConnectionPool(settings.database_url, min_size=1, open=False, kwargs=options) as pool:
        application = fake_site.build(settings.home, database_url=settings.database_url).client._application
        application.state.services = replace(application.state.services, pool=pool)
        transport = httpx.ASGITransport(application)
        async with httpx.AsyncClient(transport=transport, base_url=settings.public_url) as client:
            for name, (path, accept) in PATHS.items():
                times, used = [], time.process_time()
                for _ in range(rounds):
                    began = time.perf_counter()
                    answer = await client.get(path, headers={"Accept": accept})
                    times.append(time.perf_counter() - began)
                    assert answer.status_code == 200, answer.text
                cpu = (time.process_time() - used) / rounds
                told = percentiles(times)
                rows.append(
                    {"page": name, "bytes": len(answer.content), "cpu_ms": round(1000 * cpu, 2)} | told
                )
                print(rows[-1])
    return rows


if __name__ == "__main__":
    main()
