"""Where the program `copycatch` begins: `service.cli.main`, once that is loaded.

Loading takes a few tenths of a second, in modules of others. Ctrl-C meanwhile ends the process
as it ends one of C, and not with a traceback through them; and so it does in the end when a
command was interrupted, since Python would wait for threads that still load encoders.
"""

import os
import signal
import sys
from contextlib import suppress


def run() -> None:
    """Run the command line; never returns."""
    handler = signal.getsignal(signal.SIGINT)
    if handler is signal.default_int_handler:  # else whoever started it has it ignored
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    # Else gRPC writes a line of its own form about each handshake that fails, whoever tried it,
    # into the log of a server and beside the message of a command. Its errors are still shown.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    from service.cli.failure import EXIT_INTERRUPTED
    from service.cli.main import app

    signal.signal(signal.SIGINT, handler)
    try:
        app()
    except SystemExit as ended:
        if ended.code == EXIT_INTERRUPTED:
            with suppress(OSError):  # nobody may read it any more
                sys.stdout.flush()
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            signal.raise_signal(signal.SIGINT)
        raise
