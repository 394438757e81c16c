"""What a node of a federation needs beside: Flower, and for a site its hub, which it alone dials."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from importlib.util import find_spec

import httpx

from archive.errors import ConfigurationError
from archive.federation_roles import Joined, read_hub, read_leaving, read_site
from archive.settings import Settings
from gateway.fleet import dialling
from senogate.doctor.finding import Finding, act, consider, fine
from senogate.doctor.place import Place

_APART = timedelta(seconds=60)  # tokens of nodes are good for little longer
_PATIENCE = httpx.Timeout(8.0, connect=5.0)


def look(place: Place) -> Iterator[Finding]:
    """Nothing at a node that takes part in no federation."""
    try:
        hub, joined, leaving = (read(place.settings) for read in (read_hub, read_site, read_leaving))
    except ConfigurationError as error:
        yield act("federation", str(error), "Restore it, or join again (docs/federation.md).")
        return
    if (hub or joined) and find_spec("flwr") is None:
        yield act("federation-flower", "Flower is not installed", "Set it up.", "make setup-federation")
    if hub and place.settings.public_url.startswith("http:") and not _is_local(place.settings):
        todo = "Set a certificate, or a proxy's https address as public_url: sites dial nothing else."
        yield act("federation", "this hub's public_url is http", todo)
    if isinstance(joined, Joined):
        yield from _hub(place.settings, joined)
    if leaving:
        yield consider(
            "federation",
            "the hub does not know yet that this site left",
            "Tell it.",
            "senogate federation leave",
        )


def _is_local(settings: Settings) -> bool:
    return any(f"//{host}" in settings.public_url for host in ("127.0.0.1", "localhost", "[::1]"))


def _hub(settings: Settings, joined: Joined) -> Iterator[Finding]:
    try:
        with dialling.client(settings, joined) as client:
            answer = client.get("/federation/v1/members/self", timeout=_PATIENCE)
    except (httpx.HTTPError, ConfigurationError) as error:
        said = str(error) if isinstance(error, ConfigurationError) else type(error).__name__
        todo = (
            "See whether it runs, and whether firewall, federation_proxy and federation_authorities let this machine "
            "reach it (docs/federation-transport.md). Runs go on without this site."
        )
        yield act("hub", f"{joined.hub_url} can't be reached ({said})", todo)
        return
    yield from _standing(joined, answer)
    yield from _clock(answer)


def _standing(joined: Joined, answer: httpx.Response) -> Iterator[Finding]:
    if answer.is_success:
        yield fine("hub", f"{joined.hub_name} at {joined.hub_url} knows this site")
    elif answer.status_code in (401, 403, 404):
        todo = "Ask its administrator whether the site was approved, suspended or removed."
        yield act("hub", f"{joined.hub_name} does not take this site's word ({answer.status_code})", todo)
    else:
        yield act(
            "hub", f"{joined.hub_url} answers with the status {answer.status_code}", "Tell its administrator."
        )


def _clock(answer: httpx.Response) -> Iterator[Finding]:
    """How far the hub's clock is from this one's, by its Date (RFC 9110 section 6.6.1)."""
    try:
        told = parsedate_to_datetime(answer.headers["date"])
    except (KeyError, ValueError):
        return
    apart = abs(told - datetime.now(UTC))
    if apart > _APART:
        said = f"this machine's and the hub's differ by {apart.total_seconds():.0f} s"
        yield act("clock-hub", said, "Have both machines keep time: each refuses the other's tokens else.")
