"""Round trips with exiftool: it shows what we write, and we read what it writes."""

import json
from pathlib import Path

import pytest

from models.labels.label import LabelHow, LabelState, Mark
from models.labels.read import read_label
from models.labels.write import LabelText, Propagation, write_label
from tests.labels import kit

pytestmark = pytest.mark.skipif(kit.EXIFTOOL is None, reason=kit.NO_EXIFTOOL)

OURS = Propagation("Our Market", "item-42")
FULL = LabelText(LabelState.GENERATED, LabelHow.COMPOSITE, "maker", "m-1")
SUFFIX = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp", "GIF": "gif", "TIFF": "tif", "AVIF": "avif"}


def edited(container: str, directory: Path, *arguments: str) -> bytes:
    """A picture after exiftool has written into it."""
    path = directory / f"picture.{SUFFIX[container]}"
    path.write_bytes(kit.plain(container))
    kit.exiftool("-overwrite_original", *arguments, path)
    return path.read_bytes()


@pytest.mark.parametrize("container", ["JPEG", "PNG", "WEBP"])
def test_exiftool_shows_what_we_write(container: str, tmp_path: Path) -> None:
    written = write_label(kit.plain(container), OURS, FULL)
    tags = ("-XMP-TC260:AIGC", "-XMP-iptcExt:DigitalSourceType", "-validate", "-warning")
    shown = kit.exif_read(written, tmp_path, *tags, suffix=SUFFIX[container])
    label = json.loads(shown["XMP-TC260:AIGC"])
    assert label["ContentPropagator"] == "Our Market"
    assert label["PropagateID"] == "item-42"
    assert label["Label"] == "1"
    assert (
        "Edited" in shown["XMP-iptcExt:DigitalSourceType"]
        or "omposite" in (shown["XMP-iptcExt:DigitalSourceType"])
    )
    assert "Warning" not in " ".join(shown), shown


@pytest.mark.parametrize("container", ["JPEG", "PNG", "WEBP"])
def test_exiftool_finds_no_fault_after_a_merge(container: str, tmp_path: Path) -> None:
    arguments = ("-XMP-dc:Title=kept", "-XMP-photoshop:Credit=kept too", "-XMP-xmp:Rating=5")
    written = write_label(edited(container, tmp_path, *arguments), OURS, FULL)
    shown = kit.exif_read(written, tmp_path, "-XMP:all", "-warning", suffix=SUFFIX[container])
    assert shown["XMP-dc:Title"] == "kept"
    assert shown["XMP-photoshop:Credit"] == "kept too"
    assert shown["XMP-xmp:Rating"] == 5
    assert "XMP-TC260:AIGC" in shown
    assert not [name for name in shown if "Warning" in name], shown


@pytest.mark.parametrize("container", list(SUFFIX))
def test_we_read_the_tc260_label_that_exiftool_writes(container: str, tmp_path: Path) -> None:
    data = edited(container, tmp_path, f"-XMP-TC260:AIGC={json.dumps(kit.GB)}")
    label = read_label(data)
    assert label.state is LabelState.GENERATED
    assert label.signals[0].mark is Mark.GB45438
    assert json.loads(label.signals[0].value) == kit.GB


@pytest.mark.parametrize("container", list(SUFFIX))
@pytest.mark.parametrize(
    ("term", "state", "how"),
    [
        ("trainedAlgorithmicMedia", LabelState.GENERATED, LabelHow.FULLY_GENERATED),
        ("compositeWithTrainedAlgorithmicMedia", LabelState.GENERATED, LabelHow.COMPOSITE),
        ("algorithmicallyEnhanced", LabelState.POSSIBLY, LabelHow.ENHANCED),
        ("digitalCapture", LabelState.NONE, LabelHow.UNKNOWN),
    ],
)
def test_we_read_the_digital_source_type_that_exiftool_writes(
    container: str, term: str, state: LabelState, how: LabelHow, tmp_path: Path
) -> None:
    data = edited(container, tmp_path, f"-XMP-iptcExt:DigitalSourceType#={kit.IPTC}{term}")
    label = read_label(data)
    assert (label.state, label.how) == (state, how)


