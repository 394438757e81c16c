"""What is on record of a model that is fetched."""

import asyncio
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock, MagicMock

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from federation.provenance import trace
from inference.errors import PackageError
from inference.signature import identify
from inference.trust import trusted_keys
from senogate import fetching


def test_a_key_that_is_trusted_is_on_record_where_the_model_is_not_added(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, kept = Ed25519PrivateKey.generate().public_key(), []

    def run(_: Any, work: Any) -> Any:
        note = AsyncMock()
        monkeypatch.setattr(fetching, "note", note)
        done = asyncio.run(work(None))  # what it raises ends the transaction, and keeps nothing
        kept.extend(call.args[1] for call in note.call_args_list)
        return done

    monkeypatch.setattr(fetching, "run", run)
    monkeypatch.setattr(fetching.package, "read", MagicMock())
    monkeypatch.setattr(fetching.installed, "add", MagicMock(side_effect=PackageError("another is there")))
    monkeypatch.setattr(trace, "read_provenance", MagicMock())
    monkeypatch.setattr(trace, "model_key", lambda _: key)
    with pytest.raises(PackageError):
        fetching._take(MagicMock(home=tmp_path), MagicMock(), tmp_path, identify(key))
    assert kept == ["key trusted"] and identify(key) in trusted_keys(tmp_path)
