"""Datasets in PostgreSQL: saved searches, and which studies they find now, or found when they were frozen.

The studies of a dataset are rows, written by the transaction that indexes a study, so that who may see a study is one
look into an index. A study is of a dataset where one of its instances has all that the dataset asks for.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

import psycopg
from psycopg import AsyncConnection

from archive import record_versions, tracing
from archive.attributes import Level
from archive.audit import Event, write_async
from archive.conditions import Parameters, condition, every
from archive.errors import BadRequest, Conflict, NotFound
from archive.pool import queries
from archive.query import Match, parse_parameters, parse_query

EVERYTHING = "everything"
"""The dataset that every site has: all studies, of which nothing is kept."""
DENSITY = "density"
"""The key of a dataset's query for the breast composition that a model read: a, b, c, d, or some parted by commas."""
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_PLACING = 0x5E0A_0003  # key of the advisory lock that those share who place studies, and who fills a dataset has alone
_DENSITY_IS = """exists (
    select from reading,
        jsonb_path_query(reading.findings, 'lax $.findings.evaluations[*] ? (@.target.level == "exam")') read
    where reading.study_instance_uid = study.study_instance_uid and reading.task = 'density' and reading.state = 'done'
        and not reading.shadow
        and exists (
            select from jsonb_path_query(read, 'lax $.likelihoods[*]') likelihood
            where likelihood -> 'code' = read -> 'value' and likelihood ->> 'label' = any({labels})))"""


@dataclass(frozen=True, slots=True)
class Criteria:
    """What a dataset asks of a study's instances."""

    matches: tuple[Match, ...]
    density: tuple[str, ...] = ()

    @property
    def depth(self) -> Level:
        """The lowest level that the criteria look at."""
        return max((match.level for match in self.matches), default=Level.STUDY)

    def condition(self, parameters: Parameters) -> str:
        """The criteria as SQL on the tables `study`, and `series` and `instance` as far as they look there."""
        conditions = [condition(match, parameters) for match in self.matches]
        if self.density:
            conditions.append(_DENSITY_IS.format(labels=f"{parameters.add(list(self.density))}::text[]"))
        return every(conditions)


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset, or a frozen version of one: then with its numbers and its hash as they were."""

    number: int
    name: str
    version: int  # 0: kept up to date
    query: str
    description: str
    created_at: datetime
    created_by: str
    number_of_studies: int | None
    number_of_instances: int | None
    sha256: str | None

    @property
    def full_name(self) -> str:
        """As permits name it."""
        return f"{self.name}@{self.version}" if self.version else self.name


def parse_name(text: str) -> tuple[str, int]:
    """A dataset's name and version, 0 where none is named. Raises BadRequest."""
    name, at, version = text.partition("@")
    if not _NAME.fullmatch(name) or (at and not re.fullmatch("[1-9][0-9]{0,8}", version)):
        raise BadRequest(
            "a dataset's name takes 1 to 64 small letters, digits and ._-, a version of it @1 behind"
        )
    return name, int(version or 0)


def parse_criteria(query: str) -> Criteria:
    """The criteria that a query string of a search for instances means. Raises BadRequest."""
    parameters = parse_parameters(query.encode("utf-8"))
    density = [value for name, value in parameters if name == DENSITY]
    parsed = parse_query(Level.INSTANCE, [pair for pair in parameters if pair[0] != DENSITY])
    if parsed.limit is not None or parsed.offset:
        raise BadRequest("a dataset has no limit and no offset")
    labels = tuple(label for value in density for label in value.lower().split(","))
    if not set(labels) <= set("abcd"):
        raise BadRequest("%(name)s takes a, b, c or d, or some of them parted by commas", name=DENSITY)
    if not parsed.matches and not labels:
        raise BadRequest(
            "the query names no attribute: a permit on all studies is one on %(dataset)s", dataset=EVERYTHING
        )
    return Criteria(parsed.matches, labels)


def place(connection: psycopg.Connection, studies: Sequence[str]) -> None:
    """Give the studies, and those that something else has changed, their places in all datasets as they are now.

    Belongs to the transaction that changed the studies.
    """
    connection.execute(queries("dataset.sql")["hold_still"], {"key": _PLACING})
    changed = connection.execute(queries("dataset.sql")["unplaced"]).fetchall()
    wanted = sorted({*studies, *(study for (study,) in changed)})
    if not wanted:
        return
    definitions = tuple(connection.execute(queries("dataset.sql")["definitions"]).fetchall())
    if not definitions:
        return
    statement, values = _placing(definitions)
    row = values | {"studies": wanted, "numbers": [number for number, _ in definitions]}
    connection.execute(statement, row, prepare=True)


@lru_cache(2)
def _placing(definitions: tuple[tuple[int, str], ...]) -> tuple[bytes, dict[str, object]]:
    """One statement that asks each study for all datasets, and its values."""
    parameters = Parameters()
    held: dict[Level, list[str]] = {}
    for number, query in definitions:
        criteria = parse_criteria(query)
        told = f"case when {criteria.condition(parameters)} then {number} end"
        held.setdefault(criteria.depth, []).append(told)
    members = [
        queries("dataset.sql")[f"place_{level.name.lower()}"].format(held=", ".join(told))
        for level, told in held.items()
    ]
    return queries("dataset.sql")["place"].format(
        members=" union all ".join(members)
    ).encode(), parameters.values