@pytest.mark.parametrize("container", list(SUFFIX))
def test_we_read_the_iptc_ai_fields_that_exiftool_writes(container: str, tmp_path: Path) -> None:
    data = edited(
        container,
        tmp_path,
        "-XMP-iptcExt:AISystemUsed=Imaginer",
        "-XMP-iptcExt:AISystemVersionUsed=3",
        "-XMP-iptcExt:AIPromptInformation=a shoe",
        "-XMP-iptcExt:AIPromptWriterName=me",
    )
    label = read_label(data)
    assert label.state is LabelState.GENERATED
    assert [s.mark for s in label.signals] == [Mark.IPTC_AI] * 4


@pytest.mark.parametrize("container", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_we_read_the_exif_that_exiftool_writes(container: str, tmp_path: Path) -> None:
    data = edited(container, tmp_path, f"-EXIF:UserComment={kit.WEBUI}", "-EXIF:Software=DALL-E 3")
    marks = {signal.mark for signal in read_label(data).signals}
    assert marks == {Mark.WEBUI, Mark.GENERATOR}


@pytest.mark.parametrize("arguments", [("-z",), ()], ids=["compressed", "plain"])
def test_we_read_the_png_text_that_exiftool_writes(
    arguments: tuple[str, ...], tmp_path: Path
) -> None:
    data = edited(
        "PNG", tmp_path, *arguments, "-PNG:Software=NovelAI", f"-PNG:Comment={kit.WEBUI * 20}"
    )
    marks = {signal.mark for signal in read_label(data).signals}
    assert Mark.NOVELAI in marks


@pytest.mark.parametrize("container", ["JPEG", "TIFF"])
def test_we_read_the_iim_credit_that_exiftool_writes(container: str, tmp_path: Path) -> None:
    data = edited(container, tmp_path, "-IPTC:Credit=Made with Google AI")
    label = read_label(data)
    assert label.state is LabelState.SUSPECTED
    assert label.signals[0].place.endswith("IIM/Credit")


def test_extended_xmp_of_several_segments_is_read(tmp_path: Path) -> None:
    data = edited("JPEG", tmp_path, f"-XMP-dc:Description={'long text ' * 12000}")
    assert b"http://ns.adobe.com/xmp/extension/" in data
    assert not [s for s in read_label(data).signals if s.unreadable]


def test_the_metadata_of_real_cameras_and_editors_is_no_label(tmp_path: Path) -> None:
    """What a photograph carries: camera EXIF, Lightroom's XMP, an agency's IIM."""
    arguments = (
        "-Make=Apple",
        "-Model=iPhone 15 Pro",
        "-Software=17.5.1",
        "-HostComputer=iPhone 15 Pro",
        "-LensModel=iPhone 15 Pro back triple camera 6.765mm f/1.78",
        "-UserComment=ASCII",
        "-XMP-xmp:CreatorTool=Adobe Photoshop Lightroom Classic 13.3 (Macintosh)",
        "-XMP-iptcExt:DigitalSourceType#=" + kit.IPTC + "digitalCapture",
        "-XMP-dc:Description=Writers protest against Midjourney and ChatGPT, Job fair",
        "-XMP-dc:Title=Firefly on a leaf; generative art fair",
        "-IPTC:Credit=Getty Images",
        "-IPTC:Caption-Abstract=OpenAI boss Sam Altman; steps: 20; seed: 5",
        "-IPTC:By-line=Leonardo Grok",
        "-Artist=Dalle Alessandro",
        "-Comment=AIGC conference in Beijing",
    )
    for container in ("JPEG", "TIFF"):
        label = read_label(edited(container, tmp_path, *arguments))
        assert label.signals == (), label
