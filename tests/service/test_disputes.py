"""Conflicting registrations, over the wire: disputed, seen by both owners, decided, undone."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest

from copycatch.v1 import audit_service_pb2 as audit_pb
from copycatch.v1 import disputes_service_pb2 as pb
from copycatch.v1 import match_service_pb2 as match_pb
from copycatch.v1 import originals_service_pb2 as originals_pb
from index.records import NewOriginal, OriginalRecord
from service.access.roles import Role
from tests.kit.images import crop, encode, mirror, photo
from tests.service.serving import Served, failure, new_original, serving, settings

Original = originals_pb.Original
Outcome = originals_pb.ImportOriginalsResponse.Outcome
Dispute = pb.Dispute


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Served]:
    """A server of its own with the brands `first`, `second` and `third`."""
    with serving(settings(tmp_path)) as served:
        for brand in ("first", "second", "third"):
            served.create_brand(brand)
        yield served


COFFEE = encode(photo("coffee"), "PNG")
# With nothing laid over it, which would set it apart from what it was made of.
COPY = encode(crop(photo("coffee"), 0.9), quality=80)
CAT = encode(photo("chelsea"))


def disputes(server: Served, brand: str = "-", **fields: Any) -> list[Dispute]:
    request = pb.ListDisputesRequest(parent=f"brands/{brand}", **fields)
    return list(server.disputes.ListDisputes(request).disputes)


def state(server: Served, name: str) -> str:
    found = server.originals.GetOriginal(originals_pb.GetOriginalRequest(name=name))
    return Original.State.Name(found.state)


def matched(server: Served, image: bytes) -> set[str]:
    listing = match_pb.Listing(images=[image])
    answer = server.match.CheckListing(match_pb.CheckListingRequest(listing=listing))
    return {
        match.original
        for match in answer.image_results[0].matches
        if match.verdict == match_pb.COPY
    }


def decide(server: Served, dispute: Dispute, decision: str, **fields: Any) -> Dispute:
    request = pb.ResolveDisputeRequest(
        name=dispute.name, decision=Dispute.Decision.Value(decision), **fields
    )
    return server.disputes.ResolveDispute(request)


@pytest.mark.parametrize("image", [COFFEE, COPY, encode(mirror(photo("coffee")))])
def test_a_copy_of_another_brands_original_is_disputed_and_flags_nobody(
    server: Served, image: bytes
) -> None:
    earlier = server.create_original("cup", COFFEE, "first")
    newcomer = server.create_original("mine", image, "second")
    assert earlier.state == Original.ACTIVE
    assert newcomer.state == Original.DISPUTED
    assert state(server, newcomer.name) == "DISPUTED"
    for listing in (COFFEE, COPY, image):
        assert matched(server, listing) == {earlier.name}
    (dispute,) = disputes(server)
    assert dispute.state == Dispute.OPEN and not dispute.decision
    assert (dispute.newcomer.original, dispute.earlier.original) == (newcomer.name, earlier.name)
    assert dispute.match.verdict == match_pb.COPY and dispute.match.score > 0.5
    assert dispute.match.evidence and dispute.match.HasField("alignment")
    assert dispute.provenance.policy.startswith("balanced@")
    assert dispute.create_time.seconds > 1_700_000_000 and not dispute.HasField("resolve_time")


def test_each_owner_sees_the_dispute_and_not_the_other_ones_original(server: Served) -> None:
    earlier = server.create_original("secret-cup", COFFEE, "first")
    newcomer = server.create_original("hidden-mine", COPY, "second")
    (for_newcomer,) = disputes(server, "second")
    (for_earlier,) = disputes(server, "first")
    assert disputes(server, "third") == []
    assert for_newcomer.newcomer.original == newcomer.name
    assert for_newcomer.earlier.brand == "brands/first"
    assert for_newcomer.earlier.brand_display_name == "First"
    assert "secret-cup" not in str(for_newcomer)
    assert for_earlier.earlier.original == earlier.name
    assert for_earlier.newcomer.brand == "brands/second"
    assert "hidden-mine" not in str(for_earlier)
    for one in (for_newcomer, for_earlier):
        assert server.disputes.GetDispute(pb.GetDisputeRequest(name=one.name)) == one
        assert "brands/first" in one.match.note and "brands/second" in one.match.note
    foreign = for_newcomer.name.replace("second", "third")
    failed = failure(server.disputes.GetDispute, pb.GetDisputeRequest(name=foreign))
    assert (failed.code, failed.reason) == (grpc.StatusCode.NOT_FOUND, "DISPUTE_NOT_FOUND")


@pytest.mark.parametrize(
    ("decision", "newcomer_state", "earlier_state"),
    [
        ("UPHOLD_NEWCOMER", "ACTIVE", "REJECTED"),
        ("REJECT_NEWCOMER", "REJECTED", "ACTIVE"),
        ("ACCEPT_BOTH", "ACTIVE", "ACTIVE"),
    ],
)
def test_a_decision_counts_from_the_next_call(
    server: Served, decision: str, newcomer_state: str, earlier_state: str
) -> None:
    earlier = server.create_original("cup", COFFEE, "first")
    newcomer = server.create_original("mine", COPY, "second")
    (dispute,) = disputes(server)
    resolved = decide(server, dispute, decision, reason="they have the negatives")
    assert resolved.state == Dispute.RESOLVED
    assert Dispute.Decision.Name(resolved.decision) == decision
    assert resolved.reason == "they have the negatives" and resolved.resolve_time.seconds
    assert state(server, newcomer.name) == newcomer_state
    assert state(server, earlier.name) == earlier_state
    active = {newcomer.name} if newcomer_state == "ACTIVE" else set()
    active |= {earlier.name} if earlier_state == "ACTIVE" else set()
    # An identical picture ends the search, so look with one that is neither.
    other = encode(photo("coffee"), quality=70)
    assert matched(server, other) == active
    assert disputes(server, state=Dispute.OPEN) == []
    assert disputes(server, "first")[0].reason == "they have the negatives"


def test_a_decision_may_be_replaced_by_a_better_one(server: Served) -> None:
    earlier = server.create_original("cup", COFFEE, "first")
    newcomer = server.create_original("mine", COPY, "second")
    (dispute,) = disputes(server)
    for decision, states in (
        ("REJECT_NEWCOMER", ("REJECTED", "ACTIVE")),
        ("UPHOLD_NEWCOMER", ("ACTIVE", "REJECTED")),
        ("ACCEPT_BOTH", ("ACTIVE", "ACTIVE")),
        ("REJECT_NEWCOMER", ("REJECTED", "ACTIVE")),
    ):
        dispute = decide(server, dispute, decision, etag=dispute.etag)
        assert (state(server, newcomer.name), state(server, earlier.name)) == states
    stale = disputes(server)[0].etag.rpartition("-")[0] + "-1"
    request = pb.ResolveDisputeRequest(name=dispute.name, decision=Dispute.ACCEPT_BOTH, etag=stale)
    assert failure(server.disputes.ResolveDispute, request).reason == "ETAG_MISMATCH"
    assert state(server, newcomer.name) == "REJECTED"


def test_an_original_in_two_disputes_is_active_when_both_are_decided_for_it(
    server: Served,
) -> None:
    one = server.create_original("cup", COFFEE, "first")
    two = server.create_original("cup", COPY, "second")
    (first,) = disputes(server)
    decide(server, first, "ACCEPT_BOTH")
    third = server.create_original("cup", encode(photo("coffee"), quality=60), "third")
    opened = disputes(server, "third")
    assert {one_.earlier.brand for one_ in opened} == {"brands/first", "brands/second"}
    decide(server, opened[0], "ACCEPT_BOTH")
    assert state(server, third.name) == "DISPUTED"
    decide(server, opened[1], "REJECT_NEWCOMER")
    assert state(server, third.name) == "REJECTED"
    decide(server, opened[1], "ACCEPT_BOTH")
    assert {state(server, name) for name in (one.name, two.name, third.name)} == {"ACTIVE"}


def test_a_withdrawn_original_ends_the_dispute_and_frees_the_newcomer(server: Served) -> None:
    earlier = server.create_original("cup", COFFEE, "first")
    newcomer = server.create_original("mine", COPY, "second")
    server.originals.DeleteOriginal(originals_pb.DeleteOriginalRequest(name=earlier.name))
    assert state(server, newcomer.name) == "ACTIVE"
    assert matched(server, COFFEE) == {newcomer.name}
    (dispute,) = disputes(server)
    assert dispute.state == Dispute.WITHDRAWN and dispute.earlier.original == earlier.name
    assert not dispute.earlier.original_state
    request = pb.ResolveDisputeRequest(name=dispute.name, decision=Dispute.ACCEPT_BOTH)
    failed = failure(server.disputes.ResolveDispute, request)
    assert (failed.code, failed.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "DISPUTE_WITHDRAWN",
    )


def test_a_newcomer_that_is_withdrawn_leaves_the_earlier_original_as_it_was(
    server: Served,
) -> None:
    earlier = server.create_original("cup", COFFEE, "first")
    newcomer = server.create_original("mine", COPY, "second")
    server.originals.DeleteOriginal(originals_pb.DeleteOriginalRequest(name=newcomer.name))
    assert disputes(server)[0].state == Dispute.WITHDRAWN
    assert state(server, earlier.name) == "ACTIVE" and matched(server, COPY) == {earlier.name}


def test_a_picture_that_is_no_copy_is_active(server: Served) -> None:
    server.create_original("cup", COFFEE, "first")
    assert server.create_original("cat", CAT, "second").state == Original.ACTIVE
    assert disputes(server) == []


def test_the_same_brand_gets_the_original_that_it_has(server: Served) -> None:
    made = server.create_original("cup", COFFEE, "first")
    lossless = encode(photo("coffee"), "WEBP", lossless=True)
    for original, image in (("cup", COFFEE), ("again", COFFEE), ("", COFFEE), ("w", lossless)):
        assert server.create_original(original, image, "first") == made
    batch = originals_pb.BatchCreateOriginalsRequest(
        parent="brands/first",
        requests=[
            new_original(f"b{i}", image, "first") for i, image in enumerate([COFFEE, CAT, CAT])
        ],
    )
    answer = server.originals.BatchCreateOriginals(batch)
    names = [one.name.rpartition("/")[2] for one in answer.originals]
    assert names[0] == "cup" and names[1] == names[2] in ("b1", "b2")
    item = originals_pb.ImportOriginalsRequest(
        item_id="i", request=new_original("more", lossless, "first")
    )
    (imported,) = server.originals.ImportOriginals(iter([item]))
    assert (imported.outcome, imported.original) == (Outcome.ALREADY_PRESENT, made)
    listing = originals_pb.ListOriginalsRequest(parent="brands/first")
    assert len(server.originals.ListOriginals(listing).originals) == 2
    assert disputes(server) == []


def test_an_own_copy_that_is_not_the_same_picture_is_another_original(server: Served) -> None:
    server.create_original("cup", COFFEE, "first")
    variant = server.create_original("variant", COPY, "first")
    assert variant.state == Original.ACTIVE and disputes(server) == []


def test_a_lost_original_is_not_revived_by_registering_it_again(server: Served) -> None:
    server.create_original("cup", COFFEE, "first")
    server.create_original("mine", COPY, "second")
    decide(server, disputes(server)[0], "REJECT_NEWCOMER")
    again = server.create_original("other", COPY, "second")
    assert (again.name, again.state) == ("brands/second/originals/mine", Original.REJECTED)


def test_two_calls_at_once_do_not_slip_past_each_other(
    server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All are compared before any is kept: the store is held up until then."""
    writes, commits = server.running.gate.engine.catalogue._store, server.running._commits
    commit, compared = commits.commit, list[NewOriginal]()

    async def counted(new: NewOriginal) -> OriginalRecord:
        compared.append(new)
        return await commit(new)

    monkeypatch.setattr(commits, "commit", counted)
    for round_ in range(3):
        image = [COFFEE, CAT, encode(photo("rocket"))][round_]
        release = threading.Event()
        compared.clear()
        held = writes.submit(lambda txn, go=release: go.wait(60))
        with ThreadPoolExecutor(3) as pool:
            calls = [
                pool.submit(server.create_original, f"r{round_}", image, brand)
                for brand in ("first", "second", "third")
            ]
            while len(compared) < len(calls) and not any(call.done() for call in calls):
                time.sleep(0.01)
            release.set()
            states = sorted(Original.State.Name(call.result(60).state) for call in calls)
        held.result(60)
        assert states == ["ACTIVE", "DISPUTED", "DISPUTED"]
    assert len(disputes(server)) == 6