async def create(
    connection: AsyncConnection, name: str, query: str, description: str = "", *, by: str
) -> None:
    """Save a search, and find its studies.

    No study is indexed while they are looked for. Raises BadRequest, Conflict where the name is taken.
    """
    criteria = parse_criteria(query)
    if parse_name(name)[1]:
        raise BadRequest("a version is made by freezing a dataset")
    row = {"name": name, "query": query, "description": description, "by": by}
    async with connection.transaction():
        await connection.execute(queries("dataset.sql")["stop_the_others"], {"key": _PLACING})
        made = await (await connection.execute(queries("dataset.sql")["create"], row)).fetchone()
        if made is None:
            raise Conflict("a dataset of this name exists already")
        parameters = Parameters()
        find = queries("dataset.sql")[f"members_by_{criteria.depth.name.lower()}"]
        found = find.format(number=made[0], which="true", matches=criteria.condition(parameters))
        fill = queries("dataset.sql")["fill"].format(members=found)
        await connection.execute(fill.encode(), parameters.values)
        await write_async(connection, Event.DATASET_CREATED, subject=by, detail={"dataset": name})


async def freeze(connection: AsyncConnection, name: str, *, by: str) -> Dataset:
    """Keep the studies of a dataset as they are now, as a new version of it. Raises NotFound."""
    async with connection.transaction():
        await connection.execute(queries("dataset.sql")["stop_the_others"], {"key": _PLACING})
        (source, *_) = await list_datasets(connection, parse_name(name)[0])
        row = {"name": source.name, "by": by}
        made = await (await connection.execute(queries("dataset.sql")["freeze"], row)).fetchone()
        if made is None:
            raise NotFound("no such dataset")
        number, version = made
        members = {"number": source.number, "version": number}
        await connection.execute(queries("dataset.sql")["freeze_members"], members)
        digest = tracing.new_digest()
        studies, instances, sha256 = await contents(connection, number, digest)
        sealed = {"number": number, "studies": studies, "instances": instances, "sha256": sha256}
        await connection.execute(queries("dataset.sql")["seal"], sealed)
        detail = {"dataset": f"{source.name}@{version}", "sha256": sha256}
        await write_async(connection, Event.DATASET_FROZEN, subject=by, detail=detail)
        await record_versions.reissue(connection, source.name, version, sha256, by=by)
        await tracing.created(connection, f"{source.name}@{version}", digest.digest(), by=by)
    return await show(connection, f"{source.name}@{version}")


async def contents(
    connection: AsyncConnection, number: int, also: "hashlib._Hash | None" = None
) -> tuple[int, int, str]:
    """How many studies and instances a version or a dataset has now, and its hash.

    The hash is SHA-256, in hexadecimal, of a line for each instance, StudyInstanceUID and SOPInstanceUID parted by a
    space and ended by a line feed, sorted by them as bytes. `also` takes the same lines.
    """
    digest, instances, studies, last = hashlib.sha256(), 0, 0, ""
    async with connection.cursor("contents") as cursor:
        cursor.itersize = 10_000
        statement = "contents" if number else "contents_of_everything"
        await cursor.execute(queries("dataset.sql")[statement], {"number": number})
        async for study, instance in cursor:
            line = f"{study} {instance}\n".encode()
            digest.update(line)
            if also is not None:
                also.update(line)
            studies, instances, last = studies + (study != last), instances + 1, study
    return studies, instances, digest.hexdigest()


async def list_datasets(connection: AsyncConnection, name: str | None = None) -> list[Dataset]:
    """All datasets and versions, or those of a name. Raises NotFound where there is none of the name."""
    rows = await connection.execute(queries("dataset.sql")["list"], {"name": name})
    found = [Dataset(*row) for row in await rows.fetchall()]
    if name is not None and not found:
        raise NotFound("no such dataset")
    return found


async def show(connection: AsyncConnection, name: str) -> Dataset:
    """A dataset with the number of its studies as they are now, or a version as it was frozen. Raises NotFound."""
    bare, version = parse_name(name)
    for dataset in await list_datasets(connection, bare):
        if dataset.version == version:
            return dataset
    raise NotFound("no such version of the dataset")


async def count(connection: AsyncConnection, dataset: Dataset) -> int:
    """How many studies of a dataset, or of a version, can be seen now."""
    statement = "count" if dataset.number else "count_everything"
    row = await (
        await connection.execute(queries("dataset.sql")[statement], {"number": dataset.number})
    ).fetchone()
    return row[0] if row else 0


async def count_each(connection: AsyncConnection) -> dict[int, int]:
    """The same of every dataset and version that has any, by its number."""
    rows = await connection.execute(queries("dataset.sql")["count_each"])
    return dict(await rows.fetchall())


async def delete(connection: AsyncConnection, name: str, *, by: str) -> None:
    """Forget a dataset and its versions. Raises NotFound, Conflict where a permit names one of them."""
    if name == EVERYTHING:
        raise Conflict("this dataset is of every site")
    key = {"name": name}
    async with connection.transaction():
        used = await (await connection.execute(queries("dataset.sql")["is_in_use"], key)).fetchone()
        if used and used[0]:
            raise Conflict("a permit names the dataset: revoke or reject it first")
        gone = await (await connection.execute(queries("dataset.sql")["delete"], key)).fetchall()
        if not gone:
            raise NotFound("no such dataset")
        numbers = {"numbers": [number for number, _ in gone]}
        await connection.execute(queries("dataset.sql")["forget_members"], numbers)
        await write_async(connection, Event.DATASET_DELETED, subject=by, detail={"dataset": name})
        for version in sorted(version for _, version in gone if version):
            await tracing.updated(connection, f"{name}@{version}", tracing.Details.INVALIDATE, by=by)
