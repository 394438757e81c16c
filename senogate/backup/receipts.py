"""Receipts of erasures that no backup knows of: what a site signed of what is to be erased again after a restore."""

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import jwt

from archive import audit, secrets
from archive.backups import Wishes
from archive.errors import BadRequest, ConfigurationError
from gateway.signing import SigningKeys
from senogate.backup import files, parts, restoring
from senogate.backup.keys import Opener
from senogate.backup.restoring import Source


def is_genuine(keys: SigningKeys, text: str) -> bool:
    """Whether the receipt's statement is what one of these keys signed."""
    try:
        found = json.loads(text)
        payload = audit.canonical(found["statement"]).encode()
        key = keys.find(jwt.get_unverified_header(found["signature"])["kid"])
        if key is None:
            return False
        signed = jwt.PyJWS().decode(found["signature"], key.public, algorithms=[key.algorithm])
    except (ValueError, KeyError, TypeError, jwt.InvalidTokenError):
        return False
    return bool(signed == payload and hashlib.sha256(payload).hexdigest() == found["sha256"])


def signing_keys(source: Source, opener: Opener) -> list[SigningKeys]:
    """The keys that the site signed with, in this backup and in the newest: a later receipt may be by a newer key.

    Raises BadRequest where the backup holds none.
    """
    found = [_signing_keys(source)]
    newest = source.repository.choose()
    if newest != source.name:
        with suppress(ConfigurationError):  # sealed to another key: for who restores to say (--ignore-newer)
            found.append(_signing_keys(restoring.open_backup(source.repository.folder, newest, opener)))
    return found


def wish(keys: Sequence[SigningKeys], text: str) -> Wishes:
    """What a receipt says that was erased. Raises BadRequest for one that the site did not sign, or was changed."""
    if not any(is_genuine(each, text) for each in keys):
        raise BadRequest(
            "a receipt is not signed by the site that was backed up, or was changed since: nothing was restored"
        )
    try:
        told = json.loads(text)["statement"]
        row = {name: told[name] for name in ("kind", "pseudonyms", "asked_at", "asked_by", "reason")}
        return Wishes([row | {"id": told["erasure"]}])
    except (KeyError, TypeError):
        raise BadRequest("it is no receipt of an erasure, as `senogate erase receipt` prints it") from None


def _signing_keys(source: Source) -> SigningKeys:
    name = f"{files.SECRETS}/{secrets.SIGNING_KEY}"
    with parts.opening(source.folder, source.data_key, "files") as archive:
        return SigningKeys.from_pem(files.content(archive, name), Path(secrets.SIGNING_KEY))
