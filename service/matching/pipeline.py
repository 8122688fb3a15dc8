"""From a listing picture to a verdict with its evidence: the product, top to bottom.

Decode, look for the same bytes or pixels, weigh the candidates (`service.matching.weigh`),
decide, and explain each match: kind, alignment, edits, evidence. The same weighing compares
two pictures that are handed in together.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from importlib.metadata import version

from index.records import OriginalRecord
from models.detail import read_preview
from models.fingerprint import Fingerprinter, ListingPrint, ViewPrint
from models.images import decode
from models.print_record import PrintRecord, to_record
from models.sketch import Kept, Sketch
from service.matching.calibration import Calibration
from service.matching.clock import Clock
from service.matching.drawing import draw
from service.matching.explain import (
    Explainer,
    blank_among,
    file_of,
    identical,
    identical_pair,
)
from service.matching.looks import Weighed
from service.matching.originals import Originals
from service.matching.pair import weigh_pair
from service.matching.policies import Policies
from service.matching.results import (
    CheckOptions,
    Comparison,
    ImageVerdict,
    Match,
    Provenance,
    Verdict,
)
from service.matching.score import ScoreModels
from service.matching.weigh import Weigher

_BLANK = "The picture is blank or nearly so: there is nothing on it to compare."


class Matcher:
    """Checks listing pictures against the catalogue. Any thread may call it.

    Args:
        catalogue: the registered originals.
        fingerprinter: of the same schema.
        policy: `strict`, `balanced` or `recall`, for checks that name none.
        models: the scores; None is those of the package.
        calibration: a marketplace's own, laid over the scores that are shown.
        key_points: whether every check looks up key points, and not only thorough ones.

    Raises:
        UnknownPolicy: there is no such policy.
        ModelCorrupt: the score models can not be read.
        CalibrationMismatch: the calibration was made for other scores.

    Attributes:
        policies: by which scores become verdicts.
    """

    def __init__(
        self,
        catalogue: Originals,
        fingerprinter: Fingerprinter,
        policy: str = "balanced",
        models: ScoreModels | None = None,
        calibration: Calibration | None = None,
        *,
        key_points: bool = False,
    ) -> None:
        self._catalogue, self._fingerprinter = catalogue, fingerprinter
        models = models or ScoreModels.bundled()
        self.policies = Policies(models, fingerprinter.schema, policy, calibration)
        self._weigher = Weigher(catalogue, fingerprinter, models, key_points)
        self._explainer = Explainer(catalogue, models)

    def provenance(self, policy: str = "") -> Provenance:
        """What answers are computed with now.

        Args:
            policy: that of the check; empty is the server's.
        """
        stats = self._catalogue.stats()
        snapshot = stats.snapshot.id if stats.snapshot else "none"
        encoders = list(self._fingerprinter.ids.values())
        if "clip" not in self._fingerprinter.ids:
            encoders.append("clip: off")
        return Provenance(
            snapshot=f"{snapshot}+{stats.sequence}",
            schema=self._fingerprinter.schema,
            encoders=tuple(sorted(encoders)),
            policy=self.policies.version(policy),
            model=self.policies.model_id,
            calibration=self.policies.calibration_id,
        )

    def check(
        self,
        data: bytes,
        options: CheckOptions,
        deadline: float | None = None,
        keep: Callable[[Kept], object] | None = None,
    ) -> ImageVerdict:
        """Check one listing picture.

        Args:
            data: the encoded picture.
            options: see `CheckOptions`.
            deadline: `time.monotonic()` after which no further step begins.
            keep: gets what may be remembered of the picture, when there is anything.

        Raises:
            ImageEmpty, ImageUndecodable, ImageTruncated, ImageTooLarge, ImageTooSmall,
            BrandNotFound, UnknownPolicy, QueueFull, DeadlineExpired, EncodingFailed.
        """
        thresholds = self.policies.of(options.policy)
        clock = Clock(deadline)
        with clock.step("decode"):
            picture = decode(data)
            blank = picture.featureless
        if blank:
            return ImageVerdict(Verdict.CLEAR, note=_BLANK, steps_ms=clock.steps_ms)
        brands = options.brands or None
        with clock.step("search"):
            same = self._identical(picture.sha256, picture.pixel_sha256, brands)
        if same and not options.thorough:
            digests = PrintRecord(
                self._fingerprinter.schema, picture.sha256, picture.pixel_sha256, None, ()
            )
            if keep is not None:
                keep(partial(self._twin, same[0].key, digests))
            return ImageVerdict(
                Verdict.COPY,
                tuple(same[: options.max_matches]),
                steps_ms=clock.steps_ms,
                print=digests.to_bytes(),
            )
        prints: list[PrintRecord] = []

        def told(listing: ListingPrint, views: Sequence[ViewPrint]) -> None:
            prints.append(to_record(self._fingerprinter.schema, listing, views))
            if keep is not None:
                sketch = Sketch.of(prints[0], listing)
                keep(lambda: sketch)

        found = self._weigher.weigh(
            picture,
            brands,
            clock,
            thorough=options.thorough,
            beside=options.min_score is not None,
            told=told,
        )
        kept = self._worth_telling(found, same, options, thresholds)
        with clock.step("explain"):
            matches = same[: options.max_matches]
            matches += [self._explainer.match(picture, each, thresholds) for each in kept]
        verdict = _highest(matches)
        kept_print = b"" if verdict is Verdict.CLEAR else prints[0].to_bytes()
        return ImageVerdict(verdict, tuple(matches), steps_ms=clock.steps_ms, print=kept_print)

    def check_again(self, sketch: Sketch, options: CheckOptions) -> ImageVerdict:
        """Check a listing picture that was seen before, from what is kept of it.

        The evidence is that of `check`, measured on a small grey rendition. Edits are not
        told: colours and details are gone.

        Raises:
            BrandNotFound, UnknownPolicy.
        """
        thresholds = self.policies.of(options.policy)
        clock, brands, record = Clock(), options.brands or None, sketch.record
        with clock.step("search"):
            same = self._identical(record.sha256, record.pixel_sha256, brands)
        if same and not options.thorough:
            matches = same[: options.max_matches]
        else:
            beside = options.thorough or options.min_score is not None
            found = self._weigher.weigh_again(sketch, sketch.views, brands, clock, beside=beside)
            kept = self._worth_telling(found, same, options, thresholds)
            with clock.step("explain"):
                matches = same[: options.max_matches]
                matches += [self._explainer.match(sketch, each, thresholds) for each in kept]
        verdict = _highest(matches)
        kept_print = b"" if verdict is Verdict.CLEAR else record.to_bytes()
        return ImageVerdict(verdict, tuple(matches), steps_ms=clock.steps_ms, print=kept_print)

    def could_be(self, seen: PrintRecord, records: Sequence[OriginalRecord]) -> list[bool]:
        """Which originals a picture that was seen before is worth verifying with."""
        return self._weigher.plausible(
            seen.phash or 0, [view.restored() for view in seen.views], records
        )

    def compare(self, a: bytes, b: bytes, *, evidence_png: bool = False) -> Comparison:
        """Compare two pictures; the second is taken as the original.

        Raises:
            The errors of decoding, for whichever picture is bad, and of the encoders.
        """
        thresholds = self.policies.of("")
        clock = Clock()
        with clock.step("decode"):
            listing, original = decode(a), decode(b)
        weighed = self.policies.shown(
            weigh_pair(self._fingerprinter, self._weigher, listing, original, clock)
        )
        with clock.step("explain"):
            if original.sha256 == listing.sha256 or original.pixel_sha256 == listing.pixel_sha256:
                match = identical_pair()
            else:
                match = self._explainer.match(listing, weighed, thresholds, original)
                blank = blank_among(listing, original)
                if blank and match.verdict is Verdict.CLEAR:
                    match = replace(match, note=blank)
        png = b""
        if evidence_png:
            with clock.step("draw"):
                checked = weighed.verification
                fit = checked.fit if checked else None
                points = (fit.listing_points, fit.original_points) if fit else None
                straight = (
                    checked.bend.straighten(listing.rgb) if checked and checked.bend else None
                )
                about = (file_of("Listing", listing), file_of("Original", original), self._by())
                png = draw(listing.rgb, original.rgb, match, points, straight=straight, about=about)
        return Comparison(match, png, clock.steps_ms)

    def _by(self) -> str:
        """What a comparison was made with, for a sheet that may lie before a court."""
        policies = self.policies
        own = f", {policies.calibration_id}" if policies.calibration_id else ""
        return (
            f"Compared by Copycatch {version('copycatch')}: {policies.model_id}{own}, "
            f"policy {policies.version('')}, fingerprints {self._fingerprinter.schema}."
        )

    def _twin(self, key: int, digests: PrintRecord) -> Sketch | None:
        """The sketch of a picture that was not fingerprinted, since an original has its pixels."""
        record = self._catalogue.by_key([key])[0]
        coded = self._catalogue.previews_many([key])[0]
        if record is None or coded is None:
            return None
        phash = int(str(record.attributes["phash"]), 16)
        return Sketch.of_twin(digests, record.vectors, phash, read_preview(coded))

    def _worth_telling(
        self,
        found: Sequence[Weighed],
        same: Sequence[Match],
        options: CheckOptions,
        thresholds: Mapping[str, float],
    ) -> list[Weighed]:
        """Those that are answered beside the identical ones, best first."""
        found = [self.policies.shown(each) for each in found]
        found.sort(key=lambda each: (-each.score, each.candidate.record.key))
        least = thresholds["review"] if options.min_score is None else options.min_score
        exact = {match.key for match in same}
        kept = [
            each
            for each in found
            if each.candidate.record.key not in exact
            and (each.score >= least)
            and (each.verification is not None or options.min_score is not None)
        ]
        return kept[: max(0, options.max_matches - len(same))]

    def _identical(
        self, sha256: bytes, pixel_sha256: bytes, brands: Collection[str] | None
    ) -> list[Match]:
        """The originals with the same bytes or the same pixels."""
        keys = self._catalogue.find_digest(sha256=sha256, pixel_sha256=pixel_sha256)
        if brands is not None:
            for brand in brands:
                self._catalogue.get_brand(brand)
        if not keys:
            return []
        records = [each for each in self._catalogue.by_key(list(keys)) if each is not None]
        return [
            identical(record)
            for record in records
            if record.state == "ACTIVE" and (brands is None or record.brand in brands)
        ]


def _highest(matches: list[Match]) -> Verdict:
    order = (Verdict.COPY, Verdict.REVIEW, Verdict.AUTHORISED)
    present = {match.verdict for match in matches}
    return next((verdict for verdict in order if verdict in present), Verdict.CLEAR)
