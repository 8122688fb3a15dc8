"""Errors as a person reads them."""

import grpc
import pytest

from service.cli.client import Client
from service.cli.failure import CommandError, describe, make_status, reason_of


def test_a_status_made_here_reads_like_the_servers() -> None:
    status = make_status("IMAGE_TOO_LARGE", "20,000,000 bytes")
    assert reason_of(status) == "IMAGE_TOO_LARGE"
    assert status.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert describe(status).startswith("20,000,000 bytes (make it smaller")


def test_a_status_without_a_reason_is_named_by_its_code() -> None:
    status = make_status("X", "")
    del status.details[:]
    assert reason_of(status) == "INVALID_ARGUMENT"


def test_a_server_that_is_not_there_is_one_line_with_the_remedy() -> None:
    # Port 1 is reserved and nothing listens on it.
    with Client("127.0.0.1:1", timeout_s=20) as client, pytest.raises(CommandError) as caught:
        client.info()
    assert str(caught.value) == (
        "no server answers at 127.0.0.1:1: start one with `copycatch serve`, or name another "
        "with --server or COPYCATCH_SERVER"
    )


@pytest.mark.parametrize("target", ["localhost", "localhost:", "localhost:http", ""])
def test_what_is_no_address_is_refused(target: str) -> None:
    with pytest.raises(CommandError, match="is not an address"):
        Client(target)
