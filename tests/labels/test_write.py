"""Writing: the picture's data stay, other metadata stay, and what is written reads back."""

import io
import json
import struct
import zlib

import pytest
from PIL import Image

from models.labels.content_credentials import SigningCertificate, TrustList
from models.labels.embed import LabelTooLarge, LabelUnwritable
from models.labels.label import LabelHow, LabelState, LabelTrust, Mark
from models.labels.read import LabelSettings, read_label
from models.labels.write import (
    LabelFieldInvalid,
    LabelText,
    LabelUnsupported,
    ManifestPresent,
    Propagation,
    write_label,
)
from models.labels.xmp_merge import XmpUnmergeable, merge
from tests.labels import kit
from tests.labels.matrix import MATRIX

WRITABLE = ("JPEG", "PNG", "WEBP")
OURS = Propagation("Our Market", "item-42")
FULL = LabelText(LabelState.GENERATED, LabelHow.FULLY_GENERATED, "maker", "m-1")
CERTIFICATE = SigningCertificate(kit.signer().chain_pem, kit.signer().key_pem)


def image_data(data: bytes) -> list[bytes]:
    """The parts of a file that hold pixels, and all that decoding them needs."""
    if data[:2] == b"\xff\xd8":
        at, parts = 2, []
        while data[at + 1] != 0xDA:
            size = struct.unpack(">H", data[at + 2 : at + 4])[0]
            if not 0xE0 <= data[at + 1] <= 0xEF:
                parts.append(data[at : at + 2 + size])
            at += 2 + size
        return [*parts, data[at:]]
    if data[:4] == b"RIFF":
        at, parts = 12, []
        while at < len(data):
            size = struct.unpack("<I", data[at + 4 : at + 8])[0]
            if data[at : at + 4] in (b"VP8 ", b"VP8L", b"ALPH", b"ANMF"):
                parts.append(data[at : at + 8 + size])
            at += 8 + size + size % 2
        return parts
    at, parts = 8, []
    while at < len(data):
        size = struct.unpack(">I", data[at : at + 4])[0]
        if data[at + 4 : at + 8] not in (b"iTXt", b"tEXt", b"zTXt", b"caBX", b"eXIf"):
            parts.append(data[at : at + 12 + size])
        at += 12 + size
    return parts


def pixels(data: bytes) -> bytes:
    """The decoded pixels."""
    with Image.open(io.BytesIO(data)) as picture:
        return picture.convert("RGBA").tobytes()


def aigc(data: bytes) -> dict[str, str]:
    """The one GB 45438 label in the XMP of a file."""
    found = [
        s
        for s in read_label(data).signals
        if s.mark is Mark.GB45438 and s.place.endswith("XMP/TC260:AIGC")
    ]
    assert len(found) == 1, found
    value: dict[str, str] = json.loads(found[0].value)
    return value


@pytest.mark.parametrize("container", WRITABLE)
@pytest.mark.parametrize("label", [None, FULL], ids=["mark", "mark and label"])
def test_image_data_stay_byte_by_byte(container: str, label: LabelText | None) -> None:
    for data in (
        kit.plain(container),
        kit.save(container, packet=kit.xmp("<dc:title>t</dc:title>")),
    ):
        written = write_label(data, OURS, label)
        assert image_data(written) == image_data(data)
        assert pixels(written) == pixels(data)


@pytest.mark.parametrize("container", WRITABLE)
def test_what_is_written_reads_back(container: str) -> None:
    label = read_label(write_label(kit.plain(container), OURS, FULL))
    assert (label.state, label.how) == (LabelState.GENERATED, LabelHow.FULLY_GENERATED)
    assert {signal.mark for signal in label.signals} == {
        Mark.GB45438,
        Mark.IPTC_DIGITAL_SOURCE_TYPE,
    }
    assert aigc(write_label(kit.plain(container), OURS, FULL)) == {
        "Label": "1",
        "ContentProducer": "maker",
        "ProduceID": "m-1",
        "ReservedCode1": "",
        "ContentPropagator": "Our Market",
        "PropagateID": "item-42",
        "ReservedCode2": "",
    }


@pytest.mark.parametrize(
    ("state", "code"),
    [(LabelState.GENERATED, "1"), (LabelState.POSSIBLY, "2"), (LabelState.SUSPECTED, "3")],
)
def test_each_state_has_its_code_and_comes_back(state: LabelState, code: str) -> None:
    written = write_label(kit.plain("PNG"), OURS, LabelText(state, LabelHow.FULLY_GENERATED))
    assert aigc(written)["Label"] == code
    assert read_label(written).state is state


