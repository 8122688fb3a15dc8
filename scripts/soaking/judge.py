"""Whether an answer of a soak is right: each has one right form."""

from copycatch.v1 import match_service_pb2
from scripts.soaking.held import Gone, Held
from scripts.soaking.ledger import Ledger


def judge(
    ledger: Ledger,
    gone: Gone,
    kind: str,
    answer: match_service_pb2.CheckListingResponse,
    held: Held,
    start: float,
    edit: str = "",
) -> None:
    """Hold the answer about one picture against what is known of it.

    Args:
        ledger: where a wrong answer is written down.
        gone: what was withdrawn, and when.
        kind: of the call.
        answer: to a listing of one picture.
        held: the picture, and what is known of it.
        start: `time.monotonic()` before the call.
        edit: what was done to the picture before it was sent.
    """
    (result,) = answer.image_results
    what = f"{kind} {held.picture.name} {edit}".strip()
    if result.HasField("error"):
        ledger.mistake(f"{what}: {result.error.message}")
        return
    named = [match.original for match in result.matches]
    copied = [m.original for m in result.matches if m.verdict == match_service_pb2.COPY]
    for name in named:
        if gone.before(name, start):
            ledger.mistake(f"{what}: matches {name}, which was withdrawn before")
    if len({name.split("/")[1] for name in copied}) > 1:
        ledger.mistake(f"{what}: two owners, {copied}")
    verdict = match_service_pb2.Verdict.Name(answer.verdict)
    if held.name:
        sure = verdict == "COPY" if not edit else verdict in ("COPY", "REVIEW")
        if not sure or named[:1] != [held.name]:
            ledger.mistake(f"{what}: {verdict} {named[:2]}, and it is registered as {held.name}")
    elif verdict == "COPY":
        ledger.mistake(f"{what}: COPY of {named[:2]}, and nothing like it is registered")
    elif verdict == "REVIEW":
        ledger.note("REVIEW of a picture that is not registered")
