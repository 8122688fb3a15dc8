"""Where the program `copycatch` begins: `service.cli.main`, once that is loaded.

Loading takes a few tenths of a second, in modules of others. Ctrl-C meanwhile ends the process
as it ends one of C, and not with a traceback through them.
"""

import signal


def run() -> None:
    """Run the command line; never returns."""
    handler = signal.getsignal(signal.SIGINT)
    if handler is signal.default_int_handler:  # else whoever started it has it ignored
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from service.cli.main import app

    signal.signal(signal.SIGINT, handler)
    app()
