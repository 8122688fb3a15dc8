"""BrandsService, over the wire."""

import grpc
import pytest

from copycatch.v1 import brands_service_pb2 as pb
from tests.service.serving import Served, failure


def test_a_brand_is_created_and_found(server: Served) -> None:
    made = server.brands.CreateBrand(
        pb.CreateBrandRequest(brand_id="found", brand=pb.Brand(display_name="Föund Ltd"))
    )
    assert (made.name, made.display_name) == ("brands/found", "Föund Ltd")
    assert made.create_time.seconds > 1_700_000_000
    assert server.brands.GetBrand(pb.GetBrandRequest(name=made.name)) == made


def test_a_brand_id_can_be_taken_once(server: Served) -> None:
    server.create_brand("once")
    failed = failure(server.create_brand, "once")
    assert (failed.code, failed.reason) == (grpc.StatusCode.ALREADY_EXISTS, "BRAND_EXISTS")
    assert failed.info.metadata["brand"] == "once"


def test_a_brand_that_is_not_there_is_not_found(server: Served) -> None:
    failed = failure(server.brands.GetBrand, pb.GetBrandRequest(name="brands/nobody"))
    assert (failed.code, failed.reason) == (grpc.StatusCode.NOT_FOUND, "BRAND_NOT_FOUND")


@pytest.mark.parametrize("brand_id", ["", "Upper", "1st", "a-", "a" * 64, "a/b", "é", "a\n"])
def test_an_id_outside_of_the_rule_is_refused(server: Served, brand_id: str) -> None:
    failed = failure(server.brands.CreateBrand, pb.CreateBrandRequest(brand_id=brand_id))
    assert (failed.code, failed.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "FIELD_INVALID")
    assert failed.violations == ["brand_id"]


@pytest.mark.parametrize("name", ["", "acme", "brands/", "brands/a/b", "brand/acme", "brands/A"])
def test_a_name_that_is_none_is_refused(server: Served, name: str) -> None:
    failed = failure(server.brands.GetBrand, pb.GetBrandRequest(name=name))
    assert failed.violations == ["name"]


def test_all_that_is_wrong_is_said_at_once(server: Served) -> None:
    request = pb.CreateBrandRequest(brand_id="Bad", brand=pb.Brand(display_name="x" * 201))
    assert failure(server.brands.CreateBrand, request).violations == [
        "brand_id",
        "brand.display_name",
    ]


@pytest.mark.parametrize("page_size", [1, 2, 3, 1000])
def test_pages_lead_through_all_brands_once(server: Served, page_size: int) -> None:
    for name in ("page-a", "page-b", "page-c", "page-d"):
        try:
            server.create_brand(name)
        except grpc.RpcError:
            pass  # made by an earlier page size
    names, token = [], ""
    while True:
        page = server.brands.ListBrands(pb.ListBrandsRequest(page_size=page_size, page_token=token))
        assert len(page.brands) <= page_size
        names += [brand.name for brand in page.brands]
        if not (token := page.next_page_token):
            break
        assert page.brands
    assert names == sorted(set(names))
    assert {"brands/page-a", "brands/page-d"} <= set(names)


def test_a_negative_page_size_and_a_foreign_token_are_refused(server: Served) -> None:
    failed = failure(server.brands.ListBrands, pb.ListBrandsRequest(page_size=-1))
    assert failed.violations == ["page_size"]
    failed = failure(server.brands.ListBrands, pb.ListBrandsRequest(page_token="x"))
    assert (failed.code, failed.reason) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "PAGE_TOKEN_INVALID",
    )
