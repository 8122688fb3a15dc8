"""The families of marks that are read from a file's fields, in the order they are tried.

A new family is one module with `read(survey) -> Iterator[LabelSignal]` and one line here.
C2PA is not in the list: it needs the whole file, see `content_credentials`.
"""

from collections.abc import Callable, Iterator

from models.labels import diffusion, digital_source, gb45438, generators, photoshop
from models.labels.label import LabelSignal
from models.labels.survey import Survey

Family = Callable[[Survey], Iterator[LabelSignal]]

FAMILIES: dict[str, Family] = {
    "IPTC": digital_source.read,
    "GB 45438": gb45438.read,
    "diffusion settings": diffusion.read,
    "generator names": generators.read,
    "editing history": photoshop.read,
}
