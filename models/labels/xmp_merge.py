"""Put a few properties into an XMP packet, leaving every other one as it is.

The packet's text is edited in place, between byte offsets that expat reports, since a parse
and a new serialisation would lose prefixes, padding and the wrapper. What was done is then
checked: every other property must come out of the new packet as it came out of the old.
"""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, NoReturn
from xml.parsers import expat
from xml.sax.saxutils import escape, quoteattr

from models.labels.xmp import MAX_DEPTH, PREFIXES, RDF, to_utf8

MAX_PACKET_BYTES = 4 << 20
_DESCRIPTION = f"{RDF} Description"
_START_TAG = re.compile(rb"<[^\"'>]*(?:\"[^\"]*\"[^\"'>]*|'[^']*'[^\"'>]*)*>")
_PADDING = re.compile(rb"\s+(?=<\?xpacket\s+end)")
_NEW = (
    '<?xpacket begin="\N{ZERO WIDTH NO-BREAK SPACE}" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/">\n'
    f' <rdf:RDF xmlns:rdf="{RDF}">\n'
    " </rdf:RDF>\n"
    "</x:xmpmeta>\n"
    '<?xpacket end="w"?>'
).encode()


class XmpUnmergeable(ValueError):
    """The picture's own XMP can not be extended without loss; `note` says why."""

    reason: ClassVar[str] = "XMP_UNMERGEABLE"

    def __init__(self, note: str) -> None:
        super().__init__(f"the picture's XMP can not be extended without loss: {note}")
        self.note = note


def merge(packet: bytes | None, properties: Mapping[str, str]) -> bytes:
    """Set properties in a packet.

    Args:
        packet: the old packet; None makes a new one.
        properties: value of each `namespace local` (as in `xmp.WANTED`); an old value of the
            same name is replaced.

    Returns:
        The new packet, in UTF-8.

    Raises:
        XmpUnmergeable: the old packet is broken, too large, declares a document type, has no
            `rdf:RDF`, or would not keep all of its other properties.
    """
    old = _NEW if packet is None else to_utf8(packet)
    if len(old) > MAX_PACKET_BYTES:
        raise XmpUnmergeable(f"it has {len(old)} bytes")
    outline = _outline(old, set(properties))
    cuts = sorted(outline.cuts)
    if outline.rdf_end < 0:
        raise XmpUnmergeable("it has no rdf:RDF element")
    new = bytearray()
    at = 0
    for start, end in [*cuts, (outline.rdf_end, outline.rdf_end)]:
        new += old[at : max(at, start)]
        at = max(at, end)
    addition = _description(outline.about, properties)
    if outline.rdf_empty:  # <rdf:RDF .../> becomes a pair of tags
        name = re.match(rb"<([^\s/>]+)", old[outline.rdf_start :])
        assert name is not None
        slash = new.rindex(b"/")
        new[slash:] = b">" + addition + b"</" + name[1] + b">"
    else:
        new += addition
    new += old[at:]
    merged = bytes(new)
    kept = outline.leaves
    again = _outline(merged, set(properties)).leaves
    if kept != again:
        lost = [f"{path[-1]}" for path, _ in (kept - again)] or ["its structure"]
        raise XmpUnmergeable(f"it would lose {lost[0]}")
    return merged


def without_padding(packet: bytes) -> bytes:
    """The packet without the white space that is kept for editing in place."""
    return _PADDING.sub(b"\n", packet, count=1)


def _description(about: str, properties: Mapping[str, str]) -> bytes:
    namespaces = {name.split(" ")[0] for name in properties}
    declared = "".join(
        f"\n    xmlns:{PREFIXES[uri]}={quoteattr(uri)}" for uri in sorted(namespaces)
    )
    lines = []
    for name, value in properties.items():
        uri, local = name.split(" ")
        tag = f"{PREFIXES[uri]}:{local}"
        lines.append(f"   <{tag}>{escape(value)}</{tag}>\n")
    body = "".join(lines)
    return (
        f'  <rdf:Description xmlns:rdf="{RDF}" rdf:about={quoteattr(about)}{declared}>\n'
        f"{body}  </rdf:Description>\n "
    ).encode()


