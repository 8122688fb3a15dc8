"""Explaining a match: what kind of copy it is, where it lies, what was edited, and why.

The words and numbers that a person reads about one original that a listing may be made from.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from index.records import OriginalRecord
from models.detail import Detail, read_preview
from models.images import Picture, UInt8Array
from models.sketch import Sketch
from service.matching import decide
from service.matching.alignment import alignment
from service.matching.edits import find_edits
from service.matching.looks import Weighed
from service.matching.originals import Originals
from service.matching.results import Alignment, Edit, Match, MatchKind, Verdict
from service.matching.score import ScoreModels
from service.matching.study import Study, study

_SECOND = "the original"


def identical(record: OriginalRecord) -> Match:
    """The match with an original that has the same bytes or the same pixels."""
    return decide.identical(record.key, _name(record), _brand(record), _name(record))


def identical_pair() -> Match:
    """Likewise of two pictures that were handed in together."""
    return decide.identical(0, "", "", _SECOND)


def blank_among(listing: Picture, original: Picture) -> str:
    """Say which of two pictures shows nothing; empty when both show something."""
    empty = [
        what
        for what, picture in (("listing picture", listing), ("original", original))
        if picture.featureless
    ]
    if not empty:
        return ""
    are = "are" if len(empty) > 1 else "is"
    return f"The {' and the '.join(empty)} {are} blank or nearly so: there is nothing to compare."


def file_of(what: str, picture: Picture) -> str:
    """Say by what anybody can tell that this was the file."""
    return (
        f"{what}: {picture.width_px} x {picture.height_px} pixels, {picture.format}, "
        f"SHA-256 of the file {picture.sha256.hex()}."
    )


@dataclass(frozen=True, slots=True)
class Explainer:
    """Explains candidates. Any thread may call it.

    Attributes:
        catalogue: where the originals are looked at.
        models: the scores that the evidence is told by.
    """

    catalogue: Originals
    models: ScoreModels

    def match(
        self,
        picture: Picture | Sketch,
        weighed: Weighed,
        thresholds: Mapping[str, float],
        original: Picture | None = None,
    ) -> Match:
        """Explain one candidate; `original` is given when it is not in the catalogue."""
        record, checked = weighed.candidate.record, weighed.verification
        name = _SECOND if original else _name(record)
        # A candidate that was not looked at closely is never held against anybody.
        verdict = Verdict.CLEAR if checked is None else decide.verdict_of(weighed.score, thresholds)
        sizes = (picture.width_px, picture.height_px), (record.width_px, record.height_px)
        placed: Alignment | None = None
        seen: Study | None = None
        if checked is not None:
            placed = alignment(checked.agreement.matrix, *sizes)
        # A sketch has neither colours nor detail to compare.
        whole = isinstance(picture, Picture)
        if whole and checked is not None and verdict is not Verdict.CLEAR:
            pixels = original.rgb if original else self._preview(record, checked.detail)
            seen = study(
                checked.straight(picture.rgb),
                pixels,
                checked.agreement.matrix,
                checked.detail.subject,
                sizes[1],
                checked.bend.amount if checked.bend else 0.0,
            )
            placed = seen.placed if seen is not None else placed
        kind = decide.kind_of(weighed.values, weighed.restyle, placed, seen)
        found: tuple[Edit, ...] = ()
        beside = decide.from_beside(weighed.values)
        if seen is not None:
            # What differs between two views of a thing, or in a picture drawn anew, is no edit.
            drawn = kind is MatchKind.RESTYLED
            found = find_edits(seen, *sizes, restyled=drawn) if not beside else ()
        return Match(
            key=record.key,
            original="" if original else name,
            brand="" if original else _brand(record),
            kind=kind,
            verdict=verdict,
            score=weighed.score,
            evidence=decide.evidence_of(weighed.values, self.models.asking(weighed.values)),
            alignment=placed,
            edits=found,
            note=decide.sentence(
                kind,
                verdict,
                name,
                weighed.score,
                placed,
                found,
                beside=beside,
                sibling=decide.of_a_sibling(weighed.values),
            ),
        )

    def _preview(self, record: OriginalRecord, detail: Detail) -> UInt8Array:
        """The original to look at; its thumbnail when it was withdrawn a moment ago."""
        coded = self.catalogue.previews_many([record.key])[0]
        return detail.thumbnail if coded is None else read_preview(coded)


def _name(record: OriginalRecord) -> str:
    return f"brands/{record.brand}/originals/{record.original}"


def _brand(record: OriginalRecord) -> str:
    return f"brands/{record.brand}"
