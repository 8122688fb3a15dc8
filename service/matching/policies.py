"""Policies: from which scores on a match is a copy, or something to review.

Those of the score models, or a marketplace's own calibration laid over them. Read-only: any thread
may call them.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

from service.matching.calibration import Calibration, Claim
from service.matching.looks import Weighed
from service.matching.score import ScoreModels


class UnknownPolicy(ValueError):
    """There is no policy of this name."""

    reason: ClassVar[str] = "UNKNOWN_POLICY"

    def __init__(self, policy: str, known: tuple[str, ...]) -> None:
        self.policy, self.known = policy, known
        super().__init__(f"there is no policy {policy!r}; there are {', '.join(known)}")


class Policies:
    """The policies of one server, and the scores that they are about.

    Args:
        models: the scores.
        schema: of the fingerprints.
        default: `strict`, `balanced` or `recall`, for checks that name none.
        calibration: a marketplace's own, laid over the scores that are shown.

    Raises:
        UnknownPolicy: there is no such policy.
        CalibrationMismatch: the calibration was made for other scores.

    Attributes:
        thresholds: by policy, the scores from which `copy` and `review` hold.
        claims: by policy, what its calibration claims of it; empty without one.
        calibration_id: empty without one.
        model_id: that of the score models.
        gate: the gate's score from which a candidate is looked at.
    """

    def __init__(
        self,
        models: ScoreModels,
        schema: str,
        default: str = "balanced",
        calibration: Calibration | None = None,
    ) -> None:
        if calibration is not None:
            calibration.check_serves(models.id, schema)
        self._models, self._default, self._calibration = models, default, calibration
        own = {name: at for name, at in models.thresholds.items() if name != "gate"}
        self.thresholds: Mapping[str, Mapping[str, float]] = (
            calibration.thresholds if calibration else own
        )
        self.claims: Mapping[str, Claim] = calibration.claims if calibration else {}
        self.calibration_id = calibration.id if calibration else ""
        self.model_id = models.id
        self.gate = models.thresholds["gate"]["glance"]
        self.of(default)

    def of(self, policy: str) -> Mapping[str, float]:
        """The scores from which `copy` and `review` hold; empty is the server's policy."""
        name = policy or self._default
        if name not in self.thresholds:
            raise UnknownPolicy(name, tuple(self.thresholds))
        return self.thresholds[name]

    def version(self, policy: str) -> str:
        """A policy with what it was calibrated by; empty is the server's."""
        return f"{policy or self._default}@{self.calibration_id or self.model_id}"

    def shown(self, weighed: Weighed) -> Weighed:
        """The same with the score that is shown; the gate's is shown to nobody who decides."""
        if self._calibration is None or weighed.verification is None:
            return weighed
        return replace(weighed, score=self._calibration.score(weighed.score))

    def score_of(self, values: Mapping[str, float], *, verified: bool) -> float:
        """What signals come to today: the score, or without verification the gate's."""
        if not verified:
            return self._models.gate.probability(values)
        score = self._models.copy.probability(values)
        return score if self._calibration is None else self._calibration.score(score)
