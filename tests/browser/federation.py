"""A node with pages of a federation: a gateway of its own over an index of its own, hub and site at once."""

import hashlib
import secrets
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from archive import evaluations, runs
from archive.federation_keys import fingerprint
from archive.federation_roles import Hub, Joined, write_role
from archive.purpose import Purpose
from archive.settings import Settings
from federation.evaluation.packages import join
from federation.evaluation.release import Seen, protect, to_text
from federation.evaluation.scoring import ANSWERS, FATTY, LABELS, NEGATIVE, POSITIVE, answers_of, plan_of
from federation.manifest import Kind, Manifest
from gateway import oauth
from tests import databases
from tests.conformance.conftest import serve_in_thread
from tests.live import LiveSite, find_free_ports


@dataclass(frozen=True)
class Node:
    """The gateway's settings; `base_url` as a site has it."""

    settings: Settings
    base_url: str

    def execute(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.settings.database_url, autocommit=True) as connection:
            found = connection.execute(statement, values)
            return found.fetchall() if found.description else []

    def cookie(self, role: str) -> dict[str, str]:
        """The cookie of somebody new with a role who is signed in."""
        name, value = f"{role}-{uuid.uuid4().hex[:8]}", secrets.token_urlsafe(32)
        self.execute("insert into account (name, password_hash) values (%s, '')", name)
        self.execute(
            "insert into role_grant (subject, role, granted_by) values (%s, %s, 'test')",
            f"account:{name}",
            role,
        )
        self.execute(
            "insert into session (id_sha256, subject, roles, expires_at) values (%s, %s, '{}', now() + interval '1 h')",
            *(hashlib.sha256(value.encode()).digest(), f"account:{name}"),
        )
        return {"name": "senogate", "value": value, "url": self.base_url}

    def add_member(self, name: str, state: str) -> str:
        """A member; the fingerprint of its keys."""
        site_key, node_key = (Ed25519PrivateKey.generate().public_key().public_bytes_raw() for _ in range(2))
        invitation = self.execute(
            "insert into invitation (code_sha256, name, created_by, expires_at, used_at) "
            "values (%s, %s, 'test', now(), now()) returning number",
            *(secrets.token_bytes(32), name),
        )
        self.execute(
            "insert into member (invitation, name, state, site_key, node_key, approved_at) "
            "values (%s, %s, %s, %s, %s, case when %s = 'active' then now() end)",
            *(invitation[0][0], name, state, site_key, node_key, state),
        )
        return fingerprint(site_key, node_key)

    def add_run(self, **terms: Any) -> Manifest:
        """A run that waits."""
        made = manifest(**terms)
        with psycopg.connect(self.settings.database_url) as connection:
            runs.add(connection, made.run, made.to_bytes(), b"signed", by="account:test")
        return made

    def offer(self, **terms: Any) -> Manifest:
        """A run that the node is offered as a site."""
        made = manifest(**terms)
        self.execute(
            "insert into offered_run (run, hub, manifest, signature, state) "
            "values (%s, 'hub', %s, 'signed', 'waiting')",
            *(made.run, made.to_bytes()),
        )
        return made

    def complete(self, run: str, number: int) -> None:
        """A round of three sites, one of which was away."""
        figures = {"primary": 0.5 + 0.08 * number, "loss": 1.4 / number}
        sites = {
            "north": {**figures, "examples": 61.0},
            "south": {name: value * 0.95 for name, value in figures.items()},
            "west": {"absent": "away"},
        }
        with psycopg.connect(self.settings.database_url) as connection:
            runs.complete_round(connection, run, number, figures, sites)

    def evaluate(self, run: str, model: str, skill: float) -> None:
        """What came of a package that is right as often as `skill` says, at two sites."""
        package = hashlib.sha256(model.encode()).hexdigest()
        told = {site: release(package, skill, number) for number, site in enumerate(("north", "south"))}
        joined = join(told, task="density", package=package)
        shown = {
            "name": model, "version": "1.0.0", "title": model.replace("-", " ").capitalize(), "task": "density",
            "trained_on": "structured phantoms",
        }  # fmt: skip
        with psycopg.connect(self.settings.database_url) as connection:
            evaluations.add(
                connection, run, package, dataset="screening", model=shown, releases=told, joined=joined
            )


def manifest(**terms: Any) -> Manifest:
    common = {
        "run": f"R{secrets.token_hex(8)}", "kind": Kind.TRAINING, "task": "density", "dataset": "screening",
        "purpose": Purpose.ALGORITHMS, "hub": "hub", "created_at": datetime.now(UTC), "rounds": 6, "min_sites": 2,
        "code": "c" * 64, "initial": "1" * 64,
    }  # fmt: skip
    return Manifest(**common | terms)


def release(package: str, skill: float, number: int) -> bytes:
    """What a site of 240 patients and two vendors tells."""
    seen = []
    for patient in range(240):
        truth = patient % 4
        is_right = (patient * 37 % 100) / 100 < skill
        answer = truth if is_right else min(max(truth + (1 if patient % 3 else -1), 0), 3)
        score = min(0.99, max(0.0, answer / 4 + (patient * 13 % 25) / 100))
        stratum = NEGATIVE if LABELS[truth] in FATTY else POSITIVE
        place = ANSWERS[stratum].index((LABELS[truth], LABELS[answer]))
        groups = {
            "vendor": ("HOLOGIC", "SIEMENS")[(patient // 4 + number) % 2],
            "age": ("50 to 59", "60 to 69")[patient % 8 // 4],
        }
        seen.append(Seen({stratum: {int(score * 100): 1}, answers_of(stratum): {place: 1}}, groups))
    return to_text(protect(seen, 0, plan_of("density"), 5), task="density", package=package)


@contextmanager
def serve_node(site: LiveSite, home: Path) -> Iterator[Node]:
    """A hub that is a site as well, on the shared site's PostgreSQL; none of its other parts runs."""
    address = databases.create(site.settings.database_url)
    settings = Settings(home=home, port=find_free_ports(1)[0], database_url=address)
    write_role(settings, Hub("hub", datetime.now(UTC).isoformat()))
    write_role(settings, Joined("north", "https://hub.example", "hub", "AAAA", datetime.now(UTC).isoformat()))
    stop = serve_in_thread(settings, oauth.SigningKeys.create(home / "signing.pem"))
    yield Node(settings, settings.public_url)
    stop()
