"""What a search over a federation takes: one who asks at a node, and sites that say whatever they are told to."""

import asyncio
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Any

import httpx
from psycopg_pool import AsyncConnectionPool

from archive import catalogue, datasets
from archive.catalogue import Written
from archive.federation_keys import load_public
from archive.federation_roles import read_site
from archive.pool import SESSION
from archive.trail import Trail
from gateway import app, oauth
from gateway.fleet.identity import Identity
from gateway.search import messages
from gateway.search.asking import ask
from gateway.search.messages import Asked, Said, Told
from gateway.search.question import EVERYTHING, Question
from gateway.search.sites import SiteAnswer
from gateway.services import Services
from tests.federation.nodes import Node
from tests.live import PATIENCE, eventually
from tests.unit.fake_site import DEIDENTIFIER, FakeOrthanc

PATH = "/federation/v1/questions"


class Somebody:
    """Who asks at a node, by a gateway process of its own beside the one that serves."""

    def __init__(self, node: Node, name: str = "account:somebody") -> None:
        self.node, self.name = node, name

    def asks(self, question: Question = EVERYTHING, within: float = 30.0) -> list[SiteAnswer]:
        """All answers, in the order in which they came."""

        async def collected(services: Services) -> list[SiteAnswer]:
            return [each async for each in ask(services, question, self.name, within=within)]

        return self.does(collected)

    def does(self, work: Callable[[Services], Any]) -> Any:
        return asyncio.run(self._do(work))

    async def _do(self, work: Callable[[Services], Any]) -> Any:
        settings = self.node.settings
        keys = oauth.SigningKeys.create(settings.home / "asking.pem")
        pool = AsyncConnectionPool(
            settings.database_url, open=False, min_size=1, kwargs={"autocommit": True, **SESSION}
        )
        transport = httpx.MockTransport(FakeOrthanc())
        async with (
            pool,
            aclosing(Trail(settings.database_url)) as trail,
            httpx.AsyncClient(base_url="http://orthanc.test", transport=transport) as orthanc,
        ):
            services = app.create(settings, pool, orthanc, keys, DEIDENTIFIER, trail).state.services
            try:
                return await work(services)
            finally:
                await services.memberships.aclose()
                await services.upstream.aclose()
                services.counting.close()


def by_site(answers: list[SiteAnswer]) -> dict[str, SiteAnswer]:
    assert len({each.site for each in answers}) == len(answers)
    return {each.site: each for each in answers}


def publish(node: Node, name: str, title: str, query: str = "Modality=MG") -> None:
    """Make a dataset, and a record of it that everybody sees."""

    async def work(services: Services) -> None:
        written = Written(
            title=title, description="d", keywords=("k",), provenance="p", contact_page="https://a.test"
        )
        async with services.connection() as connection:
            await datasets.create(connection, name, query, "", by="test")
            await catalogue.edit(connection, name, written, by="test")
            await catalogue.publish(connection, name, by="test")

    Somebody(node).does(work)


Says = Callable[[Asked], dict[str, Any] | bytes]


class Client:
    """A member that speaks by itself: `says` makes what it sends to a question, None to say nothing."""

    def __init__(self, hub: Node, node: Node) -> None:
        self.hub = hub
        joined = read_site(node.settings)
        assert joined
        self.name, self.identity = joined.name, Identity.load(node.settings, joined)
        self._hub_key = load_public(joined.hub_key_bytes)
        self.says: Says | None = self.told
        self.asked: list[Asked] = []
        self.statuses: list[int] = []
        self.has_begun, self.has_ended = threading.Event(), threading.Event()

    def told(self, asked: Asked, *rows: dict[str, Any], **changed: Any) -> dict[str, Any]:
        """A signed answer with these rows; the members that are named are others."""
        values = {
            "question_id": asked.question_id,
            "site": self.name,
            "at": messages.now(),
            "state": "answered",
        }
        text = Told(**(values | {"rows": rows} | changed)).to_bytes()
        return messages.sign(Said.ANSWER, text, self.identity.key)

    def send(self, question_id: str, sent: dict[str, Any] | bytes) -> int:
        body = sent if isinstance(sent, bytes) else json.dumps(sent).encode()
        return self._client().post(f"{PATH}/{question_id}/answer", content=body).status_code

    def listen(self) -> None:
        """Until the hub ends it: take questions, and say what is to be said."""
        with self._client() as client, client.stream("GET", PATH) as stream:
            assert stream.status_code == 200
            self.has_begun.set()
            try:
                for line in stream.iter_lines():
                    if sent := json.loads(line):
                        self._take(sent)
            except httpx.HTTPError:
                pass
        self.has_ended.set()

    def _take(self, sent: dict[str, Any]) -> None:
        asked = messages.parse_asked(messages.verify(Said.QUESTION, sent, self._hub_key))
        self.asked.append(asked)
        if self.says and (says := self.says(asked)):
            self.statuses.append(self.send(asked.question_id, says))

    def _client(self) -> httpx.Client:
        headers = {"authorization": f"Bearer {self.identity.token()}"}
        return httpx.Client(
            base_url=self.hub.settings.public_url, headers=headers, trust_env=False, timeout=20
        )


@contextmanager
def listening(client: Client) -> Iterator[Client]:
    """The client's stream is open as long as the block lasts; it ends with the membership, or with the hub."""
    thread = threading.Thread(target=client.listen, daemon=True)
    thread.start()
    assert client.has_begun.wait(PATIENCE)
    yield client


class Relay:
    """A site's way out, as a process of its own."""

    def __init__(self, node: Node, log: Path) -> None:
        self._node, self._log = node, log
        self.start()

    def start(self) -> None:
        with self._log.open("ab") as log:
            command = [sys.executable, "-m", "senogate", "relay"]
            self._process = subprocess.Popen(
                command, env=self._node.environment, stdout=log, stderr=log, start_new_session=True
            )

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)
        if number in (signal.SIGKILL, signal.SIGTERM):
            self._process.wait(PATIENCE)

    def stop(self) -> None:
        if self._process.poll() is None:
            self.signal(signal.SIGKILL)


def until_answered(somebody: Somebody, site: str) -> SiteAnswer:
    """Ask until the site is heard."""

    def heard() -> SiteAnswer | None:
        found = by_site(somebody.asks(within=3.0))[site]
        return None if found.state == "late" else found

    return eventually(heard)