def test_conflicts_within_one_import_are_found(server: Served) -> None:
    images = [COFFEE, COPY, encode(photo("coffee"), quality=50)]
    items = [
        originals_pb.ImportOriginalsRequest(
            item_id=brand, request=new_original("cup", image, brand)
        )
        for brand, image in zip(("first", "second", "third"), images, strict=True)
    ]
    answers = list(server.originals.ImportOriginals(iter(items)))
    assert {one.outcome for one in answers} == {Outcome.CREATED}
    states = sorted(Original.State.Name(one.original.state) for one in answers)
    assert states == ["ACTIVE", "DISPUTED", "DISPUTED"]
    assert len(disputes(server)) == 2


def test_disputes_survive_a_restart_with_and_without_a_snapshot(tmp_path: Path) -> None:
    with serving(settings(tmp_path)) as server:
        for brand in ("first", "second", "third"):
            server.create_brand(brand)
        earlier = server.create_original("cup", COFFEE, "first")
        newcomer = server.create_original("mine", COPY, "second")
        before = disputes(server)
    with serving(settings(tmp_path)) as server:  # opens the snapshot
        assert disputes(server) == before
        assert matched(server, COFFEE) == {earlier.name}
        decide(server, before[0], "UPHOLD_NEWCOMER")
        assert matched(server, COFFEE) == {newcomer.name}
    for snapshot in (tmp_path / "data/snapshots").iterdir():
        for file in snapshot.iterdir():
            file.unlink()
        snapshot.rmdir()
    with serving(settings(tmp_path)) as server:  # reads the store
        assert matched(server, COFFEE) == {newcomer.name}
        assert (state(server, earlier.name), state(server, newcomer.name)) == (
            "REJECTED",
            "ACTIVE",
        )


