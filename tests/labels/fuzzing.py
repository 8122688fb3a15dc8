"""Mutants of files with marks, for the property tests and for scripts/fuzz_labels.py.

A corpus of small files with every mark in every container, and hypothesis strategies that
damage them: flips, cuts, insertions of words that the readers look for, lying lengths, and
pieces of one file put into another.
"""

import json
from collections.abc import Callable
from functools import cache

from hypothesis import strategies as st

from models.labels.containers import container_of
from models.labels.embed import LabelTooLarge, LabelUnwritable
from models.labels.label import MAX_VALUE_CHARS, LabelState, Mark
from models.labels.read import read_label
from models.labels.write import (
    LabelText,
    LabelUnsupported,
    ManifestPresent,
    Propagation,
    write_label,
)
from models.labels.xmp_merge import XmpUnmergeable
from tests.labels import kit
from tests.labels.matrix import MATRIX

WORDS = (
    *(
        b"AIGC",
        b'{"AIGC":{',
        b'"Label":"1"',
        b"&quot;",
        b"&#x22;",
        b"\\",
        b"\0",
        b"\xff",
        b"\xff\xfe",
    ),
    *(
        b"<!DOCTYPE a [<!ENTITY b 'c'>]>",
        b"<rdf:RDF",
        b"</rdf:RDF>",
        b"<",
        b">",
        b"'",
        b'"',
        b"]]>",
    ),
    *(b"<![CDATA[", b"<?xpacket end='w'?>", b"xmlns:TC260=''", b"rdf:about=", b"rdf:resource="),
    *(
        b"Steps: 20",
        b"Seed: ",
        b'"steps":1,"seed":2,"sampler":3',
        b"[" * 600,
        b"9" * 5000,
        b"1e999",
    ),
    *(b"Exif\0\0", b"II*\0", b"MM\0*", b"8BIM\x04\x04", b"\x1c\x02\x6e", b"tEXt", b"zTXt", b"iTXt"),
    *(
        b"XML:com.adobe.xmp\0",
        b"jumb",
        b"c2pa",
        b"infe",
        b"iloc",
        b"mime",
        b"UNICODE\0",
        b"\xd8\x00",
    ),
    *(b"http://ns.adobe.com/xap/1.0/\0", b"http://ns.adobe.com/xmp/extension/\0", b"NaN", b"null"),
)
LENGTHS = (b"\0\0", b"\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\1")
OURS = Propagation("Fuzz Market", "f-1")
FULL = LabelText(LabelState.GENERATED)
REFUSALS = (LabelTooLarge, LabelUnwritable, LabelUnsupported, ManifestPresent, XmpUnmergeable)


@cache
def corpus(container: str) -> tuple[bytes, ...]:
    """Small files of one container: plain, and with each mark but C2PA."""
    made = [kit.plain(container)]
    made += [row[5](container) for row in MATRIX if container in row[4] and row[1] is not Mark.C2PA]
    everything = kit.xmp(
        f"<TC260:AIGC>{kit.escaped(json.dumps(kit.GB))}</TC260:AIGC>"
        "<dc:description><rdf:Alt><rdf:li xml:lang='x'>t</rdf:li></rdf:Alt></dc:description>",
        f'Iptc4xmpExt:DigitalSourceType="{kit.AI}" photoshop:Credit="Made with Google AI"',
    )
    made.append(kit.save(container, packet=everything))
    if container == "TIFF":
        made += [kit.big_tiff(order) for order in "<>"]
    if container == "JPEG":
        resources = b"Photoshop 3.0\x008BIM\x04\x04\0\0\0\0\0\x0a\x1c\x02\x6e\0\x05hello"
        extension = (
            b"http://ns.adobe.com/xmp/extension/\0" + b"A" * 32 + b"\0\0\0\x09\0\0\0\0<a>AIGC/>"
        )
        made.append(kit.jpeg_with((0xED, resources), (0xE1, extension), (0xFE, b"Steps: 1")))
    return tuple(made)


@cache
def signed_corpus() -> tuple[bytes, ...]:
    """Signed files of every container."""
    return tuple(kit.signed([kit.action("c2pa.created", kit.AI)], c) for c in kit.CONTAINERS)


@st.composite
def mutants(draw: st.DrawFn, files: tuple[bytes, ...]) -> bytes:
    """One file of the corpus, damaged in up to eight places."""
    data = bytearray(draw(st.sampled_from(files)))
    other = draw(st.sampled_from(files))
    for _ in range(draw(st.integers(1, 8))):
        # Most of the structure lies at the start.
        near = draw(st.booleans())
        at = draw(st.integers(0, min(len(data), 600 if near else len(data))))
        kind = draw(st.integers(0, 7))
        if kind == 0 and at < len(data):
            data[at] = draw(st.integers(0, 255))
        elif kind == 1 and at < len(data):
            data[at] ^= 1 << draw(st.integers(0, 7))
        elif kind == 2:
            del data[at : at + draw(st.integers(1, 64))]
        elif kind == 3:
            data[at:at] = draw(st.sampled_from(WORDS))
        elif kind == 4:
            length = draw(st.sampled_from(LENGTHS))
            data[at : at + len(length)] = length
        elif kind == 5:
            start = draw(st.integers(0, len(other)))
            data[at:at] = other[start : start + draw(st.integers(1, 512))]
        elif kind == 6:
            data[at:at] = draw(st.binary(min_size=1, max_size=32))
        else:
            del data[at:]
    return bytes(data)


def check_reading(data: bytes) -> None:
    """What must hold of reading any bytes at all."""
    label = read_label(data)
    assert label == read_label(data)
    assert len(label.signals) < 2200
    for signal in label.signals:
        assert len(signal.value) <= MAX_VALUE_CHARS
        assert signal.place
        assert signal.note
        assert not (signal.unreadable and signal.state is not LabelState.NONE)
    strongest = max((s.state.rank for s in label.signals), default=0)
    assert label.state.rank == strongest


def check_writing(data: bytes) -> None:
    """What must hold of writing into any bytes at all: refused by name, or read back."""
    try:
        written = write_label(data, OURS, FULL)
    except REFUSALS:
        return
    container = container_of(data)
    assert container is not None
    assert len(written) > len(data) - 70_000
    label = read_label(written)
    if not any(signal.unreadable for signal in label.signals):
        assert label.state is LabelState.GENERATED
        assert any("Fuzz Market" in signal.value for signal in label.signals)


CHECKS: dict[str, Callable[[bytes], None]] = {"reading": check_reading, "writing": check_writing}
