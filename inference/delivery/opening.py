"""Whom results are about: the crosswalk opened with the private key, each opening noted before it gives anything."""

import json
from collections.abc import Collection
from functools import partial
from pathlib import Path

import psycopg

from archive import secrets
from archive.audit import WORKER
from archive.errors import Forbidden, NotFound
from archive.reidentification import reidentify_all
from archive.settings import Settings
from deidentification.identity import Identity
from deidentification.seal import open_sealed
from inference.delivery.errors import Undeliverable
from inference.delivery.reidentified import Study


class Crosswalk:
    """The crosswalk of a site, for its worker."""

    def __init__(self, settings: Settings) -> None:
        self._key = Path(settings.crosswalk_key)

    def can_open(self) -> bool:
        """Whether the private key is there; without it results wait."""
        return self._key.is_file()

    def open(
        self, connection: psycopg.Connection, study: str, uids: Collection[str], destination: str
    ) -> Study:
        """A study and what results of it name, by their pseudonyms. Raises Undeliverable, ConfigurationError."""
        private = secrets.read_key(str(self._key.parent), self._key.name)
        others = sorted(set(uids) - {study})
        reason = f"delivery to {destination}"
        try:
            opened = reidentify_all(
                connection, partial(open_sealed, private), study, others, opened_by=WORKER, reason=reason
            )
        except NotFound:
            raise Undeliverable("the crosswalk does not hold whom its study is about") from None
        except Forbidden:
            raise Undeliverable("the private key does not open whom its study is about") from None
        identity = Identity.from_json(json.dumps(opened[study].original).encode())
        uids_by_pseudonym = {
            pseudonym: str(each.original) for pseudonym, each in opened.items() if each.kind != "study"
        }
        return Study(identity, uids_by_pseudonym | {study: identity.study_instance_uid})