def test_the_check_can_be_switched_off_and_made_thorough(tmp_path: Path) -> None:
    for setting, expected in (("off", Original.ACTIVE), ("full", Original.DISPUTED)):
        with serving(settings(tmp_path / setting, conflict_check=setting)) as server:
            for brand in ("first", "second"):
                server.create_brand(brand)
            server.create_original("cup", COFFEE, "first")
            assert server.create_original("mine", COPY, "second").state == expected


def test_disputes_are_listed_in_pages_by_state(server: Served) -> None:
    names = ("coffee", "chelsea", "rocket", "astronaut")
    for name in names:
        server.create_original(name, encode(photo(name)), "first")
        server.create_original(name, encode(photo(name)), "second")
    every = disputes(server)
    assert [one.newcomer.original.rpartition("/")[2] for one in every] == list(names)
    decide(server, every[1], "ACCEPT_BOTH")
    paged, token = [], ""
    while True:
        page = server.disputes.ListDisputes(
            pb.ListDisputesRequest(
                parent="brands/-", state=Dispute.OPEN, page_size=2, page_token=token
            )
        )
        paged += page.disputes
        if not (token := page.next_page_token):
            break
    assert paged == [every[0], every[2], every[3]]
    foreign = pb.ListDisputesRequest(
        parent="brands/first",
        page_token=server.disputes.ListDisputes(
            pb.ListDisputesRequest(parent="brands/-", page_size=1)
        ).next_page_token,
    )
    assert failure(server.disputes.ListDisputes, foreign).reason == "PAGE_TOKEN_INVALID"


