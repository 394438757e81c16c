"""`senogate search`: how many patients and studies there are of something, as others are told it, or exactly."""

import json
from dataclasses import asdict
from typing import Annotated, Any

import typer

from archive import search_facts
from archive.errors import BadRequest
from archive.pool import connect
from gateway.search.counting import Counting
from gateway.search.question import read_question
from senogate import search_tokens
from senogate.operator import AsJson, say, show, site_of_home
from senogate.user import user

app = typer.Typer(no_args_is_help=True, help="Counting patients and studies without showing any.")
app.add_typer(search_tokens.app, name="token")


@app.command("count")
def count(
    question: Annotated[
        str,
        typer.Argument(
            help='JSON, such as {"all": [{"is": "modality", "in": ["MG"]}, {"is": "age", "from": 50}]}.'
        ),
    ] = '{"all": []}',
    exactly: Annotated[
        bool, typer.Option("--exactly", help="The numbers as they are: not for others.")
    ] = False,
    federated: Annotated[
        bool, typer.Option("--federated", help="Ask all nodes of the federation, by this node's gateway.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """How many patients and studies of each published dataset are meant by a question."""
    if exactly and federated:
        raise typer.BadParameter("other nodes tell nobody the numbers as they are")
    try:
        asked = read_question(json.loads(question))
    except (ValueError, RecursionError):
        raise BadRequest("the question is not JSON") from None
    if federated:
        from senogate.searching import ask_federation

        rows = list(ask_federation(site_of_home(), asked))
        return show(rows if as_json else [_line(row) for row in rows], as_json)
    settings, counting = site_of_home(), Counting()
    try:
        if exactly:
            show([asdict(row) for row in counting.exact(settings, asked)], as_json)
        else:
            found = counting.answer(settings, asked, f"operator:{user()}").rows
            told: list[dict[str, object]] = [
                {"dataset": row.dataset, "studies": row.studies, "patients": row.patients} for row in found
            ]
            show(told if as_json else [_line(row) for row in told], as_json)
    finally:
        counting.close()


@app.command("rebuild")
def rebuild() -> None:
    """Compute anew from the index what questions are answered from."""
    with connect(site_of_home().database_url, autocommit=True) as connection:
        search_facts.begin_anew(connection)
        search_facts.bring_up_to_date(connection)
    say("what questions are answered from is up to date")


def _line(row: dict[str, Any]) -> dict[str, Any]:
    return {name: "too few" if value is None else value for name, value in row.items()}
