"""docs/law.md names tests and documents that are there."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LAW = (ROOT / "docs" / "law.md").read_text("utf-8")


def test_every_test_that_shows_an_article_is_there():
    named = set(re.findall(r"`((?:unit|integration|conformance)/\w+\.py)`", LAW))
    assert len(named) > 10
    assert [name for name in named if not (ROOT / "tests" / name).exists()] == []


def test_every_document_is_there():
    named = {
        *re.findall(r"`(docs/[\w-]+\.md)`", LAW),
        *(f"docs/{name}" for name in re.findall(r"\]\(([\w-]+\.md)\)", LAW)),
    }
    assert [name for name in named if not (ROOT / name).exists()] == []
