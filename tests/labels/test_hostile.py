"""Hostile files: bounded work, bounded memory, and an answer instead of an error."""

import json
import struct
import tracemalloc
import zlib
from collections.abc import Callable

import pytest

from models.labels.budget import BUDGET_US
from models.labels.containers import container_of
from models.labels.label import AiLabel, LabelState
from models.labels.read import read_label, survey_of
from tests.labels import kit

MIB = 1 << 20
XMP_HEAD = b"http://ns.adobe.com/xap/1.0/\0"
BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE b [<!ENTITY a0 "ha">'
    + b"".join(b'<!ENTITY a%d "%s">' % (i, b"&a%d;" % (i - 1) * 10) for i in range(1, 12))
    + b"]><x:xmpmeta xmlns:x='adobe:ns:meta/'>&a11;</x:xmpmeta>"
)
GB_TEXT = json.dumps(kit.GB)


def unreadable(label: AiLabel) -> bool:
    """Whether some block was said to be unreadable."""
    return any(signal.unreadable for signal in label.signals)


def png_text(keyword: bytes, text: bytes) -> bytes:
    """A PNG with one text chunk."""
    return kit.png_with(kit.chunk(b"tEXt", keyword + b"\0" + text))


def xmp_in(container: str, packet: bytes) -> bytes:
    """A file with any bytes in the place of an XMP packet."""
    if container == "JPEG":
        return kit.jpeg_with((0xE1, XMP_HEAD + packet))
    if container == "WEBP":
        return kit.webp_with((b"XMP ", packet))
    if container == "GIF":
        return kit.gif_with_xmp(packet)
    return kit.png_with(kit.chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + packet))


def avif_extents() -> bytes:
    """An AVIF whose metadata item is the whole file, sixty thousand times over."""

    def box(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body) + 8) + kind + body

    infe = box(b"infe", b"\2\0\0\0\0\1\0\0mime\0application/rdf+xml\0")
    iinf = box(b"iinf", b"\0\0\0\0\0\1" + infe)
    item = struct.pack(">HHH", 1, 0, 60_000) + struct.pack(">II", 0, 15 * MIB) * 60_000
    iloc = box(b"iloc", b"\0\0\0\0\x44\0" + struct.pack(">H", 8) + item * 8)
    head = box(b"ftyp", b"avif\0\0\0\0avifmif1")
    return head + box(b"meta", b"\0\0\0\0" + iinf + iloc) + box(b"mdat", b"<a>" * (4 * MIB))


def gif_flood() -> bytes:
    """Sixteen MiB of sub-blocks of one byte."""
    return kit.plain("GIF")[:-1] + b"\x21\xfe" + b"\x01a" * (8 * MIB - 600)


INFLATING = zlib.compress(b" " * (64 * MIB), 9)
DEEP_JSON = b"[" * 30_000 + b"]" * 30_000