@pytest.mark.parametrize(
    ("how", "term"),
    [
        (LabelHow.FULLY_GENERATED, "trainedAlgorithmicMedia"),
        (LabelHow.COMPOSITE, "compositeWithTrainedAlgorithmicMedia"),
        (LabelHow.EDITED, "compositeWithTrainedAlgorithmicMedia"),
        (LabelHow.ENHANCED, "algorithmicallyEnhanced"),
    ],
)
def test_how_is_written_as_digital_source_type(how: LabelHow, term: str) -> None:
    written = write_label(kit.plain(), OURS, LabelText(LabelState.GENERATED, how))
    values = [
        s.value for s in read_label(written).signals if s.mark is Mark.IPTC_DIGITAL_SOURCE_TYPE
    ]
    assert values == [kit.IPTC + term]


def test_a_doubt_is_never_written_as_a_digital_source_type() -> None:
    label = LabelText(LabelState.SUSPECTED, LabelHow.FULLY_GENERATED)
    assert b"DigitalSourceType" not in write_label(kit.plain(), OURS, label)


@pytest.mark.parametrize("container", WRITABLE)
def test_a_mark_alone_on_a_plain_picture_says_nothing_about_ai(container: str) -> None:
    written = write_label(kit.plain(container), OURS)
    assert aigc(written)["Label"] == ""
    assert aigc(written)["ContentPropagator"] == "Our Market"
    assert read_label(written).state is LabelState.NONE


@pytest.mark.parametrize("container", WRITABLE)
def test_the_label_of_the_file_is_carried_on(container: str) -> None:
    theirs = {**kit.GB, "Label": "2", "ReservedCode1": "s<i>g&\"'"}
    packet = kit.xmp(attributes=f'TC260:AIGC="{kit.escaped(json.dumps(theirs))}"')
    written = write_label(kit.save(container, packet=packet), OURS)
    assert aigc(written) == {
        **theirs,
        "ContentPropagator": "Our Market",
        "PropagateID": "item-42",
    }


def test_a_label_elsewhere_in_the_file_is_carried_on_in_xmp() -> None:
    data = kit.save("PNG", text={"AIGC": json.dumps(kit.GB)})
    assert aigc(write_label(data, OURS))["ContentProducer"] == kit.GB["ContentProducer"]


def test_another_mark_becomes_the_label_that_is_passed_on() -> None:
    traced = kit.save("PNG", text={"parameters": kit.WEBUI})
    assert aigc(write_label(traced, OURS))["Label"] == "3"
    declared = kit.save(
        "PNG", packet=kit.xmp(attributes=f'Iptc4xmpExt:DigitalSourceType="{kit.AI}"')
    )
    assert aigc(write_label(declared, OURS))["Label"] == "1"


@pytest.mark.parametrize("container", WRITABLE)
@pytest.mark.parametrize("form", ["element", "attribute"])
def test_writing_twice_replaces_and_does_not_add(container: str, form: str) -> None:
    inner = f"<TC260:AIGC>{kit.escaped(json.dumps(kit.GB))}</TC260:AIGC>"
    attribute = (
        f"TC260:AIGC='{json.dumps(kit.GB)}' "
        f'Iptc4xmpExt:DigitalSourceType="{kit.IPTC}digitalCapture"'
    )
    packet = kit.xmp(inner) if form == "element" else kit.xmp(attributes=attribute)
    once = write_label(kit.save(container, packet=packet), OURS, FULL)
    again = write_label(once, Propagation("Next", "7"), FULL)
    assert aigc(again)["ContentPropagator"] == "Next"
    assert b"Our Market" not in again
    assert b"digitalCapture" not in again
    assert again.count(b"<TC260:AIGC>") == 1


@pytest.mark.parametrize("container", WRITABLE)
def test_other_xmp_stays(container: str) -> None:
    inner = (
        "<dc:description><rdf:Alt><rdf:li xml:lang='x-default'>a &amp; b</rdf:li></rdf:Alt>"
        "</dc:description><xmp:CreatorTool>Lightroom 13</xmp:CreatorTool>"
        "<!-- a remark --><xmpMM:History><rdf:Seq><rdf:li stEvt:action='saved'/></rdf:Seq>"
        "</xmpMM:History>"
    )
    packet = kit.xmp(inner, 'photoshop:Credit="somebody"')
    written = write_label(kit.save(container, packet=packet), OURS, FULL)
    assert inner.encode() in written
    assert b'photoshop:Credit="somebody"' in written
    assert b'<?xpacket end="w"?>' in written


