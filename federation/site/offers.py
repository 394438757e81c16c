"""What a site hears of runs from its hub, and what it says to them: by itself, within what its steward decided."""

import base64
import binascii
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from psycopg import AsyncConnection

from archive import approvals
from archive.answer import Answer, Decision, sign
from archive.approvals import Offered
from archive.audit import WORKER
from archive.errors import BadRequest, Conflict
from archive.federation_keys import load_public
from archive.federation_roles import Joined
from archive.settings import Settings
from federation.manifest import Manifest, parse_manifest, verify
from federation.site import gate
from federation.site.approval import Allowed, Refusal
from gateway.fleet.identity import Identity
from gateway.fleet.to_hub import ask

RUNS = "/federation/v1/runs"
_MOST_PASSED_OVER = 1000
_LOG = logging.getLogger("senogate.federation")
_STATES = ("waiting", "running", "done", "failed", "stopped")


class Offers:
    """The hub's runs as one site follows them. What can't be read is passed over, and said once."""

    def __init__(self, settings: Settings, identity: Identity) -> None:
        self._settings, self._identity = settings, identity
        self._passed_over: set[str] = set()

    async def follow(self, connection: AsyncConnection) -> None:
        """Ask the hub for its runs, keep what it has signed, and tell it what the site says to each.

        Raises Unavailable where the hub does not answer, and what it refuses with.
        """
        joined = self._identity.joined
        found = await ask(self._settings, joined.hub_url, "GET", RUNS, token=self._identity.token())
        kept = [await self._keep(connection, row, joined) for row in _rows(found)]
        await approvals.close_others(connection, joined.hub_name, [run for run in kept if run])
        for one in await approvals.open_runs(connection, joined.hub_name):
            await _answer(connection, self._settings, self._identity, one)

    async def _keep(self, connection: AsyncConnection, row: Mapping[str, Any], joined: Joined) -> str:
        try:
            run, manifest, signature, state = _read(row, joined)
            hub = joined.hub_name
            await approvals.offer(
                connection, run, hub=hub, manifest=manifest, signature=signature, state=state
            )
        except (BadRequest, Conflict) as error:
            named = str(row.get("run"))[:40]
            if named not in self._passed_over and len(self._passed_over) < _MOST_PASSED_OVER:
                self._passed_over.add(named)
                _LOG.warning("a run that the hub offers is passed over: %s", error)
            return ""
        return run


async def _answer(
    connection: AsyncConnection, settings: Settings, identity: Identity, offered: Offered
) -> None:
    """Tell the hub what the site says, where that is another thing than the hub knows."""
    manifest = parse_manifest(offered.manifest)
    decision = decision_of(offered, await gate.ask(connection, settings, offered, manifest))
    if decision is None or decision == offered.told:
        return
    said = Answer(offered.run, offered.sha256, identity.joined.name, decision, datetime.now(UTC))
    content = {
        "answer": base64.b64encode(said.to_bytes()).decode("ascii"),
        "signature": base64.b64encode(sign(said, identity.key)).decode("ascii"),
    }
    path = f"{RUNS}/{offered.run}/answer"
    await ask(settings, identity.joined.hub_url, "POST", path, token=identity.token(), content=content)
    await approvals.tell(connection, offered, decision, by=WORKER)


def decision_of(offered: Offered, decided: Allowed | Refusal) -> Decision | None:
    """What the hub is told; None as long as nobody has decided. What was approved and is not any more is refused."""
    if isinstance(decided, Allowed):
        return Decision.APPROVED
    if decided == Refusal.REFUSED or offered.told == Decision.APPROVED:
        return Decision.REFUSED
    return offered.told


def _rows(found: Any) -> list[Mapping[str, Any]]:
    rows = found.get("runs") if isinstance(found, Mapping) else None
    if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
        raise BadRequest("the hub does not tell of its runs as a hub does")
    return rows


def _read(row: Mapping[str, Any], joined: Joined) -> tuple[str, bytes, bytes, str]:
    """A run that the hub has signed. Raises BadRequest for anything else."""
    try:
        text = base64.b64decode(row["manifest"], validate=True)
        signature = base64.b64decode(row["signature"], validate=True)
        run, state = row["run"], row["state"]
    except (KeyError, TypeError, ValueError, binascii.Error):
        raise BadRequest("the hub does not tell of its runs as a hub does") from None
    verify(text, signature, load_public(joined.hub_key_bytes))
    manifest: Manifest = parse_manifest(text)
    if (manifest.run, manifest.hub) != (run, joined.hub_name) or state not in _STATES:
        raise BadRequest("the hub tells of a run another thing than it has signed")
    return manifest.run, text, signature, str(state)
