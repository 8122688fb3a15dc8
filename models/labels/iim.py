"""Photoshop image resources, and the IPTC-IIM records in them.

IIM is the older of the two IPTC forms. It has no DigitalSourceType, but credit and
program names, which some generators fill ("Made with Google AI" in 2:110).
"""

from models.labels.budget import US_PER_BLOCK
from models.labels.survey import Layer, Survey, decode_text
from models.labels.xmp import read_xmp

DATA_SETS = {
    5: "ObjectName",
    40: "SpecialInstructions",
    65: "OriginatingProgram",
    80: "By-line",
    105: "Headline",
    110: "Credit",
    115: "Source",
    120: "Caption-Abstract",
}
IIM_RESOURCE, XMP_RESOURCE = 0x0404, 0x0424
MAX_RESOURCES = 512
MAX_RECORDS = 2048


def read_resources(block: bytes | memoryview, place: str, survey: Survey) -> None:
    """Read a chain of `8BIM` resources: the IIM and the XMP one."""
    view = memoryview(block)
    at = 0
    for _ in range(MAX_RESOURCES):
        if at + 12 > len(view):
            return
        survey.budget.charge(US_PER_BLOCK)
        if bytes(view[at : at + 4]) != b"8BIM":
            survey.problem(place, "broken chain of Photoshop resources")
            return
        kind = int.from_bytes(view[at + 4 : at + 6])
        name_bytes = 1 + view[at + 6]
        at += 6 + name_bytes + name_bytes % 2
        size = int.from_bytes(view[at : at + 4])
        at += 4
        if at + size > len(view):
            survey.problem(place, f"Photoshop resource claims {size} bytes")
            size = max(0, len(view) - at)
        value = view[at : at + size]
        if kind == IIM_RESOURCE:
            read_iim(value, f"{place}/IIM", survey)
        elif kind == XMP_RESOURCE:
            read_xmp(value, f"{place}/XMP", survey)
        at += size + size % 2
    survey.problem(place, f"more than {MAX_RESOURCES} Photoshop resources")


def read_iim(block: bytes | memoryview, place: str, survey: Survey) -> None:
    """Read the IIM application record (2): the data sets of `DATA_SETS`."""
    view = memoryview(block)
    at = 0
    for _ in range(MAX_RECORDS):
        if at + 5 > len(view) or view[at] != 0x1C:
            return  # padding may follow the last record
        survey.budget.charge(US_PER_BLOCK)
        record, data_set = view[at + 1], view[at + 2]
        size = int.from_bytes(view[at + 3 : at + 5])
        at += 5
        if size & 0x8000:
            width = size & 0x7FFF
            if width > 8:
                survey.problem(place, f"IIM length in {width} bytes")
                return
            size = int.from_bytes(view[at : at + width])
            at += width
        if at + size > len(view):
            survey.problem(place, f"IIM data set {record}:{data_set} claims {size} bytes")
            size = max(0, len(view) - at)
        if record == 2 and data_set in DATA_SETS:
            name = DATA_SETS[data_set]
            text = decode_text(bytes(view[at : at + size]))
            survey.add(Layer.IIM, name, text, f"{place}/{name}")
        at += size
    survey.problem(place, f"more than {MAX_RECORDS} IIM data sets")
