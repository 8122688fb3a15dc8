"""What each family makes of what writers are seen to write, and of what it must leave alone."""

import json
import struct
import zlib

import pytest

from models.labels.decide import decide
from models.labels.gb45438 import uscc_holds
from models.labels.generators import generator_named
from models.labels.label import (
    ABSENCE,
    MAX_VALUE_CHARS,
    AiLabel,
    LabelHow,
    LabelSignal,
    LabelState,
    LabelTrust,
    Mark,
    clipped,
)
from models.labels.read import read_label
from models.labels.source_types import source_type
from tests.labels import kit

GB_TEXT = json.dumps(kit.GB)


def in_text(**text: str) -> AiLabel:
    """The label of a PNG with these text chunks."""
    return read_label(kit.save("PNG", text=text))


def in_xmp(inner: str = "", attributes: str = "") -> AiLabel:
    """The label of a JPEG with this XMP."""
    return read_label(kit.save("JPEG", packet=kit.xmp(inner, attributes)))


# IPTC


@pytest.mark.parametrize(
    "value",
    [
        "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia",
        "https://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia/",
        "http://cv.iptc.org/newscodes/digsrctype/trainedAlgorithmicMedia",
        "http://c2pa.org/digitalsourcetype/trainedAlgorithmicMedia",
        "http://c2pa.org/digitalsourcetype/trainedAlgorithmicData",
        "digsrctype:trainedAlgorithmicMedia",
        " trainedAlgorithmicMedia\n",
    ],
)
def test_old_and_new_names_of_a_source_type_are_known(value: str) -> None:
    kind = source_type(value)
    assert kind is not None
    assert kind.state is LabelState.GENERATED


@pytest.mark.parametrize(
    "value",
    [
        *(kit.IPTC + term for term in ("digitalCapture", "compositeCapture", "humanEdits")),
        *(kit.IPTC + term for term in ("digitalArt", "softwareImage", "virtualRecording")),
        "http://c2pa.org/digitalsourcetype/empty",
        "http://example.com/trainedAlgorithmicMedia",
        "not trainedAlgorithmicMedia at all",
        "",
    ],
)
def test_other_source_types_are_no_label(value: str) -> None:
    assert source_type(value) is None


def test_a_source_type_as_resource_and_under_its_old_name_is_read() -> None:
    resource = f'<Iptc4xmpExt:DigitalSourceType rdf:resource="{kit.AI}"/>'
    assert in_xmp(resource).state is LabelState.GENERATED
    old = f"<Iptc4xmpExt:DigitalSourcefileType>{kit.AI}</Iptc4xmpExt:DigitalSourcefileType>"
    assert in_xmp(old).state is LabelState.GENERATED


def test_an_empty_ai_field_is_no_label() -> None:
    assert in_xmp("<Iptc4xmpExt:AISystemUsed> </Iptc4xmpExt:AISystemUsed>").signals == ()


# GB 45438


@pytest.mark.parametrize(
    ("label", "state"),
    [
        ("1", LabelState.GENERATED),
        (1, LabelState.GENERATED),
        ("2", LabelState.POSSIBLY),
        ("3", LabelState.SUSPECTED),
        ("0", LabelState.NONE),
        ("AI", LabelState.NONE),
        (None, LabelState.POSSIBLY),
    ],
)
def test_the_label_decides_the_state(label: object, state: LabelState) -> None:
    found = in_text(AIGC=json.dumps({**kit.GB, "Label": label}))
    assert found.state is state
    assert found.signals[0].mark is Mark.GB45438


@pytest.mark.parametrize(
    "text",
    [
        GB_TEXT,
        kit.escaped(GB_TEXT),
        kit.escaped(kit.escaped(GB_TEXT)).replace("&amp;amp;", "&amp;"),
        json.dumps({"AIGC": kit.GB}),
        json.dumps({"AIGC": GB_TEXT}),
        json.dumps(GB_TEXT),
        GB_TEXT.lower().replace("label", "label"),
        "  " + GB_TEXT + "trailing",
        GB_TEXT.replace('"', '\\"'),
    ],
    ids=[
        "plain",
        "entities",
        "entities twice",
        "wrapped",
        "wrapped text",
        "JSON string",
        "lower case",
        "trailing text",
        "escaped quotes",
    ],
)
def test_a_label_is_read_leniently(text: str) -> None:
    label = in_text(AIGC=text)
    assert label.state is LabelState.GENERATED, label
    assert label.signals[0].mark is Mark.GB45438


def test_a_missing_key_is_named_and_forgiven() -> None:
    block = {key: value for key, value in kit.GB.items() if key != "ProduceID"}
    assert "Without ProduceID." in in_text(AIGC=json.dumps(block)).signals[0].note


