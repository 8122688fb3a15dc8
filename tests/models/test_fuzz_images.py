"""Damaged pictures: a few each time here, and for long in scripts/fuzz_images.py."""

import pytest
from hypothesis import HealthCheck, given, settings

from tests.kit.fuzzing import FORMATS, check_decoding, damaged, pictures

SOME = settings(
    max_examples=80, deadline=None, suppress_health_check=list(HealthCheck), database=None
)


@pytest.mark.parametrize("format", FORMATS)
def test_any_damage_is_refused_by_name_or_decoded(format: str) -> None:
    assert len(pictures(format)) >= 2
    for data in pictures(format):
        check_decoding(data)

    @SOME
    @given(damaged(format))
    def run(data: bytes) -> None:
        check_decoding(data)

    run()
