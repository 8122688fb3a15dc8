"""Bad input of a soak: each kind has one right refusal."""

import random

from copycatch.v1 import match_service_pb2, originals_service_pb2
from scripts.soaking.caller import Caller, reason_in
from scripts.soaking.ledger import Ledger
from scripts.soaking.pictures import bad_files

KIND = "bad input"


def ask(rng: random.Random, caller: Caller, ledger: Ledger) -> None:
    """Send something that is wrong, and see that it is refused by name.

    Raises:
        Unanswered
    """
    what = rng.randrange(8)
    reason, data = rng.choice(bad_files())
    listing = match_service_pb2.Listing(images=[data])
    config = match_service_pb2.MatchConfig()
    check = match_service_pb2.CheckListingRequest
    if what < 3:
        answer = caller.call(KIND, caller.match.CheckListing, check(listing=listing))
        # A blank listing picture is no error: it is cleared with a word about it.
        if reason != "IMAGE_FEATURELESS" and answer is not None:
            expect(ledger, KIND, answer, reason)
        return
    if what == 3:
        create = originals_service_pb2.CreateOriginalRequest(
            parent="brands/ash",
            original_id="bad",
            original=originals_service_pb2.Original(image=data),
        )
        # The empty field is found before the picture is looked at.
        reasons = {"IMAGE_EMPTY": ("IMAGE_EMPTY", "FIELD_INVALID")}.get(reason, (reason,))
        caller.call(KIND, caller.originals.CreateOriginal, create, ends=reasons)
        return
    if what == 4:
        listing = match_service_pb2.Listing(images=[data] * 21)
        ends = ("FIELD_INVALID",)
    elif what == 5:
        config = match_service_pb2.MatchConfig(brands=["brands/nobody"])
        ends = ("BRAND_NOT_FOUND",)
    elif what == 6:
        config = match_service_pb2.MatchConfig(policy="lenient")
        ends = ("FIELD_INVALID",)
    else:
        request = check(listing=listing)
        caller.call(KIND, caller.match_without_key.CheckListing, request, ends=("API_KEY_MISSING",))
        return
    caller.call(KIND, caller.match.CheckListing, check(listing=listing, config=config), ends=ends)


def expect(
    ledger: Ledger, kind: str, answer: match_service_pb2.CheckListingResponse, reason: str
) -> None:
    """See that the only picture of a listing was refused for this reason, and not cleared."""
    (result,) = answer.image_results
    found = reason_in(result.error) if result.HasField("error") else "no error"
    if found != reason:
        ledger.mistake(f"{kind}: a picture was answered with {found}, not {reason}")
    if answer.verdict != match_service_pb2.REVIEW:
        verdict = match_service_pb2.Verdict.Name(answer.verdict)
        ledger.mistake(f"{kind}: a listing that could not be read is {verdict}, not REVIEW")
