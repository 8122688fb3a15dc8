"""XMP packets: the few properties that can carry a mark, through a bounded XML parser.

Expat is driven directly: no tree is built, a document type is refused before an entity can
be declared, depth and work are bounded, and only wanted values are collected. A packet that
is not well-formed keeps what was read before the fault, and is searched once more with two
patterns, since writers of labels are known to forget namespaces and escapes.
"""

import html
import re
from typing import NoReturn
from xml.parsers import expat

from models.labels.budget import (
    US_PER_PACKET,
    US_PER_XML_BYTE,
    US_PER_XML_EVENT,
    BlockUnreadable,
)
from models.labels.survey import Layer, Survey

TC260 = "http://www.tc260.org.cn/ns/AIGC/1.0/"
IPTC_EXT = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
PREFIXES = {
    TC260: "TC260",
    IPTC_EXT: "Iptc4xmpExt",
    "http://ns.adobe.com/photoshop/1.0/": "photoshop",
    "http://ns.adobe.com/xap/1.0/": "xmp",
    "http://ns.adobe.com/xap/1.0/sType/ResourceEvent#": "stEvt",
    "http://ns.adobe.com/tiff/1.0/": "tiff",
    "http://ns.adobe.com/exif/1.0/": "exif",
    "http://purl.org/dc/elements/1.1/": "dc",
    "http://purl.org/dc/terms/": "dcterms",
    "http://ns.adobe.com/camera-raw-settings/1.0/": "crs",
}
_WANTED_NAMES = {
    "TC260": (
        "AIGC Label ContentProducer ProduceID ReservedCode1 ContentPropagator PropagateID"
        " ReservedCode2"
    ),
    "Iptc4xmpExt": (
        "DigitalSourceType DigitalSourcefileType DigitalSourceFileType AISystemUsed"
        " AISystemVersionUsed AIPromptInformation AIPromptWriterName"
    ),
    "photoshop": "Credit Source History Instructions Headline",
    "xmp": "CreatorTool",
    "stEvt": "action parameters softwareAgent",
    "tiff": "Software Make Model ImageDescription Artist",
    "exif": "UserComment",
    "dc": "description creator title source",
    "dcterms": "provenance",
    "crs": "SpotType Method Software",
}
WANTED = {
    f"{uri} {local}": f"{prefix}:{local}"
    for uri, prefix in PREFIXES.items()
    for local in _WANTED_NAMES[prefix].split()
}

