"""Who acts: the caller on whose behalf a write is made, for the audit log.

Set once where a call comes in (`service.rpc.front`), read where a write is handed to the
store. A context variable, so that no function between the two has to pass it on; work that
moves to another thread takes it along with `contextvars.copy_context()`.
"""

from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Actor:
    """Whoever makes a write, and by which call.

    Attributes:
        principal: id of the caller: that of its key, `insecure` where nobody is asked for one,
            `local` for what this process does by itself.
        request_id: of the call; empty outside of calls.
        method: `Service/Method`; empty outside of calls.
    """

    principal: str
    request_id: str = ""
    method: str = ""


LOCAL = Actor("local")

acting: ContextVar[Actor] = ContextVar("acting", default=LOCAL)
"""The actor of the current call or task."""
