"""`senogate model`: the model packages of a site, who may have made them, and which one reads what."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from psycopg import AsyncConnection

from archive import secrets
from archive import settings as site_settings
from archive.errors import BadRequest
from archive.settings import Settings
from inference import installed, package, trust
from inference.installed import Installed, Slot
from inference.package import Package
from inference.toml_table import CONTROLS, read_toml
from senogate import fetching, model_keys, tracing
from senogate.model_keys import PackageFolder, note
from senogate.operator import AsJson, err, out, run, say, show, site_of_home

if TYPE_CHECKING:
    from senogate.model_timing import Timing

app = typer.Typer(no_args_is_help=True, help="Model packages.")
app.add_typer(model_keys.app)
app.add_typer(fetching.app)
app.add_typer(tracing.app)

Name = Annotated[str, typer.Argument(help="As `senogate model list` shows it.", show_default=False)]
NameOrFolder = Annotated[str, typer.Argument(help="A name, or the folder of a package.", show_default=False)]
Version = Annotated[str, typer.Option("--version", help="Which one, where there are several.")]
Shadow = Annotated[
    bool, typer.Option("--shadow", help="Beside the one that reads: its findings are kept, never delivered.")
]


@app.command("add")
def model_add(folder: PackageFolder, as_json: AsJson = False) -> None:
    """Copy a package that a trusted key has signed into the site; `enable` lets it read."""
    settings = site_of_home()
    added = _recorded(settings, "added", lambda: installed.add(settings.home, folder))
    _tell(settings, added, "is in the site; `senogate model enable` lets it read", as_json)


@app.command("list")
def model_list(as_json: AsJson = False) -> None:
    """The packages of the site: * reads its task, + reads in its shadow, ! must not run."""
    rows = listing(site_settings.load().home)
    if as_json:
        out.print_json(json.dumps(rows))
    for row in [] if as_json else rows:
        out.print(_line(row), markup=False)


@app.command("show")
def model_show(name: NameOrFolder, version: Version = "", as_json: AsJson = False) -> None:
    """The passport of a package, whether it may run or not."""
    home = site_settings.load().home
    found = _inspected(home, name, version)
    text = package.read_text(found.folder)
    if as_json:
        passport = dict(read_toml(text, package.PASSPORT).content)
        out.print_json(json.dumps(_row(found, installed.wanted(home)) | {"passport": passport}, default=str))
        return
    out.print(f"# {found.folder}\n{CONTROLS.sub('�', text.decode('utf-8', 'replace'))}", markup=False)
    if found.problem:
        err.print(f"it must not run: {found.problem}", markup=False)


@app.command("verify")
def model_verify(
    name: Annotated[str, typer.Argument(help="A name, or the folder of a package; all without one.")] = "",
    version: Version = "",
    as_json: AsJson = False,
) -> None:
    """Check passport, signature and network of one package or all; exit status 1 where one must not run."""
    home = site_settings.load().home
    found = [_inspected(home, name, version)] if name else installed.packages(home)
    rows = [{"model": one.reference, "problem": one.problem} for one in found]
    if as_json:
        out.print_json(json.dumps(rows))
    for row in [] if as_json else rows:
        out.print(f"{row['model']}: {row['problem'] or 'signed and whole'}", markup=False)
    raise typer.Exit(1 if any(one.problem for one in found) else 0)


@app.command("enable")
def model_enable(name: Name, version: Version = "", shadow: Shadow = False, as_json: AsJson = False) -> None:
    """Let a package read its task from now on; a reading that runs keeps the one that it began with."""
    settings = site_of_home()

    def enable() -> Package:
        found = installed.look_up(settings.home, name, version).runnable()
        installed.enable(settings.home, found, shadow=shadow)
        return found

    enabled = _recorded(settings, "enabled in shadow" if shadow else "enabled", enable)
    task, modality = installed.place_of(enabled)
    _tell(
        settings, enabled, f"reads {task} on {modality}{' in shadow' if shadow else ''} from now on", as_json
    )


@app.command("disable")
def model_disable(name: Name, version: Version = "", as_json: AsJson = False) -> None:
    """Let a package read no more, nor in the shadow of another; none takes its place."""
    settings = site_of_home()

    async def disable(connection: AsyncConnection) -> list[Slot]:
        left = installed.disable(settings.home, name, version)
        for slot in left:
            await note(connection, "disabled", {"model": slot.reference} | _where(slot.task, slot.modality))
        return left

    left = run(settings, disable)
    if not left:
        raise BadRequest("no such model reads anything: `senogate model list` shows those that do")
    show(
        [
            {"model": slot.reference, "disabled": "disabled"} | _where(slot.task, slot.modality)
            for slot in left
        ],
        as_json,
    )


@app.command("import")
def model_import(
    kind: Annotated[str, typer.Argument(help="nyu-density")],
    weights: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="The published file.")],
    as_json: AsJson = False,
) -> None:
    """Turn published weights into a package, sign it with the site's key, and let it read its task from now on."""
    if kind != "nyu-density":
        raise typer.BadParameter("only nyu-density can be imported", param_hint="kind")
    settings = site_of_home()
    _tell(settings, import_nyu_density(settings, weights), "reads density from now on", as_json)