def test_a_producers_code_is_taken_apart() -> None:
    assert "social credit code 91110102MACQD9K640" in in_text(AIGC=GB_TEXT).signals[0].note
    named = in_text(AIGC=json.dumps({**kit.GB, "ContentProducer": "picwish"}))
    assert "Producer: picwish." in named.signals[0].note
    wrong = kit.GB["ContentProducer"].replace("K640", "K641")
    note = in_text(AIGC=json.dumps({**kit.GB, "ContentProducer": wrong})).signals[0].note
    assert "check character is wrong" in note


def test_the_check_character_of_a_social_credit_code() -> None:
    assert uscc_holds("91350100M000100Y43")  # the example of GB 32100-2015
    assert not uscc_holds("91350100M000100Y44")


def test_the_keys_as_properties_of_their_own_are_read() -> None:
    inner = "<TC260:Label>2</TC260:Label><TC260:ContentProducer>x</TC260:ContentProducer>"
    assert in_xmp(inner).state is LabelState.POSSIBLY
    nested = f'<TC260:AIGC rdf:parseType="Resource">{inner}</TC260:AIGC>'
    assert in_xmp(nested).state is LabelState.POSSIBLY


def test_the_right_word_in_a_wrong_namespace_is_read() -> None:
    inner = f'<a:AIGC xmlns:a="http://example.com/">{kit.escaped(GB_TEXT)}</a:AIGC>'
    assert in_xmp(inner).state is LabelState.GENERATED


def test_a_packet_that_forgets_its_namespace_is_searched() -> None:
    packet = kit.xmp(f"<TC260:AIGC>{kit.escaped(GB_TEXT)}</TC260:AIGC>")
    broken = packet.replace(f'xmlns:TC260="{kit.TC260}"'.encode(), b"")
    label = read_label(kit.save("JPEG", packet=broken))
    assert label.state is LabelState.GENERATED
    assert "(broken)" in label.signals[0].place
    assert label.signals[-1].unreadable


def test_a_glued_label_is_found_in_any_segment_near_the_start() -> None:
    for marker in (0xE0, 0xE5, 0xFE):
        payload = b"JFIF\0junk AIGC" + GB_TEXT.encode() + b"\0\0"
        assert read_label(kit.jpeg_with((marker, payload))).state is LabelState.GENERATED


def test_a_broken_label_is_unreadable_and_not_silent() -> None:
    label = in_text(AIGC='{"Label": "1", ')
    assert label.state is LabelState.NONE
    assert "AIGC label" in label.signals[0].note
    assert label.note == ABSENCE


@pytest.mark.parametrize(
    "text",
    [
        "AIGC conference 2025",
        'AIGC {"title": "a talk"}',
        '{"AIGC": {"title": "a talk", "Label": "1"}}',
        '{"ServiceProvider": "a bank"}',
        '{"aigc_label_type": 0}',
    ],
)
def test_talk_of_aigc_is_no_label(text: str) -> None:
    assert in_text(Description=text).state is LabelState.NONE


# Generators' settings


@pytest.mark.parametrize(
    ("text", "how"),
    [
        (kit.WEBUI, LabelHow.FULLY_GENERATED),
        (kit.WEBUI + ", Denoising strength: 0.6", LabelHow.EDITED),
        (kit.WEBUI + ", Denoising strength: 0.3, Hires upscale: 2", LabelHow.FULLY_GENERATED),
        (kit.WEBUI + ", Denoising strength: 0.6, Mask blur: 4, Hires x", LabelHow.EDITED),
    ],
)
def test_webui_settings_tell_drawing_from_editing(text: str, how: LabelHow) -> None:
    assert in_text(parameters=text).how is how


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be"])
def test_a_unicode_comment_is_read_in_either_byte_order(codec: str) -> None:
    comment = b"UNICODE\0" + ("ä" + kit.WEBUI).encode(codec)
    label = read_label(kit.save("JPEG", exif=kit.exif(UserComment=comment)))
    assert label.signals[0].mark is Mark.WEBUI


def test_a_comfyui_graph_tells_drawing_from_editing() -> None:
    assert in_text(prompt=kit.COMFY).how is LabelHow.FULLY_GENERATED
    edit = json.dumps(
        {
            "1": {"class_type": "LoadImage", "inputs": {}},
            "2": {"class_type": "KSampler", "inputs": {}},
        }
    )
    assert in_text(prompt=edit).how is LabelHow.EDITED
    workflow = json.dumps({"nodes": [{"type": "KSampler"}], "links": []})
    assert in_text(workflow=workflow).signals[0].mark is Mark.COMFYUI