@dataclass(slots=True)
class _Outline:
    """What is needed of a packet to edit it.

    Attributes:
        cuts: byte spans of the properties to replace.
        leaves: every other property with its value, with path.
        about: `rdf:about` of the first description.
        rdf_start, rdf_end: where `rdf:RDF` starts, and where its content ends.
        rdf_empty: whether it is an empty-element tag.
    """

    cuts: list[tuple[int, int]]
    leaves: Counter[tuple[tuple[str, ...], str]]
    about: str = ""
    rdf_start: int = -1
    rdf_end: int = -1
    rdf_empty: bool = False


def _outline(packet: bytes, replaced: set[str]) -> _Outline:
    walk = _Walk(packet, replaced)
    try:
        walk.parser.Parse(packet, True)
    except expat.ExpatError as error:
        raise XmpUnmergeable(f"it is not well-formed: {expat.ErrorString(error.code)}") from None
    return walk.outline


class _Walk:
    """One pass of expat over a packet."""

    def __init__(self, packet: bytes, replaced: set[str]) -> None:
        self.packet = packet
        self.replaced = replaced
        self.outline = _Outline([], Counter())
        self.path: list[str] = []
        self.text: list[str] = []
        self.cut_depth = 0
        self.cut_start = 0
        parser = expat.ParserCreate(namespace_separator=" ")
        parser.namespace_prefixes = True
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        parser.StartDoctypeDeclHandler = self._doctype
        self.parser = parser

    def _doctype(self, *_: object) -> NoReturn:
        raise XmpUnmergeable("it declares a document type")

    def _start(self, raw_name: str, raw_attributes: dict[str, str]) -> None:
        name = _expanded(raw_name)
        at = self.parser.CurrentByteIndex
        self._flush()
        parent = self.path[-1] if self.path else ""
        self.path.append(name)
        if len(self.path) > MAX_DEPTH:
            raise XmpUnmergeable(f"it is nested deeper than {MAX_DEPTH}")
        if name == f"{RDF} RDF" and self.outline.rdf_start < 0:
            self.outline.rdf_start = at
        if self.cut_depth:
            return
        if name in self.replaced and parent == _DESCRIPTION:
            self.cut_depth, self.cut_start = len(self.path), at
            return
        described = name == _DESCRIPTION
        for raw_key, value in raw_attributes.items():
            key = _expanded(raw_key)
            if described and key in self.replaced:
                self._cut_attribute(at, raw_key)
            elif described and key in (f"{RDF} about", "about"):
                self.outline.about = self.outline.about or value
            else:
                self.outline.leaves[(*self.path, f"@{key}"), value] += 1

    def _cut_attribute(self, at: int, raw_key: str) -> None:
        tag = _START_TAG.match(self.packet, at)
        parts = raw_key.split(" ")
        qualified = f"{parts[2]}:{parts[1]}" if len(parts) == 3 else parts[-1]
        pattern = rb"\s+" + re.escape(qualified.encode()) + rb"\s*=\s*(?:\"[^\"]*\"|'[^']*')"
        found = re.search(pattern, tag[0]) if tag else None
        if found is None:
            raise XmpUnmergeable(f"{qualified} is not found in its tag")
        self.outline.cuts.append((at + found.start(), at + found.end()))

    def _characters(self, text: str) -> None:
        self.text.append(text)

    def _flush(self) -> None:
        text = "".join(self.text).strip()
        self.text = []
        if text and not self.cut_depth:
            self.outline.leaves[tuple(self.path), text] += 1

    def _end(self, _raw_name: str) -> None:
        at = self.parser.CurrentByteIndex
        self._flush()
        name = self.path[-1]
        if name == f"{RDF} RDF" and self.outline.rdf_end < 0:
            tag = _START_TAG.match(self.packet, self.outline.rdf_start)
            empty = tag is not None and tag[0].endswith(b"/>")
            self.outline.rdf_empty = empty
            self.outline.rdf_end = tag.end() if tag and empty else at
        if self.cut_depth == len(self.path):
            self.outline.cuts.append((self.cut_start, self._element_end(at)))
            self.cut_depth = 0
        self.path.pop()

    def _element_end(self, at: int) -> int:
        """The offset after the end tag at `at`, or after the empty tag that started the cut."""
        if self.packet[at : at + 2] == b"</":
            return self.packet.index(b">", at) + 1
        tag = _START_TAG.match(self.packet, self.cut_start)
        if tag is None:
            raise XmpUnmergeable("a property's tag is not found")
        return tag.end()


def _expanded(raw: str) -> str:
    """`uri local` out of expat's `uri local prefix`."""
    parts = raw.split(" ")
    return f"{parts[0]} {parts[1]}" if len(parts) == 3 else raw
