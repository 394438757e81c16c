"""`senogate rules`: the rules of participation that who asks for data agrees to."""

from pathlib import Path
from typing import Annotated

import typer

from archive import rules
from archive.errors import BadRequest
from senogate.operator import AsJson, run, say, show, site_of_home
from senogate.user import user

app = typer.Typer(no_args_is_help=True, help="The rules that who asks for data agrees to.")


@app.command()
def publish(
    file: Annotated[Path, typer.Argument(help="The text, in UTF-8.", exists=True, dir_okay=False)],
    version: Annotated[str, typer.Option(help="What this version is called, such as 2027-1.")],
) -> None:
    """Publish a version: applications agree to it from now on, those before stay as they are; print its SHA-256."""
    try:
        text = file.read_text("utf-8")
    except UnicodeDecodeError:
        raise BadRequest("the file is no text in UTF-8") from None
    say(run(site_of_home(), lambda connection: rules.publish(connection, version, text, by=user())))


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """All versions, the newest first."""
    found = run(site_of_home(), rules.list_rules)
    rows = [
        {
            "version": each.version,
            "published_at": each.published_at.isoformat(timespec="seconds"),
            "sha256": each.sha256,
        }
        for each in found
    ]
    show(rows, as_json)


@app.command("show")
def show_(version: str) -> None:
    """The text of a version."""
    say(run(site_of_home(), lambda connection: rules.show(connection, version)).text)
