"""Damaged files: a few each time here, and for long in scripts/fuzz_labels.py.

`FOUND` keeps what the long runs found, and its neighbours.
"""

import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.labels.bounded_json import find_object
from models.labels.budget import BlockUnreadable
from models.labels.exif import decode_comment
from models.labels.gb45438 import label_signal
from models.labels.read import read_label
from models.labels.source_types import source_type
from models.labels.xmp_merge import XmpUnmergeable, merge
from tests.labels import kit
from tests.labels.fuzzing import check_reading, check_writing, corpus, mutants, signed_corpus

SOME = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
)

FOUND = {
    "IFD at an offset of 64 bits": b"MM\0+RIFF\xae\x05\0\0WEBPVP8 ",
    "EXIF IFD at an offset of 64 bits": kit.big_tiff("<")[:24]
    + struct.pack("<HHQQ", 0x8769, 16, 1, (1 << 64) - 1)
    + b"\0" * 8,
    "value at an offset of 64 bits": kit.big_tiff(">")[:36] + b"\xff" * 16,
}


@pytest.mark.parametrize("name", FOUND)
def test_what_was_found_is_answered(name: str) -> None:
    check_reading(FOUND[name])
    assert any(signal.unreadable for signal in read_label(FOUND[name]).signals)


@pytest.mark.parametrize("container", kit.CONTAINERS)
def test_any_damage_is_answered(container: str) -> None:
    @SOME
    @given(mutants(corpus(container)))
    def run(data: bytes) -> None:
        check_reading(data)

    run()


@pytest.mark.parametrize("container", ["JPEG", "PNG", "WEBP"])
def test_writing_into_any_damage_is_refused_or_reads_back(container: str) -> None:
    @SOME
    @given(mutants(corpus(container)))
    def run(data: bytes) -> None:
        check_writing(data)

    run()


def test_any_damage_to_a_manifest_is_answered() -> None:
    @SOME
    @given(mutants(signed_corpus()))
    def run(data: bytes) -> None:
        check_reading(data)

    run()


@SOME
@given(st.binary(max_size=400))
def test_any_bytes_are_answered(data: bytes) -> None:
    check_reading(data)
    check_writing(data)


@SOME
@given(st.text(max_size=300))
def test_any_text_is_an_object_or_refused(text: str) -> None:
    try:
        found = find_object("{" + text)
    except BlockUnreadable:
        return
    assert found is None or isinstance(found, dict)


@SOME
@given(st.binary(max_size=80))
def test_any_comment_has_a_text(raw: bytes) -> None:
    assert isinstance(decode_comment(raw), str)


@SOME
@given(st.text(max_size=80))
def test_any_text_is_a_source_type_or_none(text: str) -> None:
    kind = source_type(text)
    assert kind is None or kind.term


@SOME
@given(st.dictionaries(st.sampled_from(list(kit.GB)), st.from_type(object) | st.text(max_size=9)))
def test_any_label_has_a_signal(block: dict[str, object]) -> None:
    assert label_signal(block, "p").note


@SOME
@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=60))
def test_any_value_survives_a_merge(value: str) -> None:
    packet = kit.xmp("<dc:title>t</dc:title>", f'TC260:AIGC="{kit.escaped("old")}"')
    try:
        merged = merge(packet, {f"{kit.TC260} AIGC": value})
    except XmpUnmergeable:
        return
    again = merge(merged, {f"{kit.TC260} AIGC": "next"})
    assert again.count(b"<TC260:AIGC>") == 1