def test_exif_icc_and_comments_stay() -> None:
    exif = kit.save("JPEG", exif=kit.exif(Make="Canon", Model="EOS R5"))
    data = kit.jpeg_with((0xE2, b"ICC_PROFILE\0\1\1abc"), (0xFE, b"remark"), data=exif)
    written = write_label(data, OURS, FULL)
    with Image.open(io.BytesIO(written)) as picture:
        assert picture.getexif()[0x010F] == "Canon"
        assert picture.info["comment"] == b"remark"
        assert picture.info["icc_profile"] == b"abc"


def test_a_compressed_packet_in_png_is_read_and_kept() -> None:
    body = b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(kit.xmp("<dc:title>kept</dc:title>"))
    data = kit.png_with(kit.chunk(b"iTXt", body))
    written = write_label(data, OURS, FULL)
    assert b"<dc:title>kept</dc:title>" in written
    assert pixels(written) == pixels(data)


@pytest.mark.parametrize("options", [{"lossless": True}, {"quality": 80}, {"alpha": True}])
def test_a_simple_webp_becomes_an_extended_one_of_the_same_size(options: dict[str, object]) -> None:
    picture = Image.new("RGBA" if options.pop("alpha", False) else "RGB", (37, 23), (9, 8, 7))
    if picture.mode == "RGBA":
        picture.putpixel((3, 3), (1, 2, 3, 40))
        options["lossless"] = True
    out = io.BytesIO()
    picture.save(out, "WEBP", **options)
    written = write_label(out.getvalue(), OURS, FULL)
    with Image.open(io.BytesIO(written)) as again:
        assert again.size == (37, 23)
        assert again.mode == picture.mode
        assert again.info["xmp"]
    assert image_data(written) == image_data(out.getvalue())
    assert pixels(written) == pixels(out.getvalue())


def test_an_animated_webp_keeps_its_frames() -> None:
    out = io.BytesIO()
    frames = [Image.new("RGB", (16, 16), (i * 40, 0, 0)) for i in range(4)]
    frames[0].save(out, "WEBP", save_all=True, append_images=frames[1:])
    written = write_label(out.getvalue(), OURS, FULL)
    assert image_data(written) == image_data(out.getvalue())
    with Image.open(io.BytesIO(written)) as again:
        assert getattr(again, "n_frames", 1) == 4


@pytest.mark.parametrize("container", ["GIF", "TIFF", "AVIF", "HEIF"])
def test_other_containers_are_refused_by_name(container: str) -> None:
    with pytest.raises(LabelUnsupported) as refusal:
        write_label(kit.plain(container), OURS)
    assert refusal.value.container == container


