"""`senogate webhook`: addresses that are told by HTTP when a reading has ended."""

import asyncio
import json
import time
import uuid
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from psycopg import AsyncConnection

from archive import secrets, webhooks
from archive.audit import Detail, Event, instant
from archive.errors import Unavailable
from archive.settings import Settings
from archive.webhook_keys import Algorithm, Key
from archive.webhooks import Wanted, Webhook
from senogate.operator import AsJson, change, out, run, say, seconds, show, site_of_home
from senogate.user import user

app = typer.Typer(
    no_args_is_help=True, help="Addresses that are told when a reading has ended, or a steward is wanted."
)
Name = Annotated[str, typer.Argument(help="As `senogate webhook list` shows it.", show_default=False)]


@app.command("add")
def add(
    name: Annotated[str, typer.Argument(help="What it is called here.", show_default=False)],
    url: Annotated[str, typer.Argument(help="https, or http to this machine itself.", show_default=False)],
    subject: Annotated[
        str,
        typer.Option("--for", help="The principal who is told, of the studies that it may see: client:ID."),
    ],
    event: Annotated[
        list[webhooks.Event] | None, typer.Option(help="What it is told of; without any: readings.")
    ] = None,
    permit: Annotated[str, typer.Option(help="The only permit of it that counts.")] = "",
    dataset: Annotated[str, typer.Option(help="Only studies that are in this dataset.")] = "",
    algorithm: Annotated[Algorithm, typer.Option(help="How messages are signed.")] = Algorithm.HMAC,
    as_json: AsJson = False,
) -> None:
    """Tell an address of readings; what its receiver verifies messages with is shown this once."""
    settings = site_of_home()
    events = tuple(event or webhooks.READINGS)
    wanted = Wanted(name, url, subject, events, permit, dataset, algorithm)
    detail: Detail = {
        "webhook": name,
        "change": "added",
        "for": subject,
        "permit": permit,
        "dataset": dataset,
    }

    async def work(connection: AsyncConnection) -> Key:
        return await webhooks.add(connection, wanted, _site_key(settings), by=user())

    _show_key(name, change(settings, Event.WEBHOOK_CHANGED, detail, work), as_json)


@app.command("list")
def list_all(as_json: AsJson = False) -> None:
    """The webhooks: who is told what, and how it went lately."""
    show([_row(each) for each in run(site_of_home(), webhooks.list_webhooks)], as_json)


@app.command("rotate")
def rotate(
    name: Name,
    overlap: Annotated[
        str, typer.Option(help="How long messages are signed with the old key too: 0s, 15m, 24h, 7d.")
    ] = "24h",
    as_json: AsJson = False,
) -> None:
    """Sign a webhook's messages with another key, shown this once, and for a while with the one before as well."""
    settings, length = site_of_home(), seconds(overlap)
    detail: Detail = {"webhook": name, "change": "rotated", "overlap": length}

    async def work(connection: AsyncConnection) -> Key:
        return await webhooks.rotate(connection, name, length, _site_key(settings))

    _show_key(name, change(settings, Event.WEBHOOK_CHANGED, detail, work), as_json)


@app.command("remove")
def remove(name: Name) -> None:
    """Tell an address nothing any more."""
    detail = {"webhook": name, "change": "removed"}
    change(
        site_of_home(), Event.WEBHOOK_CHANGED, detail, lambda connection: webhooks.remove(connection, name)
    )
    say(f"{name} is removed")


@app.command("test")
def test(name: Name) -> None:
    """Send a webhook a message of the type `webhook.test` from here; exit status 1 where it is not taken."""
    settings = site_of_home()
    detail: Detail = {"webhook": name, "change": "tested"}
    found = change(
        settings, Event.WEBHOOK_CHANGED, detail, lambda connection: webhooks.show(connection, name)
    )
    began = time.monotonic()
    if failure := asyncio.run(_send_test(settings, found)):
        raise Unavailable(f"{name} does not take it: {failure}")
    say(f"{name} takes it, in {time.monotonic() - began:.2f} s")


async def _send_test(settings: Settings, webhook: Webhook) -> str:
    from inference.notification.sending import Sender

    keys = webhooks.keys_of(_site_key(settings), webhook.algorithm, webhook.salt, webhook.previous_salt)
    message = {"type": "webhook.test", "timestamp": instant(datetime.now(UTC)), "data": {}}
    sender = Sender(settings)
    try:
        answer = await sender.send(webhook.url, keys, f"msg_{uuid.uuid4().hex}", json.dumps(message).encode())
    finally:
        sender.close()
    return answer.failure


def _site_key(settings: Settings) -> bytes:
    return secrets.read_key(settings.secrets, secrets.SITE_KEY)


def _row(webhook: Webhook) -> dict[str, Any]:
    state = "stopped" if webhook.stopped_at else "failing" if webhook.failures else "active"
    moments = {"told_at": webhook.told_at, "failed_at": webhook.failed_at}
    return {
        "name": webhook.name,
        "url": webhook.url,
        "for": webhook.subject,
        "permit": webhook.permit or "",
        "dataset": webhook.dataset or "",
        "events": " ".join(webhook.events),
        "algorithm": webhook.algorithm,
        "state": state,
        "waiting": webhook.waiting,
        "given_up": webhook.given_up,
        **{name: instant(moment) if moment else "" for name, moment in moments.items()},
        "failure": webhook.failure,
    }


def _show_key(name: str, key: Key, as_json: bool) -> None:
    kind = "secret" if key.algorithm == Algorithm.HMAC else "public_key"
    if as_json:
        out.print_json(json.dumps({"name": name, kind: key.shown}))
    else:
        say(f"{name}  {key.shown}")