@app.command("bench")
def model_bench(
    name: NameOrFolder,
    version: Version = "",
    exam: Annotated[Path | None, typer.Option(exists=True, help="An exam's folder, else a phantom.")] = None,
    rounds: Annotated[int, typer.Option(min=1, max=10_000, help="How often the exam is read.")] = 20,
    as_json: AsJson = False,
) -> None:
    """How long a package takes to read an exam here, and by which execution provider."""
    from inference.devices import Device, Kind
    from senogate.model_timing import time_package

    settings = site_settings.load()
    device = Device(Kind(settings.inference_device), settings.inference_gpu)
    timing: Timing = time_package(_inspected(settings.home, name, version).runnable(), exam, rounds, device)
    if as_json:
        out.print_json(json.dumps(timing.to_json()))
    else:
        out.print(timing.to_text(), markup=False)


def import_nyu_density(settings: Settings, weights: Path) -> Package:
    """Make a package of NYU's published histogram density weights and choose it for its task, on record.

    Raises WeightsError when the file does not hold them, ConfigurationError without the site's key.
    """
    from inference.nyu import convert

    network, passport = convert(weights)
    key = secrets.model_key(settings)
    private = Ed25519PrivateKey.from_private_bytes(secrets.read_key(str(key.parent), key.name))

    def make() -> Package:
        made = installed.make(settings.home, network, passport, private)
        installed.enable(settings.home, made)
        return made

    return _recorded(settings, "imported and enabled", make)


def listing(home: Path) -> list[dict[str, object]]:
    """One row for each package, the built-in ones first; `active` marks the one that reads its task."""
    slots = installed.wanted(home)
    return [_row(one, slots) for one in installed.packages(home)]


def _row(one: Installed, slots: list[Slot]) -> dict[str, object]:
    found = one.package
    reading = [
        slot.shadow for slot in slots if slot.package and found and slot.package.folder == found.folder
    ]
    row: dict[str, object] = {
        "reference": one.reference,
        "built_in": one.built_in,
        "active": False in reading,
        "shadow": True in reading,
        "problem": one.problem,
    }
    if found is None:
        return row
    passport, model = found.passport, found.model
    return row | {
        "task": str(passport.identity.task),
        "modality": passport.inputs.modality,
        "kind": str(passport.outputs.kind),
        "name": model.name,
        "title": model.title,
        "version": model.version,
        "sha256": model.sha256,
        "signed_by": passport.signature.key if passport.signature else "",
        "trained_on": model.trained_on,
        "research_use_only": model.research_use_only,
    }


def _line(row: dict[str, Any]) -> str:
    mark = "!" if row["problem"] else "*" if row["active"] else "+" if row["shadow"] else " "
    if "task" not in row:
        return f"{mark} {row['reference']}  {row['problem']}"
    what = f"{row['task']} {row['modality']}  {row['name']} {row['version']}"
    return f"{mark} {what}  trained on: {row['trained_on']}{'  ' if row['problem'] else ''}{row['problem']}"


def _inspected(home: Path, name: str, version: str) -> Installed:
    """A package by name, or any in a folder. Raises PackageError where there is none."""
    folder = Path(name).resolve()
    if (folder / package.PASSPORT).exists():
        return installed.inspect(folder, trust.trusted_keys(home))
    return installed.look_up(home, name, version)


def _recorded(settings: Settings, change: str, work: Callable[[], Package]) -> Package:
    """Do what changes a package of the site, with a record of it in the trail."""

    async def recorded(connection: AsyncConnection) -> Package:
        done = work()
        where = _where(*installed.place_of(done))
        await note(connection, change, {"model": done.reference, "sha256": done.model.sha256} | where)
        return done

    return run(settings, recorded)


def _where(task: str, modality: str) -> dict[str, str]:
    return {"task": str(task), "modality": modality}


def _tell(settings: Settings, done: Package, what: str, as_json: bool) -> None:
    if as_json:
        slots = installed.wanted(settings.home)
        found = installed.inspect(done.folder, trust.trusted_keys(settings.home))
        out.print_json(json.dumps(_row(found, slots)))
        return
    only = " (research use only)" if done.model.research_use_only else ""
    say(f"{done.model.title} {done.model.version} {what}{only}")
