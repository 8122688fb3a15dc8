"""A server for the commands to talk to, and pictures for it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from service.cli import local
from service.cli.client import Client
from service.cli.main import app
from tests.kit.images import encode, photo

Run = Callable[..., Result]

QUICK = {"encoder": "toy", "clip": "off", "store_gib": 1.0, "conflict_check": "off"}
"""Settings of a server that starts in a moment; geometry still finds the copies. Its brands
register the same pictures, which would be disputes."""


@pytest.fixture(scope="session")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A server that all tests of the folder share; each uses brands of its own."""
    with local.serving(tmp_path_factory.mktemp("server"), 60.0, **QUICK) as made:
        yield made


@pytest.fixture
def run(client: Client, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `copycatch` with the server's address in the environment."""
    monkeypatch.setenv("COPYCATCH_SERVER", client.target)
    monkeypatch.setenv("COPYCATCH_API_KEY", client.credentials.api_key)
    runner = CliRunner()

    def run(*arguments: object, **keywords: object) -> Result:
        result = runner.invoke(app, [str(one) for one in arguments], **keywords)  # type: ignore[arg-type]
        assert result.exception is None or isinstance(result.exception, SystemExit), (
            result.exception
        )
        return result

    return run


@pytest.fixture(scope="session")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `originals/` (coffee, cat, rocket) and `listings/` (a copy, a stranger)."""
    folder = tmp_path_factory.mktemp("gallery")
    (folder / "originals").mkdir()
    (folder / "listings").mkdir()
    for name, file in (("coffee", "coffee"), ("chelsea", "cat"), ("rocket", "rocket")):
        (folder / "originals" / f"{file}.png").write_bytes(encode(photo(name), "PNG"))
    coffee = (folder / "originals/coffee.png").read_bytes()
    (folder / "listings/same.png").write_bytes(coffee)
    (folder / "listings/other.jpg").write_bytes(encode(photo("china")))
    return folder