MAX_DEPTH = 64
MAX_PACKET_BYTES = 4 << 20
FEED_BYTES = 1 << 17
MAX_TAG_BYTES = 1 << 20
MAX_SALVAGE_BYTES = 1 << 18
_BOMS = (
    (b"\xef\xbb\xbf", ""),
    (b"\xff\xfe\0\0", "utf-32-le"),
    (b"\0\0\xfe\xff", "utf-32-be"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)
_SALVAGE = (
    (
        "TC260:AIGC",
        re.compile(
            rb"\bAIGC(?:\s{0,8}=\s{0,8}[\"'](?=[{&])|>\s{0,64}(?=[{&]))([^<>]{2,8192}?)[\"']?\s{0,64}[<>/]"
        ),
    ),
    (
        "Iptc4xmpExt:DigitalSourceType",
        re.compile(rb"DigitalSourceType(?:\s{0,8}=\s{0,8}[\"']|>\s{0,64})([\w:/.\-]{4,200})"),
    ),
)


def read_xmp(block: bytes | memoryview, place: str, survey: Survey) -> None:
    """Add the wanted properties of one packet, as fields named `prefix:local`."""
    survey.budget.charge(US_PER_PACKET)
    if len(block) > MAX_PACKET_BYTES:
        survey.problem(place, f"XMP of {len(block)} bytes is read up to {MAX_PACKET_BYTES}")
    packet = to_utf8(bytes(block[:MAX_PACKET_BYTES]))
    reader = _Reader(place, survey)
    try:
        reader.feed(packet)
    except BlockUnreadable as refusal:
        if survey.budget.spent:
            raise
        survey.problem(place, refusal.note)
        if not reader.refused:
            _salvage(packet, place, survey, reader.found)


def to_utf8(packet: bytes) -> bytes:
    """The packet from its first `<` on, in UTF-8, without the padding after it."""
    head = packet[:64]
    codec = _guess(head)
    for bom, named in _BOMS:
        if head.startswith(bom):
            packet, codec = packet[len(bom) :], named
            break
    if codec:
        packet = packet.decode(codec, errors="replace").encode()
        packet = re.sub(
            rb"(<\?xml[^>]{0,80}?)\sencoding=[\"'][^\"']{0,20}[\"']", rb"\1", packet, count=1
        )
    start = packet.find(b"<")
    return packet[max(start, 0) :].rstrip(b"\0 \t\r\n")


def _guess(head: bytes) -> str:
    for codec in ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"):
        if head.startswith(("<?".encode(codec), "<x".encode(codec))):
            return codec
    return ""


class _Reader:
    """One expat parser, and the wanted values that it has come across."""

    def __init__(self, place: str, survey: Survey) -> None:
        self.place = place
        self.survey = survey
        self.budget = survey.budget
        self.depth = 0
        self.found: set[str] = set()
        self.refused = False
        self.open_name = ""
        self.open_depth = 0
        self.text: list[str] = []
        self.text_chars = 0
        parser = expat.ParserCreate(namespace_separator=" ")
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.StartDoctypeDeclHandler = self._doctype
        self.parser = parser

    def feed(self, packet: bytes) -> None:
        try:
            for at in range(0, len(packet), FEED_BYTES):
                piece = packet[at : at + FEED_BYTES]
                self.budget.charge(US_PER_XML_BYTE * len(piece))
                self.parser.Parse(piece, False)
                if at + len(piece) - self.parser.CurrentByteIndex > MAX_TAG_BYTES:
                    self.refused = True
                    raise BlockUnreadable(f"XMP with a tag of more than {MAX_TAG_BYTES} bytes")
            self.parser.Parse(b"", True)
        except expat.ExpatError as error:
            raise BlockUnreadable(
                f"XMP is not well-formed: {expat.ErrorString(error.code)}"
            ) from None

    def _doctype(self, *_: object) -> NoReturn:
        self.refused = True
        raise BlockUnreadable("XMP with a document type declaration is refused")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self.depth += 1
        self.budget.charge(US_PER_XML_EVENT * (1 + len(attributes)))
        if self.depth > MAX_DEPTH:
            self.refused = True
            raise BlockUnreadable(f"XMP is nested deeper than {MAX_DEPTH}")
        for key, value in attributes.items():
            wanted = _wanted(key)
            if wanted:
                self._emit(wanted, value)
        wanted = _wanted(name)
        if wanted:
            self.open_name, self.open_depth = wanted, self.depth
            self.text, self.text_chars = [], 0
            self.parser.CharacterDataHandler = self._characters
            resource = attributes.get(f"{RDF} resource", "")
            if resource:
                self._emit(wanted, resource)
        elif self.open_name and f"{RDF} resource" in attributes:
            self._emit(self.open_name, attributes[f"{RDF} resource"])

    def _characters(self, text: str) -> None:
        self.budget.charge(US_PER_XML_EVENT)
        if self.text_chars < 1 << 20:
            self.text.append(text)
            self.text_chars += len(text)

    def _end(self, _name: str) -> None:
        if self.open_name and self.depth <= self.open_depth + 2 and self.text:
            # The end of the property, or of an item of the list in it.
            self._emit(self.open_name, "".join(self.text))
            self.text, self.text_chars = [], 0
        if self.depth == self.open_depth:
            self.open_name, self.open_depth = "", 0
            self.parser.CharacterDataHandler = None
        self.depth -= 1

    def _emit(self, name: str, value: str) -> None:
        if value.strip():
            self.found.add(name)
            self.survey.add(Layer.XMP, name, value, f"{self.place}/{name}")


def _wanted(expanded: str) -> str:
    """The canonical name of a wanted property, or nothing."""
    name = WANTED.get(expanded, "")
    if not name and expanded.endswith(" AIGC"):
        return f"{{{expanded[:-5]}}}AIGC"[:120]  # the right word in a namespace of one's own
    return name


def _salvage(packet: bytes, place: str, survey: Survey, found: set[str]) -> None:
    survey.budget.charge(US_PER_XML_BYTE * 4 * min(len(packet), MAX_SALVAGE_BYTES))
    for name, pattern in _SALVAGE:
        match = None if name in found else pattern.search(packet, 0, MAX_SALVAGE_BYTES)
        if match:
            text = html.unescape(match[1].decode("utf-8", errors="replace"))
            survey.add(Layer.XMP, name, text, f"{place} (broken)/{name}")