@pytest.mark.parametrize(
    "junk", [b"", b"hello", b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBP"]
)
def test_what_is_no_picture_is_refused(junk: bytes) -> None:
    with pytest.raises((LabelUnsupported, LabelUnwritable)):
        write_label(junk, OURS)


@pytest.mark.parametrize("container", WRITABLE)
def test_a_damaged_file_is_refused_or_keeps_its_bytes(container: str) -> None:
    data = kit.plain(container)
    for length in range(8, len(data), max(1, len(data) // 60)):
        try:
            written = write_label(data[:length], OURS, FULL)
        except (LabelUnwritable, LabelUnsupported):
            continue
        assert read_label(written).state is LabelState.GENERATED


@pytest.mark.parametrize("container", WRITABLE)
def test_a_manifest_is_never_broken_silently(container: str) -> None:
    data = kit.signed([kit.action("c2pa.created", kit.AI)], container)
    with pytest.raises(ManifestPresent):
        write_label(data, OURS)


def test_a_reference_to_a_manifest_elsewhere_counts_as_a_manifest() -> None:
    packet = kit.xmp(attributes='dcterms:provenance="https://example.com/m.c2pa"')
    with pytest.raises(ManifestPresent):
        write_label(kit.save("JPEG", packet=packet), OURS)


@pytest.mark.parametrize("container", WRITABLE)
def test_a_certificate_signs_anew_and_keeps_the_old_manifest(container: str) -> None:
    data = kit.signed([kit.action("c2pa.created", kit.AI)], container)
    written = write_label(data, OURS, FULL, certificate=CERTIFICATE)
    assert image_data(written) == image_data(data)
    trusting = LabelSettings(trust=TrustList(anchors_pem=kit.signer().root_pem))
    label = read_label(written, trusting)
    assert label.state is LabelState.GENERATED
    manifests = [s for s in label.signals if s.mark is Mark.C2PA]
    assert any("ingredient/c2pa.actions.v2/c2pa.created" in s.place for s in manifests)
    assert {s.trust for s in manifests} == {LabelTrust.SIGNED_TRUSTED}
    assert aigc(written)["ContentPropagator"] == "Our Market"


@pytest.mark.parametrize(
    "packet",
    [
        b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><broken></x:xmpmeta>",
        b"<!DOCTYPE a [<!ENTITY b 'c'>]>" + kit.xmp(wrapper=False),
        b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>",
        b"",
    ],
    ids=["broken", "document type", "no RDF", "empty"],
)
def test_xmp_that_can_not_be_extended_is_refused_and_not_replaced(packet: bytes) -> None:
    data = kit.jpeg_with((0xE1, b"http://ns.adobe.com/xap/1.0/\0" + packet))
    with pytest.raises(XmpUnmergeable):
        write_label(data, OURS)


def test_a_packet_that_outgrows_a_segment_is_refused() -> None:
    packet = kit.xmp(f"<dc:title>{'x' * 64300}</dc:title>")
    with pytest.raises(LabelTooLarge) as refusal:
        write_label(kit.save("JPEG", packet=packet), OURS, FULL)
    assert refusal.value.limit_bytes == 65_502


def test_padding_gives_way_before_a_packet_is_refused() -> None:
    packet = kit.xmp(f"<dc:title>{'x' * 60000}</dc:title>").replace(b" " * 200, b" " * 4000)
    data = kit.jpeg_with((0xE1, b"http://ns.adobe.com/xap/1.0/\0" + packet))
    assert aigc(write_label(data, OURS, FULL))["PropagateID"] == "item-42"


def test_extended_xmp_stays_and_is_not_contradicted() -> None:
    guid = b"0123456789ABCDEF0123456789ABCDEF"
    harmless = kit.xmp("<dc:title>long</dc:title>", wrapper=False)
    labelled = kit.xmp(f"<TC260:AIGC>{json.dumps(kit.GB)}</TC260:AIGC>", wrapper=False)

    def extended(packet: bytes) -> bytes:
        head = b"http://ns.adobe.com/xmp/extension/\0" + guid
        piece = head + struct.pack(">II", len(packet), 0) + packet
        return kit.jpeg_with((0xE1, piece))

    assert harmless in write_label(extended(harmless), OURS)
    with pytest.raises(XmpUnmergeable):
        write_label(extended(labelled), OURS)


def test_an_empty_rdf_element_is_opened() -> None:
    packet = b"<a:RDF xmlns:a='http://www.w3.org/1999/02/22-rdf-syntax-ns#'/>"
    merged = merge(packet, {f"{kit.TC260} AIGC": "v"})
    assert merged.startswith(b"<a:RDF xmlns:a=")
    assert merged.endswith(b"</a:RDF>")
    assert b"<TC260:AIGC>v</TC260:AIGC>" in merged


def test_a_utf_16_packet_is_merged() -> None:
    packet = kit.xmp("<dc:title>é</dc:title>", wrapper=False).decode().encode("utf-16")
    merged = merge(packet, {f"{kit.TC260} AIGC": "v"})
    assert "<dc:title>é</dc:title>" in merged.decode()


@pytest.mark.parametrize(
    ("propagator", "propagate_id", "field"),
    [
        ("", "1", "propagator"),
        ("a", " ", "propagate_id"),
        ("a" * 201, "1", "propagator"),
        ("a\0b", "1", "propagator"),
        ("a", "1\n2", "propagate_id"),
        ("a", "\ud800", "propagate_id"),
    ],
)
def test_a_mark_is_checked_strictly(propagator: str, propagate_id: str, field: str) -> None:
    with pytest.raises(LabelFieldInvalid) as refusal:
        Propagation(propagator, propagate_id)
    assert refusal.value.field == field


def test_there_is_no_label_that_says_not_ai() -> None:
    with pytest.raises(LabelFieldInvalid):
        LabelText(LabelState.NONE)


def test_markup_in_values_is_written_as_text() -> None:
    evil = '</TC260:AIGC><x a="&lt;'
    written = write_label(kit.plain(), Propagation(evil, evil))
    assert aigc(written)["ContentPropagator"] == evil


def test_every_unsigned_mark_survives_the_writing() -> None:
    for name, mark, state, _, containers, make in MATRIX:
        for container in set(containers) & set(WRITABLE):
            if mark is Mark.C2PA:
                continue
            written = read_label(write_label(make(container), OURS))
            assert written.state is state, name
            assert mark in {signal.mark for signal in written.signals}, name
