"""`senogate federation traces`: what a tracing service is told of this node's datasets."""

from typing import Annotated, Any

import typer

from archive import tracing
from archive.tracing import Trace
from senogate.federation import app
from senogate.operator import AsJson, run, show, site_of_home


@app.command("traces")
def traces(
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many, the last ones.")] = 100,
    as_json: AsJson = False,
) -> None:
    """What was done with datasets as EUCAIM's tracing service is told it, the newest first, and whether it has it."""
    settings = site_of_home()
    found = run(settings, lambda connection: tracing.list_traces(connection, limit))
    rows = [one.to_json(settings.public_url) for one in found]
    show(rows if as_json else [_row(one) for one in found], as_json)


def _row(one: Trace) -> dict[str, Any]:
    body = one.body
    what = body.get("toolName") or body.get("details") or ""
    state = "delivered" if one.delivered_at else "refused" if one.refused else "waiting"
    return {
        "at": f"{one.at:%Y-%m-%d %H:%M:%S}",
        "action": body["userAction"],
        "datasets": ", ".join(body.get("datasetsIds", [body.get("datasetId", "")])),
        "what": f"{what} {body.get('toolVersion', '')}".strip(),
        "state": state,
        "failure": one.failure,
    }