def dense() -> bytes:
    """A packet of nothing but tags."""
    return kit.xmp("<dc:title><rdf:li a='1' b='2'/></dc:title>" * (15 * MIB // 43))


def many_ifds() -> bytes:
    """A TIFF structure whose one IFD claims more than there is."""
    entries = struct.pack("<HHII", 0x010E, 2, 0xFFFFFFFF, 8) * 65535
    return struct.pack("<2sHI", b"II", 42, 8) + struct.pack("<H", 65535) + entries


def hostile() -> dict[str, Callable[[], bytes]]:
    """Makers of files that try to cost a lot, none larger than the 16 MiB that are accepted."""
    return {
        "XML bomb": lambda: xmp_in("JPEG", BOMB),
        "XML bomb in PNG": lambda: xmp_in("PNG", BOMB),
        "dense XML of 15 MiB": lambda: xmp_in("PNG", dense()),
        "text in XML of 15 MiB": lambda: xmp_in(
            "PNG", kit.xmp(f"<dc:title>{'a' * (15 * MIB)}</dc:title>")
        ),
        "one attribute of 15 MiB": lambda: xmp_in(
            "WEBP", kit.xmp(attributes=f"a='{'a' * (15 * MIB)}'")
        ),
        "unfinished tag of 15 MiB": lambda: xmp_in("PNG", b"<x " + b"a" * (15 * MIB)),
        "deep XML": lambda: xmp_in("PNG", b"<a>" * (MIB)),
        "deep JSON": lambda: png_text(b"AIGC", b'{"Label":' + DEEP_JSON + b"}"),
        "deep JSON by name": lambda: png_text(b"Comment", b'{"steps":1,"seed":' + DEEP_JSON),
        "JSON of 15 MiB": lambda: png_text(b"AIGC", b'{"Label":"' + b"1" * (15 * MIB) + b'"}'),
        "number of a million digits": lambda: png_text(b"AIGC", b'{"Label":' + b"1" * MIB + b"}"),
        "markers without end": lambda: png_text(b"Comment", b'"AIGC":{' * (MIB)),
        "inflating text": lambda: kit.png_with(kit.chunk(b"zTXt", b"parameters\0\0" + INFLATING)),
        "much inflating text": lambda: kit.png_with(
            *[kit.chunk(b"zTXt", b"parameters\0\0" + INFLATING)] * 60
        ),
        "a million chunks": lambda: kit.png_with(kit.chunk(b"tEXt", b"") * (MIB)),
        "many small texts": lambda: kit.png_with(kit.chunk(b"tEXt", b"Software\0x") * 300_000),
        "many long programs": lambda: kit.png_with(
            kit.chunk(b"tEXt", b"Software\0" + b"gpt google midjourne " * 40) * 18_000
        ),
        "many segments": lambda: kit.jpeg_with(*[(0xE5, b"AIGC{")] * 200_000),
        "fill bytes": lambda: b"\xff\xd8" + b"\xff" * (15 * MIB),
        "zeros": lambda: b"\xff\xd8" + b"\0" * (15 * MIB),
        "stuffed bytes": lambda: b"\xff\xd8" + b"\xff\0" * (7 * MIB),
        "extended XMP in pieces": lambda: kit.jpeg_with(
            *[(0xE1, b"http://ns.adobe.com/xmp/extension/\0" + b"A" * 32 + b"\xff" * 8 + b"<a>")]
            * 4000
        ),
        "webp chunks": lambda: kit.webp_with(*[(b"XMP ", b"<")] * 400_000),
        "gif blocks": gif_flood,
        "IFD in a circle": lambda: struct.pack("<2sHIHHHIII", b"II", 42, 8, 1, 0x8769, 4, 1, 8, 8),
        "IFDs that overlap": many_ifds,
        "boxes without size": lambda: kit.plain("AVIF")[:32] + b"\0\0\0\x08free" * (MIB),
        "box around itself": lambda: kit.plain("AVIF")[:32] + b"\0\0\0\0meta" * (MIB),
        "extents of the whole file": avif_extents,
        "photoshop resources": lambda: kit.jpeg_with(
            *[(0xED, b"Photoshop 3.0\0" + b"8BIM\x04\x04\0\0\0\0\0\0" * 5000)] * 200
        ),
        "IIM records": lambda: kit.jpeg_with(
            (0xED, b"Photoshop 3.0\x008BIM\x04\x04\0\0\0\0\xea\x60" + b"\x1c\x02\x6e\0\0" * 12_000)
        ),
        "webui all over": lambda: png_text(b"parameters", b"Steps: 1 " * (MIB)),
        "generators all over": lambda: png_text(b"Software", b"dall" * (3 * MIB)),
        "quotes": lambda: xmp_in("PNG", b"DigitalSourceType='" * 500_000),
        "salvage": lambda: xmp_in("PNG", b"<a AIGC='{" * MIB),
        "salvage of spaces": lambda: xmp_in("PNG", b"<a>AIGC" + b" " * (10 * MIB) + b"="),
        "entities": lambda: png_text(b"AIGC", b"&quot;" * (2 * MIB)),
        "exif in PNG": lambda: kit.png_with(*[kit.chunk(b"eXIf", many_ifds()[:60_000])] * 200),
    }


FILES = hostile()


@pytest.mark.parametrize("name", FILES)
def test_a_hostile_file_costs_no_more_than_the_budget(name: str) -> None:
    data = FILES[name]()
    container = container_of(data)
    assert container is not None
    label = read_label(data)
    assert label.state in (LabelState.NONE, LabelState.SUSPECTED, LabelState.GENERATED)
    survey = survey_of(data, container)
    # What is charged is spent; one charge may overshoot, and then nothing more is done.
    assert survey.budget.left_us > -BUDGET_US
    assert len(label.signals) < 2100


@pytest.mark.parametrize("name", FILES)
def test_a_hostile_file_takes_bounded_memory(name: str) -> None:
    data = FILES[name]()
    tracemalloc.start()
    try:
        read_label(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # At most 4 MiB of a packet are looked at; the worst measured is 12 MiB.
    assert peak < 32 * MIB


@pytest.mark.parametrize(
    "name",
    [
        "XML bomb",
        "XML bomb in PNG",
        "deep XML",
        "deep JSON",
        "JSON of 15 MiB",
        "inflating text",
        "a million chunks",
        "many segments",
        "IFD in a circle",
        "zeros",
    ],
)
def test_what_was_refused_is_said(name: str) -> None:
    assert unreadable(read_label(FILES[name]()))


@pytest.mark.parametrize("container", ["JPEG", "PNG", "WEBP", "GIF"])
def test_a_document_type_is_refused_with_what_it_hides(container: str) -> None:
    label = read_label(xmp_in(container, BOMB))
    assert label.state is LabelState.NONE
    assert "document type" in label.signals[0].note


def test_a_broken_block_does_not_hide_the_next_one() -> None:
    good = b"AIGC\0" + GB_TEXT.encode()
    data = kit.png_with(
        kit.chunk(b"zTXt", b"parameters\0\0broken"),
        kit.chunk(b"iTXt", b"nothing"),
        kit.chunk(b"eXIf", b"no exif"),
        kit.chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + BOMB),
        kit.chunk(b"tEXt", good),
    )
    label = read_label(data)
    assert label.state is LabelState.GENERATED
    assert sum(signal.unreadable for signal in label.signals) == 4


def test_a_lying_length_is_said_and_what_is_there_is_read() -> None:
    body = b"AIGC\0" + GB_TEXT.encode()
    lying = kit.plain("PNG")[:33] + struct.pack(">I", 0x7FFFFFFF) + b"tEXt" + body
    label = read_label(lying)
    assert label.state is LabelState.GENERATED
    assert unreadable(label)
    segment = kit.plain("JPEG")[:2] + b"\xff\xfe\xff\xffAIGC" + GB_TEXT.encode()
    assert read_label(segment).state is LabelState.GENERATED


def test_the_same_file_gives_the_same_answer_however_busy_the_machine() -> None:
    labels = {read_label(FILES["dense XML of 15 MiB"]()) for _ in range(3)}
    assert len(labels) == 1


def test_a_label_before_the_flood_is_still_read() -> None:
    flood = [kit.chunk(b"tEXt", b"Software\0x")] * 100_000
    data = kit.png_with(kit.chunk(b"tEXt", b"AIGC\0" + GB_TEXT.encode()), *flood)
    label = read_label(data)
    assert label.state is LabelState.GENERATED
    assert unreadable(label)


@pytest.mark.parametrize("container", kit.CONTAINERS)
def test_every_cut_of_a_file_is_answered(container: str) -> None:
    data = kit.save(container, packet=kit.xmp(f"<TC260:AIGC>{kit.escaped(GB_TEXT)}</TC260:AIGC>"))
    for length in range(0, len(data), 7):
        assert read_label(data[:length]).state in (LabelState.NONE, LabelState.GENERATED)


def test_a_large_workflow_is_no_attack() -> None:
    """ComfyUI saves its graph twice, and graphs of half a megabyte are seen."""
    nodes = [{"type": "KSampler", "widgets_values": ["x" * 400]} for _ in range(1000)]
    workflow = json.dumps({"nodes": nodes, "links": []})
    label = read_label(kit.save("PNG", text={"workflow": workflow, "prompt": kit.COMFY}))
    assert len(workflow) > 400_000
    assert [signal.mark.value for signal in label.signals] == ["comfyui", "comfyui"]