@pytest.mark.parametrize(
    ("mode", "how"),
    [
        ("txt2img", LabelHow.FULLY_GENERATED),
        ("flux_txt2img", LabelHow.FULLY_GENERATED),
        ("sdxl_img2img", LabelHow.EDITED),
        ("inpaint", LabelHow.EDITED),
        ("outpaint", LabelHow.EDITED),
        ("other", LabelHow.UNKNOWN),
    ],
)
def test_invokeai_says_its_mode(mode: str, how: LabelHow) -> None:
    text = json.dumps({"generation_mode": mode})
    assert in_text(invokeai_metadata=text).how is how


def test_an_older_invokeai_says_its_type() -> None:
    text = json.dumps({"model": "stable diffusion", "image": {"type": "img2img", "steps": 50}})
    assert in_text(**{"sd-metadata": text}).how is LabelHow.EDITED


def test_swarmui_and_settings_without_a_name_are_read() -> None:
    swarm = json.dumps({"sui_image_params": {"prompt": "a", "steps": 20, "seed": 3}})
    assert in_text(parameters=swarm).signals[0].mark is Mark.SWARMUI
    settings = json.dumps({"steps": 20, "seed": 3, "sampler": "Euler", "prompt": "a"})
    assert in_text(Comment=settings).signals[0].mark is Mark.DIFFUSION_SETTINGS
    assert in_text(**{"hf-job-id": "0f8fad5b"}).signals[0].mark is Mark.HUGGINGFACE_JOB


def test_a_midjourney_job_number_is_read() -> None:
    text = "a shoe --ar 3:2 --v 6.1 Job ID: 0f8fad5b-d9cb-469f-a165-70867728950e"
    assert in_text(Description=text).signals[0].mark is Mark.MIDJOURNEY_JOB


@pytest.mark.parametrize(
    "text",
    [
        "Steps: 3 to a better you",
        "Seed: wheat; Sampler: none",
        '{"nodes": [], "links": []}',
        '{"steps": 9000, "heart": 80}',
        "how to prompt",
    ],
)
def test_other_texts_are_no_settings(text: str) -> None:
    assert in_text(Comment=text, Description=text, Title=text).signals == ()


def test_compressed_text_is_read() -> None:
    body = b"parameters\0\0" + zlib.compress(kit.WEBUI.encode())
    assert read_label(kit.png_with(kit.chunk(b"zTXt", body))).signals[0].mark is Mark.WEBUI


def test_a_label_after_the_pixels_is_read() -> None:
    body = b"AIGC\0" + GB_TEXT.encode()
    data = kit.png_with(kit.chunk(b"tEXt", body), after_pixels=True)
    assert read_label(data).state is LabelState.GENERATED


def test_a_raw_profile_as_imagemagick_writes_it_is_read() -> None:
    packet = kit.xmp(attributes=f'Iptc4xmpExt:DigitalSourceType="{kit.AI}"')
    profile = b"\nxmp\n%8d\n" % len(packet) + packet.hex().encode() + b"\n"
    body = b"Raw profile type xmp\0\0" + zlib.compress(profile)
    assert read_label(kit.png_with(kit.chunk(b"zTXt", body))).state is LabelState.GENERATED


# Generators' names


@pytest.mark.parametrize(
    ("text", "product"),
    [
        ("Midjourney", "Midjourney"),
        ("DALL·E 3", "DALL-E"),
        ("OpenAI gpt-image-1", "OpenAI GPT-image"),
        ("Adobe Firefly 4", "Adobe Firefly"),
        ("Ideogram AI", "Ideogram"),
        ("Made with Google AI", "Google AI"),
        ("Gemini 2.5 Flash Image", "Google AI"),
        ("stable-diffusion-xl", "Stable Diffusion"),
        ("豆包", "Doubao"),
        ("即梦AI", "Jimeng / Dreamina"),
        ("FLUX.1 [dev]", "FLUX"),
        ("Bing Image Creator", "Bing Image Creator"),
    ],
)
def test_generators_are_known_by_name(text: str, product: str) -> None:
    assert generator_named(text) == product


@pytest.mark.parametrize(
    "text",
    [
        "Adobe Photoshop 25.0 (Macintosh)",
        "Canon EOS R5",
        "Firefly 8SE",
        "GIMP 2.10",
        "Topaz Photo AI 3",
        "Capture One 23",
        "Gemini Studios",
        "dalle Alpi",
        "imagen 3",
        "Flux Photography",
        "Google Pixel 8 Pro HDR+",
        "Picasa",
        "Leonardo Bianchi",
        "Grokking Ltd",
    ],
)
def test_cameras_editors_and_people_are_no_generators(text: str) -> None:
    assert generator_named(text) == ""


