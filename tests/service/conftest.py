"""Fixtures of the servers that the tests of this folder talk to."""

from collections.abc import Iterator

import pytest

from tests.service.serving import Served, serving, settings


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server that the tests of one file share; each uses a brand of its own."""
    with serving(settings(tmp_path_factory.mktemp("server"))) as served:
        yield served
