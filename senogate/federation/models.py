"""`senogate federation models`: the models that came of runs, at the hub and at its sites, which fetch them."""

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from archive import provenance
from archive.errors import BadRequest, NotFound, Unavailable
from archive.federation_roles import Joined, read_hub, read_site
from archive.settings import Settings
from inference.package import MAX_NETWORK_BYTES, MAX_PASSPORT_BYTES, MAX_RECORD_BYTES
from inference.passport import NAME, VERSION
from senogate.federation import app
from senogate.operator import AsJson, run, show, site_of_home

MODELS = "/federation/v1/models"
FILES = {"passport.toml": "passport", "provenance.jsonl": "record", "model.onnx": "network"}
"""A package's files, and what the hub's list calls their hashes."""
_MOST = {
    "passport.toml": MAX_PASSPORT_BYTES,
    "provenance.jsonl": MAX_RECORD_BYTES,
    "model.onnx": MAX_NETWORK_BYTES,
}
_MOST_LISTED = 4 * 1024**2  # bytes
_SHA256 = re.compile(r"[0-9a-f]{64}")


@app.command("models")
def models(as_json: AsJson = False) -> None:
    """The models of the federation, the last first: all that its hub has (AI, research use only)."""
    from gateway.fleet import dialling

    settings = site_of_home()
    if read_hub(settings):
        rows = [one.to_json() for one in run(settings, provenance.models_async)]
    else:
        with dialling.client(settings, require_site(settings)) as client:
            rows = list_models(client)
    names = ("name", "version", "task", "run", "registered_at", "signed_by")
    show(rows if as_json else [{name: row.get(name, "") for name in names} for row in rows], as_json)


def require_site(settings: Settings) -> Joined:
    """Where this node has joined. Raises NotFound where nowhere."""
    joined = read_site(settings)
    if joined is None:
        raise NotFound("this node takes part in no federation: senogate federation join")
    return joined


def list_models(client: httpx.Client) -> list[dict[str, Any]]:
    """The hub's models, the last first. Raises Unavailable, and BadRequest for what is no list of models."""
    try:
        with asked(client, MODELS) as answer:
            body = b"".join(_limited(answer, _MOST_LISTED))
        found = json.loads(body)["models"]
        if not all(_is_row(row) for row in found):
            raise ValueError
    except (ValueError, KeyError, TypeError, RecursionError):
        raise BadRequest("the hub does not answer with a list of models") from None
    return list(found)


def choose(found: list[dict[str, Any]], name: str, version: str) -> dict[str, Any]:
    """The model of a name and version; the last where less is given. Raises NotFound."""
    for row in found:
        if name in ("", row["name"]) and version in ("", row["version"]):
            return row
    raise NotFound("the hub has no such model: `senogate federation models` lists those it has")


def fetch(client: httpx.Client, row: dict[str, Any], folder: Path) -> None:
    """Write a model's files into a folder. Raises BadRequest where one is not what the hub's list says."""
    for file, hashed in FILES.items():
        total = hashlib.sha256()
        with (
            asked(client, f"{MODELS}/{row['name']}/{row['version']}/{file}") as answer,
            (folder / file).open("wb") as target,
        ):
            for chunk in _limited(answer, _MOST[file]):
                total.update(chunk)
                target.write(chunk)
        if total.hexdigest() != row[hashed]:
            raise BadRequest(f"the hub sent another {file} than it lists")


@contextmanager
def fetched(client: httpx.Client, row: dict[str, Any]) -> Iterator[Path]:
    """A folder with a model's files, as long as the block lasts."""
    with TemporaryDirectory(prefix="senogate-model-") as folder:
        fetch(client, row, Path(folder))
        yield Path(folder)


@contextmanager
def asked(client: httpx.Client, path: str) -> Iterator[httpx.Response]:
    """The hub's answer. Raises Unavailable where there is none or it is a refusal."""
    try:
        with client.stream("GET", path) as answer:
            if answer.status_code != httpx.codes.OK:
                raise Unavailable(f"the hub answers with the status {answer.status_code}")
            yield answer
    except httpx.HTTPError as error:
        raise Unavailable(f"the hub does not answer ({type(error).__name__})") from None


def _limited(answer: httpx.Response, most: int) -> Iterator[bytes]:
    read = 0
    for chunk in answer.iter_raw():
        read += len(chunk)
        if read > most:
            raise BadRequest("the hub answers with more than is read")
        yield chunk


def _is_row(row: dict[str, Any]) -> bool:
    hashes = (row["passport"], row["network"], row["record"], row["signed_by"])
    return bool(
        NAME.fullmatch(row["name"])
        and VERSION.fullmatch(row["version"])
        and all(_SHA256.fullmatch(one) for one in hashes)
    )
