"""`senogate model key`, `sign`, `trust`, `distrust`, `keys`: who signs packages, and whose run here."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from psycopg import AsyncConnection

from archive import settings as site_settings
from archive.audit import Detail, Event, write_async
from archive.settings import Settings
from inference import package, signature, trust
from senogate.operator import AsJson, run, say, show, site_of_home
from senogate.user import user

app = typer.Typer()

KeyFile = Annotated[Path, typer.Argument(help="A key in PEM.", show_default=False)]
PackageFolder = Annotated[Path, typer.Argument(exists=True, help="A package's folder.", show_default=False)]


@app.command("key")
def model_key(file: KeyFile) -> None:
    """Make a key that signs packages, in a new file; its public half, for those who trust it, goes beside it."""
    public = signature.make_private_key(file).public_key()
    beside = file.with_name(f"{file.name}.pub")
    beside.write_bytes(signature.public_pem(public))
    say(f"{file} signs, keep it; {beside} is to be trusted: {signature.identify(public)}")


@app.command("sign")
def model_sign(
    folder: PackageFolder,
    key: Annotated[Path, typer.Option("--key", help="A private key in PEM.", show_default=False)],
) -> None:
    """Sign a package with a key of its maker."""
    signed = package.sign_package(folder, signature.read_private_key(key))
    say(f"{signed.reference} is signed by {signed.passport.signature and signed.passport.signature.key}")


@app.command("trust")
def model_trust(file: KeyFile) -> None:
    """Trust what the owner of a public key signs: packages of theirs can be added."""
    public = signature.read_public_key(file)
    identifier = signature.identify(public)
    settings = site_of_home()
    _recorded(settings, "key trusted", identifier, lambda: trust.trust(settings.home, public))
    say(f"what {identifier} signs is trusted")


@app.command("distrust")
def model_distrust(
    key: Annotated[str, typer.Argument(help="As `senogate model keys` shows it.", show_default=False)],
) -> None:
    """Trust a key no more: what it signed runs no more."""
    settings = site_of_home()
    _recorded(settings, "key distrusted", key, lambda: trust.distrust(settings.home, key))
    say(f"what {key} signs is not trusted any more")


@app.command("keys")
def model_keys(as_json: AsJson = False) -> None:
    """The keys whose packages run here."""
    home = site_settings.load().home
    show(
        [
            {"key": key.identifier, "from": "program" if key.shipped else "site", "file": key.file.name}
            for key in trust.list_keys(home)
        ],
        as_json,
    )


async def note(connection: AsyncConnection, change: str, detail: Detail) -> None:
    """Put what changed of the models into the audit trail, in the connection's transaction."""
    await write_async(connection, Event.MODEL_CHANGED, subject=user(), detail={"change": change, **detail})


def _recorded(settings: Settings, change: str, identifier: str, work: Callable[[], object]) -> None:
    async def recorded(connection: AsyncConnection) -> None:
        work()
        await note(connection, change, {"key": identifier})

    run(settings, recorded)
