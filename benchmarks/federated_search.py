"""How long a search over a federation takes: until the first rows are there, and until all are.

python -m benchmarks.federated_search [--rounds N] [--studies N]

A hub and three sites, each `senogate up` with processes and a database of its own on this machine, asked over HTTPS at
the hub's `/api/search`, each time another question, over as many studies at each node; then again with one site
stopped, which is waited for until it is late. The answer is read line by line.
"""

import argparse
import json
import time
from typing import Any

import httpx
import psycopg
from psycopg.types.json import Jsonb

from benchmarks.report import keep, percentiles
from tests.federation.live import HUB, Federation, federation
from tests.live import LiveSite, eventually

SETTINGS = {"SENOGATE_SEARCH_BUDGET": "0", "SENOGATE_SEARCH_HUB_BUDGET": "0", "SENOGATE_RATE_LIMIT": "0"}
DATASET = "mammograms"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--studies", type=int, default=20_000)
    arguments = parser.parse_args()
    with federation(3, SETTINGS) as made:
        for name in (HUB, *made.sites):
            prepare(made.node(name), arguments.studies)
        rows = measure(made, arguments.rounds)
    keep("federated_search", rows, rounds=arguments.rounds, studies=arguments.studies)


def prepare(node: LiveSite, studies: int) -> None:
    """A published dataset with so many studies, in which the hub may count."""
    node.run("dataset", "create", DATASET, "Modality=MG")
    permit = ("--purpose", "research", "--legal-basis", "EHDS 53(1)(e)", "--action", "search.count")
    node.run("permit", "grant", f"federation:{HUB}", "--dataset", "everything", *permit)
    with node.database() as connection:
        publish(connection)
        fill(connection, studies)
    node.run("search", "rebuild")


def publish(connection: psycopg.Connection) -> None:
    fields = {"title": "Mammograms", "description": "Of a screening programme", "keywords": ["breast"]}
    connection.execute(
        "insert into catalogue_record (dataset, fields, edited_by, published_at)"
        " select number, %s, 'x', now() from dataset where name = %s",
        [Jsonb(fields | {"provenance": "A programme", "contact_email": "a@b.example"}), DATASET],
    )


def fill(connection: psycopg.Connection, studies: int) -> None:
    """Studies with a series each, of women of many ages."""
    with connection.transaction():
        for statement in _STUDIES:
            connection.execute(statement, {"studies": studies, "dataset": DATASET})
    connection.execute("analyze")


_STUDIES: tuple[Any, ...] = (
    """insert into study
    select '2.25.' || n, 'P' || n / 2, '', '19600101', 'F',
        to_char(date '2010-01-01' + mod(n * 7919, 4000)::integer, 'YYYYMMDD'), '101500', '', '', '', '',
        '{MG}', '{1.2.840.10008.5.1.4.1.1.1.2}', 1, 4, '{}', ''
    from generate_series(1, %(studies)s::bigint) n""",
    """insert into series select '2.26.' || n, '2.25.' || n, 'MG', 1, 4, '{}', ''
    from generate_series(1, %(studies)s::bigint) n""",
    """insert into dataset_study (dataset, study_date, study_instance_uid)
    select (select number from dataset where name = %(dataset)s), study_date, study_instance_uid from study""",
)


def measure(made: Federation, rounds: int) -> list[dict[str, Any]]:
    """A row for three sites that answer, and one for two beside one that is stopped."""
    headers = {"authorization": f"Bearer {made.hub.token()}", "accept": "application/x-ndjson"}
    with httpx.Client(
        base_url=made.hub.settings.public_url, headers=headers, verify=False, trust_env=False, timeout=30
    ) as client:
        eventually(lambda: all(state == "answered" for state in ask(client, 0)[2].values()))
        rows = [row("three sites answer", client, rounds, 1)]
        made.sites["site-3"].stop()
        return [*rows, row("one of three is dead", client, rounds, 1000)]


def row(name: str, client: httpx.Client, rounds: int, start: int) -> dict[str, Any]:
    """Times of so many questions."""
    first, whole = [], []
    for number in range(start, start + rounds):
        times = ask(client, number)
        first.append(times[0])
        whole.append(times[1])
    told = {f"first_{key}": value for key, value in percentiles(first).items()}
    told |= {f"complete_{key}": value for key, value in percentiles(whole).items()}
    found = {"case": name} | told | {"states": " ".join(sorted(times[2].values()))}
    print(found)
    return found


def ask(client: httpx.Client, number: int) -> tuple[float, float, dict[str, str]]:
    """Seconds until the first rows and until the end, and what became of the question at each node."""
    asked = {"question": {"is": "age", "from": number / 1000, "to": 200}, "federated": True}
    began, times, states = time.perf_counter(), [], {}
    with client.stream("POST", "/api/search", json=asked) as answer:
        assert answer.status_code == 200, answer.read()
        for line in answer.iter_lines():
            times.append(time.perf_counter() - began)
            told = json.loads(line)
            states[told["site"]] = told["state"]
    return times[0], time.perf_counter() - began, states


if __name__ == "__main__":
    main()