def test_an_edit_with_google_ai_is_an_edit() -> None:
    label = in_xmp(attributes='photoshop:Credit="Edited with Google AI"')
    assert (label.state, label.how) == (LabelState.SUSPECTED, LabelHow.EDITED)


def test_a_generator_in_a_caption_or_a_title_is_no_label() -> None:
    inner = "<dc:title>Midjourney beats DALL-E 3</dc:title><dc:description>ChatGPT</dc:description>"
    assert in_xmp(inner).signals == ()
    assert in_text(Title="Midjourney", Description="Adobe Firefly").signals == ()


@pytest.mark.parametrize(
    "step",
    ["Generative Fill", "Generative Expand", "生成式填充", "Generative Füllung", "生成塗りつぶし"],
)
def test_generative_steps_are_read_in_the_users_language(step: str) -> None:
    label = in_xmp(f"<photoshop:History>Open&#10;{step}&#10;Save</photoshop:History>")
    assert (label.state, label.how) == (LabelState.SUSPECTED, LabelHow.EDITED)


def test_a_history_of_plain_editing_is_no_label() -> None:
    inner = (
        "<photoshop:History>Content-Aware Fill&#10;Levels</photoshop:History>"
        '<xmpMM:History><rdf:Seq><rdf:li stEvt:action="saved" '
        'stEvt:softwareAgent="Adobe Photoshop 25.0"/></rdf:Seq></xmpMM:History>'
    )
    assert in_xmp(inner).signals == ()


def test_a_firefly_step_in_the_event_list_is_read() -> None:
    inner = (
        '<xmpMM:History><rdf:Seq><rdf:li stEvt:action="edited" '
        'stEvt:parameters="Generative Remove"/></rdf:Seq></xmpMM:History>'
    )
    assert in_xmp(inner).signals[0].mark is Mark.PHOTOSHOP_GENERATIVE


# The decision


def signal(
    state: LabelState, trust: LabelTrust, how: LabelHow = LabelHow.UNKNOWN, place: str = "p"
) -> LabelSignal:
    """A signal with these weights."""
    return LabelSignal(Mark.C2PA, place, trust, "v", "n", state, how)


def test_the_strongest_state_wins_and_comes_first() -> None:
    weak = signal(LabelState.SUSPECTED, LabelTrust.TRACE)
    strong = signal(LabelState.GENERATED, LabelTrust.SELF_DECLARED)
    label = decide([weak, strong])
    assert label.state is LabelState.GENERATED
    assert label.signals == (strong, weak)
    assert label.note == "n"


def test_how_is_what_the_most_trusted_says() -> None:
    signed = signal(LabelState.GENERATED, LabelTrust.SIGNED, LabelHow.COMPOSITE)
    claimed = signal(LabelState.GENERATED, LabelTrust.SELF_DECLARED, LabelHow.FULLY_GENERATED)
    assert decide([claimed, signed]).how is LabelHow.COMPOSITE


def test_a_declaration_alone_is_possibly() -> None:
    label = read_label(kit.plain(), declared=True)
    assert label.state is LabelState.POSSIBLY
    assert read_label(kit.save("PNG", text={"AIGC": GB_TEXT}), declared=True).state is (
        LabelState.GENERATED
    )
    assert read_label(b"no picture", declared=True).state is LabelState.POSSIBLY


def test_absence_never_claims_a_photograph() -> None:
    assert "does not mean" in read_label(kit.plain()).note


def test_a_trace_never_says_more_than_suspected() -> None:
    label = in_text(parameters=kit.WEBUI, Software="Midjourney", prompt=kit.COMFY)
    assert {s.trust for s in label.signals} == {LabelTrust.TRACE}
    assert label.state is LabelState.SUSPECTED


def test_values_are_short_and_printable() -> None:
    assert len(clipped("x" * 10_000)) == MAX_VALUE_CHARS
    assert clipped("a\n\0b\x1b[31m") == "a �b�[31m"


# TIFF


def test_big_tiff_and_either_byte_order_are_read() -> None:
    text = b"Midjourney\0"
    for order, mark in (("<", b"II"), (">", b"MM")):
        entry = struct.pack(order + "HHII", 0x0131, 2, len(text), 26)
        plain = mark + struct.pack(order + "HIH", 42, 8, 1) + entry + struct.pack(order + "I", 0)
        assert read_label(plain + text).signals[0].mark is Mark.GENERATOR
        assert read_label(kit.big_tiff(order)).signals[0].mark is Mark.GENERATOR
