"""`senogate model fetch`: a model of the federation, verified, from the hub into the site."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from psycopg import AsyncConnection

from archive.errors import BadRequest, Forbidden
from archive.federation_roles import Joined
from archive.settings import Settings
from inference import installed, package, trust
from inference.package import Package
from inference.signature import identify
from senogate.model_keys import note
from senogate.operator import AsJson, out, run, say, site_of_home

app = typer.Typer()


@app.command("fetch")
def model_fetch(
    name: Annotated[
        str, typer.Argument(help="As `senogate federation models` shows it; the last one without.")
    ] = "",
    version: Annotated[str, typer.Option("--version", help="Which one, where there are several.")] = "",
    key: Annotated[
        str, typer.Option("--trust", help="The key that has to have signed it; it is trusted from then on.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Copy a model of the federation from its hub into the site, verified; `enable` lets it read."""
    from gateway.fleet import dialling
    from senogate.federation import models

    settings = site_of_home()
    joined = models.require_site(settings)
    with dialling.client(settings, joined) as client:
        row = models.choose(models.list_models(client), name, version)
        with models.fetched(client, row) as folder:
            added = _take(settings, joined, folder, key)
    told = {"model": added.reference, "sha256": added.model.sha256, "record_sha256": added.record_sha256}
    if as_json:
        out.print_json(json.dumps(told))
    else:
        say(
            f"{added.reference} is in the site (AI, research use only); `senogate model enable` lets it read, "
            f"`senogate model trace {added.passport.identity.name}` tells what it was made of"
        )


def _take(settings: Settings, joined: Joined, folder: Path, asked: str) -> Package:
    """Verify a package as the hub's, ask whether its key is trusted, and add it: on record, or not at all."""
    from federation.provenance import trace

    found = package.read(folder)
    key = trace.model_key(trace.read_provenance(found, joined.hub_key_bytes))
    identifier = identify(key)
    found.authenticate({identifier: key})
    if asked and asked != identifier:
        raise Forbidden(f"the model is signed by the key {identifier}, and not by the one that was asked for")
    is_new = identifier not in trust.trusted_keys(settings.home)
    if is_new and not asked:
        _ask(joined, identifier)

    async def trusted(connection: AsyncConnection) -> None:
        trust.trust(settings.home, key)
        await note(connection, "key trusted", {"key": identifier, "hub": joined.hub_name})

    async def work(connection: AsyncConnection) -> Package:
        added = installed.add(settings.home, folder)
        detail = {"model": added.reference, "sha256": added.model.sha256, "hub": joined.hub_name}
        await note(connection, "fetched", detail)
        return added

    if is_new:  # on record for itself: it stays trusted where the model is not added
        run(settings, trusted)
    return run(settings, work)


def _ask(joined: Joined, identifier: str) -> None:
    """Raises BadRequest where nobody can be asked, or who is asked says no."""
    says = f"the hub {joined.hub_name} says that it signs its models with the key {identifier}"
    if not sys.stdin.isatty():
        raise BadRequest(f"{says}: compare it with the hub's steward, then add --trust {identifier}")
    if not typer.confirm(f"{says}. Is it the one that its steward tells you, and do you trust it?"):
        raise BadRequest("the key is not trusted, and the model not added")
