"""Which findings of a sweep somebody wants to see."""

from dataclasses import dataclass

from service.matching.results import MatchKind, Verdict
from service.sweeps.findings import Finding


@dataclass(frozen=True, slots=True)
class FindingFilter:
    """Which findings to list: those that fit every field that is not empty.

    Attributes:
        verdicts: of the listing.
        kinds, brands, families: at least one match that is held against it has one of these;
            brands and families are resource names, and all three must fit the same match.
        sellers: of the listing.
        failed: only those with a problem.
        flagged: only those with anything to look at.
        matched: only those with a match that is held against it.
    """

    verdicts: frozenset[Verdict] = frozenset()
    kinds: frozenset[MatchKind] = frozenset()
    brands: frozenset[str] = frozenset()
    families: frozenset[str] = frozenset()
    sellers: frozenset[str] = frozenset()
    failed: bool = False
    flagged: bool = False
    matched: bool = False

    @property
    def only_flagged(self) -> bool:
        """Whether no finding without anything to look at can fit."""
        named = self.verdicts and Verdict.CLEAR not in self.verdicts
        narrow = self.matched or self.kinds or self.brands or self.families
        return bool(named or narrow or self.failed or self.flagged)

    def fits(self, finding: Finding) -> bool:
        """Whether a finding is to be listed."""
        if self.verdicts and finding.verdict not in self.verdicts:
            return False
        if self.sellers and finding.seller not in self.sellers:
            return False
        if (self.failed and not finding.problems) or (self.flagged and not finding.flagged):
            return False
        if not (self.matched or self.kinds or self.brands or self.families):
            return True
        return any(
            match.verdict is not Verdict.CLEAR
            and (not self.kinds or match.kind in self.kinds)
            and (not self.brands or match.brand in self.brands)
            and (not self.families or match.family in self.families)
            for match in finding.matches
        )
