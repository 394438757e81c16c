"""What is to be erased again after a restore is what the site signed that it had erased."""

import json
from pathlib import Path
from typing import Any

import pytest

from archive.erasing import make_receipt
from archive.errors import BadRequest
from gateway import signing
from gateway.signing import SigningKeys
from senogate.backup import receipts
from senogate.erasure import _signer

STATEMENT = {
    "erasure": "one",
    "kind": "study",
    "pseudonyms": ["2.25.1"],
    "asked_at": "2026-01-01T00:00:00.000000Z",
    "asked_by": "os:somebody",
    "reason": "a test",
}


@pytest.fixture
def keys(tmp_path: Path) -> SigningKeys:
    return SigningKeys.create(tmp_path / "signing.pem")


def receipt(keys: SigningKeys, **changed: Any) -> str:
    return make_receipt(STATEMENT | changed, _signer(keys))


def test_a_receipt_is_what_it_says(keys: SigningKeys) -> None:
    (erasure,) = receipts.wish([keys], receipt(keys)).erasures
    assert (erasure["id"], erasure["pseudonyms"]) == ("one", ["2.25.1"])


def test_one_of_a_key_that_another_backup_has_is_taken(keys: SigningKeys, tmp_path: Path) -> None:
    newer = signing.rotate(tmp_path / "signing.pem")
    assert receipts.wish([keys, newer], receipt(newer)).erasures
    with pytest.raises(BadRequest):
        receipts.wish([keys], receipt(newer))


@pytest.mark.parametrize("member", ["pseudonyms", "kind"])
def test_what_was_changed_is_refused(keys: SigningKeys, member: str) -> None:
    told = json.loads(receipt(keys))
    told["statement"][member] = ["2.25.2"]
    with pytest.raises(BadRequest, match="not signed"):
        receipts.wish([keys], json.dumps(told))


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"statement": {}, "signature": "x"}'])
def test_what_is_no_receipt_is_refused(keys: SigningKeys, text: str) -> None:
    with pytest.raises(BadRequest):
        receipts.wish([keys], text)


def test_another_statement_of_the_site_is_no_receipt(keys: SigningKeys) -> None:
    text = make_receipt({"erasure": "one"}, _signer(keys))
    with pytest.raises(BadRequest, match="no receipt"):
        receipts.wish([keys], text)
