"""The groups of commands, each loaded when it is called: to load all of them takes longer than most commands do."""

from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

from archive.loading import loading

GROUPS = {
    "client": "tokens.client_app",
    "key": "tokens.key_app",
    "account": "accounts.account_app",
    "issuer": "accounts.issuer_app",
    "model": "models.app",
    "spool": "spool.app",
    "crosswalk": "crosswalk.app",
    "orthanc": "rebuilding.app",
    "delivery": "delivery.app",
    "webhook": "webhooks.app",
    "optout": "optout.app",
    "erase": "erasure.app",
    "dataset": "permits.dataset_app",
    "catalogue": "catalogue.app",
    "quality": "quality.app",
    "permit": "permits.permit_app",
    "role": "permits.role_app",
    "rules": "rules.app",
    "consent": "consents.app",
    "job": "jobs.app",
    "audit": "audit.app",
    "backup": "backups.app",
    "label": "labels.app",
    "search": "counting.app",
    "federation": "federation.app",
}
"""By the name of each group the module of this package, and the Typer in it."""


class Commands(TyperGroup):
    """All commands: those that are registered, and the groups."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        unloaded: dict[str, Any] = dict.fromkeys(GROUPS)
        self.commands.update(unloaded)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        return _load(cmd_name) if cmd_name in GROUPS else super().get_command(ctx, cmd_name)


def _load(name: str) -> Any:
    module, _, variable = GROUPS[name].partition(".")
    with loading():
        loaded = import_module(f"senogate.{module}")
    group = typer.main.get_group(getattr(loaded, variable))
    group.name = name
    return group
