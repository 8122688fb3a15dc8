"""Messages good and bad to every method: a few here, and for long in scripts/fuzz_rpc.py."""

from collections.abc import Iterator

import pytest
from google.protobuf.message_factory import GetMessageClass
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.kit.fuzzing import Methods, check_answer, messages, services
from tests.service.serving import Served, picture, serving
from tests.service.serving import settings as server_settings

SOME = settings(
    max_examples=10, deadline=None, suppress_health_check=list(HealthCheck), database=None
)
PATHS = sorted(Methods.paths(services()))


@pytest.fixture(scope="module")
def methods(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, Methods]]:
    """The methods of a server that has something to be asked about."""
    config = server_settings(tmp_path_factory.mktemp("server"), memory_listings=50)
    with serving(config) as server:
        server.create_brand("acme")
        server.create_original("cup", picture(1))
        yield server, Methods(server.channel, services())


@pytest.mark.parametrize("path", PATHS)
def test_any_message_is_answered_and_never_with_a_defect(
    methods: tuple[Served, Methods], path: str
) -> None:
    _, calls = methods
    kind = GetMessageClass(calls.all[path].input_type)

    @SOME
    @given(st.data())
    def run(data: st.DataObject) -> None:
        check_answer(calls, path, data.draw(messages(kind)).SerializeToString())

    run()
