"""What a node says to a question of another: what its permit for that other covers, and nothing without one."""

from dataclasses import dataclass

from psycopg import AsyncConnection

from archive import permits, questions
from archive.audit import Detail, Event, Outcome, Record
from archive.errors import TooManyRequests, Unauthenticated
from archive.policy import Action, Principal, Scope, decide
from gateway.search.answering import Row, answer
from gateway.search.question import Question
from gateway.search.sites import SiteState
from gateway.services import Searched


@dataclass(frozen=True, slots=True)
class Permitted:
    """What is said: rows, and how many studies their datasets have, which is not told as it is; else why nothing is."""

    state: SiteState
    rows: tuple[Row, ...] = ()
    held: dict[str, int] | None = None
    why: str = ""


async def answer_permitted(
    services: Searched, question: Question, *, subject: str, asker: str, question_id: str
) -> Permitted:
    """Answer a node that is named by permits as `subject`, which asks for `asker`; put on record that it did.

    Of this node's protected answer those datasets are told that a permit for `search.count` names. Raises Unavailable.
    """
    said, scope = await _decide(services, question, subject, asker)
    detail: Detail = {"question": question_id, "asker": asker, "rows": len(said.rows), "reason": said.why}
    outcome = Outcome.REFUSED if said.why else Outcome.SUCCESS
    await services.trail.write(
        Record(Event.FEDERATION_SEARCH, subject, outcome, scope.permits, detail=detail)
    )
    return said


async def _decide(
    services: Searched, question: Question, subject: str, asker: str
) -> tuple[Permitted, Scope]:
    async with services.connection() as connection:
        scope = await _scope(connection, subject)
        numbers = None if scope.everything else scope.datasets
        held = await questions.told_of(connection, numbers)
    if not scope.permits:
        return Permitted(SiteState.REFUSED, why="no-permit"), scope
    try:
        found = await answer(services, question, f"{subject}#{asker}", hub=subject)
    except TooManyRequests:
        return Permitted(SiteState.REFUSED, why="budget"), scope
    rows = tuple(row for row in found.rows if row.dataset in held)
    return Permitted(SiteState.ANSWERED, rows, held), scope


async def _scope(connection: AsyncConnection, subject: str) -> Scope:
    try:
        grants = await permits.grants_of(connection, subject)
    except Unauthenticated:
        return Scope(everything=False)
    return decide(Principal(subject, frozenset({Action.COUNT})), grants, Action.COUNT)
