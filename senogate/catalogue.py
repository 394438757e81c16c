"""`senogate catalogue`: what the node and its datasets say of themselves, checked before everybody sees it."""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from psycopg import AsyncConnection

from archive import catalogue
from archive.catalogue import Entry
from archive.catalogue_fields import Node, Written, parse_fields
from archive.errors import BadRequest
from archive.record_versions import version_text
from archive.settings import Settings
from gateway.catalogue import keeping, publishing
from gateway.catalogue.addresses import Addresses
from senogate.operator import AsJson, out, run, say, site_of_home
from senogate.user import user

app = typer.Typer(no_args_is_help=True, help="The catalogue of the node's datasets.")
Dataset = Annotated[str, typer.Argument(help="Its name, as `senogate dataset list` shows it.")]
File = Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="TOML: a key for each field.")]
FORMATS = {"ttl": "turtle", "jsonld": "json-ld", "rdf": "xml", "nt": "nt"}


@app.command("list")
def list_entries(as_json: AsJson = False) -> None:
    """The datasets and whether everybody sees their records."""
    found = run(site_of_home(), lambda connection: catalogue.entries(connection, published=False))
    rows = [
        {"dataset": one.name, "published": one.published_at is not None, "title": one.written.title}
        for one in found
    ]
    if as_json:
        out.print_json(json.dumps(rows))
    for row in [] if as_json else rows:
        out.print(f"{'*' if row['published'] else ' '} {row['dataset']}  {row['title']}", markup=False)


@app.command("node")
def edit_node(file: File) -> None:
    """Say of the node what the file says: title, description, publisher, contact, country, access body."""
    record, settings = parse_fields(Node, _read(file)), site_of_home()
    run(settings, lambda connection: publishing.edit_node(connection, settings, record, by=user()))
    say("the node's record is replaced")


@app.command("edit")
def edit(dataset: Dataset, file: File) -> None:
    """Say of a dataset what the file says, for stewards to see; `publish` shows it to everybody."""
    written = parse_fields(Written, _read(file))
    run(site_of_home(), lambda connection: catalogue.edit(connection, dataset, written, by=user()))
    say(f"the record of {dataset} is replaced")


@app.command("show")
def show(
    dataset: Dataset,
    as_json: AsJson = False,
    form: Annotated[str, typer.Option("--format", help=f"As RDF: {', '.join(FORMATS)}.")] = "",
) -> None:
    """A dataset's record: what is written of it and what was counted; or as harvesters read it."""
    node, entry = run(site_of_home(), lambda connection: _both(connection, dataset))
    if form:
        from gateway.catalogue.record import dataset_record

        if form not in FORMATS:
            raise typer.BadParameter(f"one of {', '.join(FORMATS)}", param_hint="--format")
        graph = dataset_record(node, entry, Addresses(site_of_home().public_url))
        print(graph.serialize(format=FORMATS[form]))
        return
    row = asdict(entry)
    if as_json:
        out.print_json(json.dumps(row, default=str))
        return
    for name, value in (row["written"] | (row["holdings"] or {})).items():
        out.print(f"{name}: {value}", markup=False)


@app.command("check")
def check(dataset: Dataset, as_json: AsJson = False) -> None:
    """Put a record to the shapes, and a published one beside what is held; exit status 1 where anything is wrong."""
    settings = site_of_home()
    found = run(settings, lambda connection: _find_wrong(connection, settings, dataset))
    if as_json:
        out.print_json(json.dumps(found))
    for line in [] if as_json else found or [f"the record of {dataset} conforms"]:
        out.print(line, markup=False)
    raise typer.Exit(1 if found else 0)


@app.command("publish")
def publish(
    dataset: Dataset,
    notes: Annotated[str, typer.Option(help="What changed, for the list of versions.")] = "",
) -> None:
    """Let everybody see a record that conforms, as a version of its own."""
    settings = site_of_home()
    number = run(settings, lambda each: publishing.publish(each, settings, dataset, by=user(), notes=notes))
    say(f"everybody sees the record of {dataset}, version {version_text(number)}")


@app.command("count")
def count() -> None:
    """Count and check now what the keeper counts and checks by itself."""
    settings = site_of_home()
    counted = run(settings, lambda connection: keeping.Keeper(settings).look(connection))
    say(f"{counted} datasets are counted")


@app.command("withdraw")
def withdraw(dataset: Dataset) -> None:
    """Let stewards alone see a record again."""
    run(
        site_of_home(),
        lambda connection: catalogue.withdraw(connection, dataset, by=user()),
    )
    say(f"stewards alone see the record of {dataset}")


async def _find_wrong(connection: AsyncConnection, settings: Settings, dataset: str) -> list[str]:
    node, entry = await _both(connection, dataset)
    found = publishing.problems(settings, node, entry)
    if entry.published_at is not None:
        found += await keeping.check(connection, settings, dataset)
    return list(dict.fromkeys(map(str, found)))


async def _both(connection: AsyncConnection, dataset: str) -> tuple[Node, Entry]:
    return await catalogue.node(connection), await catalogue.entry(connection, dataset, published=False)


def _read(file: Path) -> Mapping[str, Any]:
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        raise BadRequest(f"{file} is not valid TOML") from None