@pytest.mark.parametrize(
    ("name", "decision", "reason", "fields"),
    [
        ("", 1, "FIELD_INVALID", ["name"]),
        ("disputes/d-1", 1, "FIELD_INVALID", ["name"]),
        ("brands/-/disputes/d-1", 0, "FIELD_INVALID", ["decision"]),
        ("brands/-/disputes/d-1", 9, "FIELD_INVALID", ["decision"]),
        ("brands/-/disputes/d-999", 1, "DISPUTE_NOT_FOUND", []),
        ("brands/-/disputes/nothing", 1, "DISPUTE_NOT_FOUND", []),
        ("brands/-/disputes/d-99999999999999999999", 1, "DISPUTE_NOT_FOUND", []),
    ],
)
def test_a_decision_needs_a_dispute_and_a_side(
    server: Served, name: str, decision: int, reason: str, fields: list[str]
) -> None:
    request = pb.ResolveDisputeRequest(name=name, decision=decision)  # type: ignore[arg-type]
    failed = failure(server.disputes.ResolveDispute, request)
    assert (failed.reason, failed.violations) == (reason, fields)


def test_the_brands_of_a_list_exist(server: Served) -> None:
    request = pb.ListDisputesRequest(parent="brands/nobody")
    assert failure(server.disputes.ListDisputes, request).reason == "BRAND_NOT_FOUND"


