"""A matcher whose looks at pictures are taken by helpers."""

from collections.abc import Callable

from index.catalogue import Catalogue
from models.fingerprint import Fingerprinter
from models.sketch import Kept, Sketch
from service.helpers.pool import Helpers
from service.helpers.wire import Task
from service.matching.pipeline import Matcher
from service.matching.results import CheckOptions, Comparison, ImageVerdict


class HelpedMatcher(Matcher):
    """A `Matcher` that does its work in helpers: the same answers, and the same errors.

    Besides those, its methods raise HelperLost.

    Args:
        helpers: over the same catalogue.
        aside: whether its work leaves a helper to others.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        fingerprinter: Fingerprinter,
        helpers: Helpers,
        *,
        aside: bool = False,
    ) -> None:
        setup = helpers.setup
        super().__init__(catalogue, fingerprinter, setup.policy, setup.models, setup.calibration)
        self._helpers, self._aside = helpers, aside

    def check(
        self,
        data: bytes,
        options: CheckOptions,
        deadline: float | None = None,
        keep: Callable[[Kept], object] | None = None,
    ) -> ImageVerdict:
        found: ImageVerdict
        sketch: Sketch | None
        task = Task("check", (data, options, deadline, keep is not None))
        found, sketch = self._helpers.run(task, deadline, aside=self._aside)
        if keep is not None and sketch is not None:
            keep(lambda: sketch)
        return found

    def check_again(self, sketch: Sketch, options: CheckOptions) -> ImageVerdict:
        task = Task("check_again", (sketch, options))
        found: ImageVerdict = self._helpers.run(task, aside=self._aside)
        return found

    def compare(self, a: bytes, b: bytes, *, evidence_png: bool = False) -> Comparison:
        task = Task("compare", (a, b, evidence_png))
        found: Comparison = self._helpers.run(task, aside=self._aside)
        return found
