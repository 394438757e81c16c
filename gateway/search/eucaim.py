"""EUCAIM's node API: what the federation's mediators send, as a question, and the collections that answer it.

A mediator puts its provider's name behind the first brace of an answer, which so has to be the answer's own.
"""

import html
import json
from collections.abc import Iterable
from typing import Any

from gateway.search.answering import Row
from gateway.search.interpretation import NOTHING, all_of, chosen
from gateway.search.question import Question
from gateway.search.vocabulary import LABELS, find_value

PARAMETERS = {
    "gender": "sex",
    "diagnosis": "diagnosis",
    "modality": "modality",
    "bodyPart": "body_part",
    "manufacturer": "manufacturer",
}
"""The criterion of each parameter of the form without a tree."""


def parse_parameters(parameters: Iterable[tuple[str, str]]) -> Question:
    """What the parameters of an address ask: values of one name are alternatives.

    An unknown name, and a name of which no value is known, holds for no study.
    """
    asked: dict[str, list[str]] = {}
    for name, text in parameters:
        asked.setdefault(name, []).append(text)
    return all_of([_criterion(name, texts) for name, texts in asked.items()])


def _criterion(name: str, texts: list[str]) -> Question:
    criterion = PARAMETERS.get(name)
    if criterion is None:
        return NOTHING
    return chosen(criterion, [found for text in texts if (found := find_value(criterion, text))])


def render(rows: Iterable[Row]) -> bytes:
    """The collections in which anything was found that may be told."""
    return json.dumps(
        {"collections": list(map(_collection, filter(_is_told, rows)))}, ensure_ascii=False
    ).encode()


def _is_told(row: Row) -> bool:
    return bool(row.studies and row.patients)


def _collection(row: Row) -> dict[str, Any]:
    youngest, oldest = row.ages or (None, None)
    return {
        "id": row.dataset,
        "name": row.title,
        "description": html.escape(row.description, quote=False),  # its readers take it for HTML
        "studies_count": row.studies,
        "subjects_count": row.patients,
        "age_range": {"min": youngest, "max": oldest},
        "gender": [LABELS.get(("sex", sex), sex) for sex in row.sexes],
        "modality": list(row.modalities),
        "body_parts": list(row.body_parts),
    }