def test_an_owner_sees_its_own_disputes_and_decides_none(server: Served) -> None:
    server.create_original("cup", COFFEE, "first")
    server.create_original("mine", COPY, "second")
    (dispute,) = disputes(server)
    number = dispute.name.rpartition("/")[2]
    with server.acting(Role.OWNER, "second") as owner:
        listing = owner.disputes.ListDisputes(pb.ListDisputesRequest(parent="brands/second"))
        assert [one.name for one in listing.disputes] == [f"brands/second/disputes/{number}"]
        for name in ("brands/-", "brands/first"):
            asked = pb.ListDisputesRequest(parent=name)
            assert failure(owner.disputes.ListDisputes, asked).reason == "BRAND_NOT_FOUND"
            one = pb.GetDisputeRequest(name=f"{name}/disputes/{number}")
            assert failure(owner.disputes.GetDispute, one).reason == "DISPUTE_NOT_FOUND"
        mine = listing.disputes[0].name
        decision = pb.ResolveDisputeRequest(name=mine, decision=Dispute.UPHOLD_NEWCOMER)
        assert failure(owner.disputes.ResolveDispute, decision).reason == "ROLE_FORBIDS"


def test_a_dispute_and_each_decision_are_in_the_audit_log_of_both(server: Served) -> None:
    server.create_original("cup", COFFEE, "first")
    server.create_original("mine", COPY, "second")
    request = pb.ResolveDisputeRequest(
        name=disputes(server)[0].name, decision=Dispute.ACCEPT_BOTH, reason="one supplier"
    )
    server.disputes.ResolveDispute(request, metadata=(("x-request-id", "decided"),))
    for brand in ("first", "second"):
        asked = audit_pb.ListAuditEntriesRequest(brand=f"brands/{brand}")
        entries = server.audit.ListAuditEntries(asked).audit_entries
        found = {entry.action: entry for entry in entries}
        assert {"dispute.open", "dispute.resolve"} <= found.keys()
        decided = found["dispute.resolve"]
        assert (decided.request_id, decided.principal) == ("decided", server.key.id)
        assert decided.method == "DisputesService/ResolveDispute"
        assert "one supplier" in str(decided) and "ACCEPT_BOTH" in str(decided)


def test_a_verdict_by_an_original_that_lost_is_another_one_when_replayed(server: Served) -> None:
    earlier = server.create_original("cup", COFFEE, "first")
    listing = match_pb.Listing(images=[encode(photo("coffee"), quality=70)])
    config = match_pb.MatchConfig(brands=["brands/first"])
    request = match_pb.CheckListingRequest(listing=listing, config=config)
    answer = server.match.CheckListing(request)
    assert answer.verdict == match_pb.COPY
    server.create_original("mine", COPY, "second")
    decide(server, disputes(server)[0], "UPHOLD_NEWCOMER")
    asked = audit_pb.ReplayAuditEntryRequest(name=answer.audit_entry)
    found = server.audit.ReplayAuditEntry(asked)
    assert (found.logged_verdict, found.verdict) == (match_pb.COPY, match_pb.CLEAR)
    (reason,) = found.pictures[0].reasons
    assert reason.cause == audit_pb.Replay.ORIGINAL_WITHDRAWN
    assert reason.original == earlier.name
