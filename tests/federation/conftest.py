"""What tests of a federation share."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.federation.nodes import Node, serve_node


@pytest.fixture(scope="module")
def make_node(site, tmp_path_factory) -> Iterator[Callable[[], Node]]:
    """A callable: another node, that is there until the module's tests are done."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(serve_node(site, tmp_path_factory.mktemp("node")))
