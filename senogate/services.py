"""The commands that run the parts of a site, for `senogate up`, docker-compose.yml and deploy/systemd to call."""

from typing import Annotated

import typer

from archive import logs
from archive import settings as site_settings
from archive.loading import loading
from archive.settings import Settings
from senogate import orthanc as orthanc_of_site
from senogate import site_secrets
from senogate.cluster import complete
from senogate.configuration import note_configuration
from senogate.operator import say, site_of_home

app = typer.Typer()


@app.command(hidden=True)
def init() -> None:
    """Make a site's secrets once and bring its schema up to date (part of docker-compose.yml)."""
    from senogate.backup import upgrade

    settings = site_settings.load()
    site_secrets.prepare(settings)
    settings = complete(settings)
    upgrade.migrate(settings, say)
    note_configuration(settings)


@app.command(hidden=True)
def orthanc() -> None:
    """Become the Orthanc of a site, with the plugin in it (part of deploy/systemd)."""
    orthanc_of_site.become(site_of_home())


@app.command(hidden=True)
def gateway() -> None:
    """Run the gateway of a site (part of `up`, and of docker-compose.yml)."""
    from senogate import parts

    parts.run_gateway(_settings_of("gateway"))


@app.command(hidden=True)
def worker() -> None:
    """Run a worker of a site (part of `up`, and of docker-compose.yml)."""
    from senogate import parts

    parts.run_worker(_settings_of("worker"))


@app.command(hidden=True)
def keeper() -> None:
    """Run what counts and checks datasets and looks at exams (part of `up`, and of docker-compose.yml)."""
    with loading():
        from gateway.catalogue import keeping

    keeping.main(_settings_of("keeper"))


@app.command(hidden=True)
def alive(part: Annotated[str, typer.Argument(help="The name of the part's command.")]) -> None:
    """Whether a part of the site does its work; exit status 1 where it does not (part of docker-compose.yml)."""
    from senogate.alive import PARTS, check

    if part not in PARTS:
        raise typer.BadParameter(f"must be one of {', '.join(PARTS)}", param_hint="PART")
    check(site_of_home(), part)


@app.command(hidden=True)
def superlink() -> None:
    """Become the SuperLink of a hub (part of `up`, and of docker-compose.yml)."""
    from senogate.federation import parts

    parts.become_superlink(site_settings.load())


@app.command(hidden=True)
def supernode() -> None:
    """Become the SuperNode of a federation's site (part of `up`, and of docker-compose.yml)."""
    from senogate.federation import parts

    parts.become_supernode(site_settings.load())


@app.command(hidden=True)
def relay() -> None:
    """Run the way out of a federation's site (part of `up`, and of docker-compose.yml)."""
    from senogate.federation import parts

    parts.run_relay(_settings_of("relay"))


@app.command(hidden=True)
def conductor() -> None:
    """Run what conducts a hub's runs (part of `up`, and of docker-compose.yml)."""
    from senogate.federation import parts

    parts.run_conductor(_settings_of("conductor"))


@app.command(hidden=True)
def trainer() -> None:
    """Run what trains at a federation's site (part of `up`, and of docker-compose.yml)."""
    from senogate.federation import parts

    parts.run_trainer(_settings_of("trainer"))


def _settings_of(part: str) -> Settings:
    """The settings for a part of a site, which writes its logs as they say."""
    settings = site_of_home()
    logs.configure(settings.log_level, settings.log_format, part)
    return settings
