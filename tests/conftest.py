"""Fixtures for every test: the shared data, and a real site of its own for those that need one."""

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

import inference  # noqa: F401 - before any test imports onnxruntime: it keeps it silent
from archive.loading import loading
from tests.live import LiveSite, find_free_ports, temporary_home

SHARED = Path(__file__).resolve().parent.parent.parent / "shared"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--server",
        choices=("senogate", "orthanc"),
        default="senogate",
        help="orthanc: put the conformance cases marked `standard` to Orthanc's own DICOMweb plugin",
    )


settings.register_profile("unhurried", settings.default, deadline=None)  # a busy machine is no fault
settings.load_profile("unhurried")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A module's tests stay in one process of the run, for they share sites, and modules are begun in their order.

    Groups by mark are no way to have this: with pytest 9.2 `--dist loadgroup` of pytest-xdist 3.8 forms none.
    """
    from xdist.scheduler import LoadFileScheduling

    config.option.loadscopereorder = False
    return LoadFileScheduling(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What the tests import, and the tests themselves, are there for as long as the run."""
    with loading():
        return (yield)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long comes first, so that no process of the run has to wait for another at the end."""
    items.sort(key=lambda item: "unit" in item.path.parts)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder `shared` beside the checkout: real data and reference tables."""
    if not SHARED.exists():
        pytest.skip("the folder ../shared with the real data is not beside this checkout")
    return SHARED


@pytest.fixture(scope="session")
def free_ports() -> Callable[[int], list[int]]:
    """A callable that names ports which are free now."""
    return find_free_ports


@pytest.fixture(scope="session")
def new_home() -> Iterator[Callable[[], Path]]:
    """A callable that names a home which is not there yet; all are removed at the end."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(temporary_home())


@pytest.fixture(scope="session")
def site(new_home: Callable[[], Path], free_ports: Callable[[int], list[int]]) -> Iterator[LiveSite]:
    """One site that the tests of a process share; they add studies of their own and leave its parts running."""
    live = LiveSite(new_home(), free_ports(3)).start()
    yield live
    assert live.stop() == 0
