"""Fuzz every method of a server for a while, and count.

    .venv-test/bin/python -m scripts.fuzz_rpc --seconds 600

The server runs in this process, with the small encoder of the tests, on an empty data folder;
messages come from tests/kit/fuzzing.py. Keep a finding in tests/service/test_fuzz_rpc.py.
"""

import tempfile
import time
from functools import partial
from pathlib import Path

from google.protobuf.message_factory import GetMessageClass

from scripts.fuzzing import Target, fuzz, options_of
from tests.kit.fuzzing import Methods, check_answer, messages, services
from tests.service.serving import picture, serving, settings

BATCH = 25


def main() -> None:
    """Call every method in turn until the time is up, and print the counts."""
    options = options_of(__doc__)
    with tempfile.TemporaryDirectory() as folder:
        with serving(settings(Path(folder), memory_listings=1000)) as server:
            server.create_brand("acme")
            server.create_original("cup", picture(1))
            calls = Methods(server.channel, services())
            fuzz([_target(calls, path) for path in sorted(calls.all)], options)


def _target(calls: Methods, path: str) -> Target:
    kind = GetMessageClass(calls.all[path].input_type)
    sent = messages(kind).map(lambda message: message.SerializeToString())
    return Target(path, sent, partial(check_answer, calls, path), BATCH, time.monotonic)


if __name__ == "__main__":
    main()
