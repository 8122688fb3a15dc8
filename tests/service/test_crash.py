"""kill -9 in the middle of an import: what was acknowledged is there, stored and searchable."""

import random
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from copycatch.v1 import (
    brands_service_pb2,
    brands_service_pb2_grpc,
    match_service_pb2,
    match_service_pb2_grpc,
    originals_service_pb2,
    originals_service_pb2_grpc,
)
from tests.kit.images import draw, encode
from tests.service.program import running
from tests.service.serving import new_original

ROUNDS = 10
PER_ROUND = 60
# Each original is one of these pictures with one pixel set: as many as we like, in a moment.
PICTURES = [draw(seed, (96, 96)) for seed in range(8)]


def image_of(number: int) -> bytes:
    marked = PICTURES[number % len(PICTURES)].copy()
    marked.putpixel((number % 96, number // 96), (255, 0, 255))
    return encode(marked, "PNG")


def items(start: int) -> Iterator[originals_service_pb2.ImportOriginalsRequest]:
    for number in range(start, start + PER_ROUND):
        name = f"o{number:04}"
        yield originals_service_pb2.ImportOriginalsRequest(
            item_id=name, request=new_original(name, image_of(number))
        )


@pytest.mark.slow
def test_nothing_that_was_acknowledged_is_lost_by_ten_kills(tmp_path: Path) -> None:
    rng = random.Random(7)
    acknowledged: set[str] = set()
    killed = 0
    for round_ in range(ROUNDS + 1):
        with running(tmp_path / "data") as program:
            with program.connect() as channel:
                brands = brands_service_pb2_grpc.BrandsServiceStub(channel)
                originals = originals_service_pb2_grpc.OriginalsServiceStub(channel)
                match = match_service_pb2_grpc.MatchServiceStub(channel)
                if round_ == 0:
                    brands.CreateBrand(brands_service_pb2.CreateBrandRequest(brand_id="acme"))
                check(originals, match, acknowledged)
                if round_ == ROUNDS:
                    break
                last = rng.randrange(1, PER_ROUND - 10)
                try:
                    responses = originals.ImportOriginals(items(round_ * PER_ROUND))
                    for done, response in enumerate(responses, 1):
                        assert response.outcome == response.CREATED, response
                        acknowledged.add(response.item_id)
                        if done == last:
                            program.process.kill()
                except grpc.RpcError as error:
                    assert error.code() is grpc.StatusCode.UNAVAILABLE
                    killed += 1
    assert killed == ROUNDS
    assert len(acknowledged) >= ROUNDS


def check(
    originals: originals_service_pb2_grpc.OriginalsServiceStub,
    match: match_service_pb2_grpc.MatchServiceStub,
    acknowledged: set[str],
) -> None:
    """Hold the store against what was acknowledged, and the index against the store."""
    stored, token = set(), ""
    while True:
        page = originals.ListOriginals(
            originals_service_pb2.ListOriginalsRequest(
                parent="brands/acme", page_size=500, page_token=token
            )
        )
        stored |= {one.name.rpartition("/")[2] for one in page.originals}
        if not (token := page.next_page_token):
            break
    assert acknowledged <= stored
    info = match.GetServerInfo(match_service_pb2.GetServerInfoRequest())
    assert info.original_count == len(stored)
    assert {index.space: index.size for index in info.indexes}["sscd"] == len(stored)
    for name in sorted(acknowledged)[::25]:
        answer = match.CheckListing(
            match_service_pb2.CheckListingRequest(
                listing=match_service_pb2.Listing(images=[image_of(int(name[1:]))]),
                config=match_service_pb2.MatchConfig(max_matches=50),
            )
        )
        assert answer.verdict == match_service_pb2.COPY
