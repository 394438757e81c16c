"""A question to a whole federation, put to this node's own gateway, which has the way to the others."""

import json
from collections.abc import Iterator
from typing import Any

import httpx

from archive import own_gateway
from archive.errors import Unavailable
from archive.policy import Action
from archive.settings import Settings
from gateway.search.question import Question, to_json
from senogate.tokens import issue

LIFETIME = 60  # seconds of the token that is made for it


def ask_federation(settings: Settings, question: Question) -> Iterator[dict[str, Any]]:
    """A row for each dataset, and one for each node that tells of none, as they come. Raises Unavailable."""
    headers = {
        "authorization": f"Bearer {issue(settings, None, Action.COUNT, LIFETIME)}",
        "accept": "application/x-ndjson",
    }
    url = f"{own_gateway.address(settings)}/api/search"
    asked = {"question": to_json(question), "federated": True}
    try:
        with (
            httpx.Client(trust_env=False, verify=own_gateway.certificate(settings), timeout=30) as client,
            client.stream("POST", url, json=asked, headers=headers) as answer,
        ):
            if answer.status_code != httpx.codes.OK:
                raise Unavailable(f"the gateway answers with the status {answer.status_code}")
            for line in answer.iter_lines():
                yield from _rows(json.loads(line))
    except (httpx.HTTPError, OSError, ValueError) as error:
        raise Unavailable(f"the gateway does not answer ({type(error).__name__})") from None


def _rows(told: dict[str, Any]) -> Iterator[dict[str, Any]]:
    node = {"site": told["site"], "state": told["state"]}
    for row in told["rows"]:
        yield node | {name: row[name] for name in ("dataset", "studies", "patients")}
    if not told["rows"]:
        yield node | {"reason": told["reason"]}
