"""Nodes of a federation that cost little: a home, a database on the shared site's PostgreSQL, and a gateway."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import httpx
import psycopg

from archive import secrets
from archive.federation_roles import read_site
from archive.settings import load
from gateway import oauth
from gateway.fleet.identity import Identity
from tests import commands, databases
from tests.conformance.conftest import serve_in_thread
from tests.live import PATIENCE, LiveSite, find_free_ports

MEMBERS, SELF = "/federation/v1/members", "/federation/v1/members/self"


class Node:
    """A node with commands, a database and, in a thread of this process, a gateway."""

    def __init__(self, home: Path, database_url: str) -> None:
        self.environment = os.environ | {
            "SENOGATE_HOME": str(home),
            "SENOGATE_PORT": str(find_free_ports(1)[0]),
            "SENOGATE_DATABASE_URL": database_url,
        }
        self.settings = load(self.environment)
        secrets.write(Path(self.settings.secrets, secrets.SITE_KEY), os.urandom(32))

    def senogate(self, *arguments: str, check: bool = True, stdin: str = "") -> CompletedProcess[str]:
        """Run one `senogate` command at this node."""
        done = commands.run(arguments, self.environment, stdin, PATIENCE)
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def run(self, *arguments: str, check: bool = True, stdin: str = "") -> CompletedProcess[str]:
        """Run one `senogate federation` command at this node."""
        return self.senogate("federation", *arguments, check=check, stdin=stdin)

    def told(self, *arguments: str, stdin: str = "") -> list[dict[str, Any]]:
        """What a command prints for programs."""
        return json.loads(self.run(*arguments, "--json", stdin=stdin).stdout)

    def invite(self, name: str) -> str:
        return self.told("invite", name)[0]["invitation"]

    def ask(self, method: str, path: str, token: str = "", **arguments: Any) -> httpx.Response:
        """Ask this node's gateway."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        url = self.settings.public_url + path
        with httpx.Client(trust_env=False, timeout=30) as client:
            return client.request(method, url, headers=headers, **arguments)

    def token(self) -> str:
        """A new token for the hub that this node has joined."""
        joined = read_site(self.settings)
        assert joined
        return Identity.load(self.settings, joined).token()

    def database(self) -> psycopg.Connection:
        return psycopg.connect(self.settings.database_url, autocommit=True)

    def trail(self) -> list[dict[str, Any]]:
        """The records of the audit trail about memberships."""
        with self.database() as connection:
            rows = connection.execute("select content from audit order by number").fetchall()
        records = [json.loads(content) for (content,) in rows]
        return [each for each in records if each["event"] == "federation.member"]


@contextmanager
def serve_node(site: LiveSite, home: Path) -> Iterator[Node]:
    """A node whose database is on the site's PostgreSQL."""
    node = Node(home, databases.create(site.settings.database_url))
    stop = serve_in_thread(
        node.settings, oauth.SigningKeys.create(Path(node.settings.secrets, secrets.SIGNING_KEY))
    )
    yield node
    stop()
