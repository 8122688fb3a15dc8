"""Which of the originals that are much alike a listing picture shows.

The likely ones are looked at once more, each beside its siblings (`service.matching.siblings`):
those that are near to it, of any brand, and what the listing is like too, which may have the rest
in common with it. What sets an original apart from a sibling has to be there. Where it is not, and
what sets the sibling apart is, the listing is the sibling's.
"""

import math
from collections.abc import Mapping, Sequence

from models.detail import Detail
from service.matching import candidates, signals
from service.matching.looks import Weighed
from service.matching.originals import Originals
from service.matching.score import ScoreModels
from service.matching.siblings import ABSENT
from service.matching.verify import Verifier

_MOST = 6
"""Siblings that an original is compared with."""
_SURE = 0.5
"""From this score on, a sibling can be what the listing shows instead of another original."""

Shares = Mapping[int, float]
"""By the key of a sibling, how much the listing shows of what sets an original apart from it."""


def beside_siblings(
    catalogue: Originals, models: ScoreModels, verifier: Verifier, likely: Sequence[Weighed]
) -> dict[int, Weighed]:
    """Score likely copies once more, each beside the originals that are much like it.

    Args:
        verifier: of the listing picture.
        likely: those that were not verified are left out.

    Returns:
        By key, those that are set apart from any sibling.
    """
    verified = {each.key: each for each in likely if each.verification is not None}
    shares = _shares(catalogue, verifier, list(verified.values())) if verified else {}
    told = {
        key: verified[key].knowing(models, signals.OWN_DETAIL, min(own.values()))
        for key, own in shares.items()
    }
    known = verified | told
    found = dict(told)
    for key, each in told.items():
        theirs = [
            shares[other].get(key, math.nan)
            for other, own in shares[key].items()
            if own < ABSENT and other in shares and _could_be(each, known[other])
        ]
        shown = [share for share in theirs if not math.isnan(share)]
        if shown:
            found[key] = each.knowing(models, signals.SIBLINGS_DETAIL, max(shown))
    return found


def _could_be(original: Weighed, sibling: Weighed) -> bool:
    """Whether a listing can be a sibling's instead of the original's.

    Only of the same brand, which is told of the sibling then: whoever registers what he made of
    another's picture must not hide that one from its owner.
    """
    same = original.candidate.record.brand == sibling.candidate.record.brand
    return same and sibling.score >= _SURE


def _shares(
    catalogue: Originals, verifier: Verifier, verified: Sequence[Weighed]
) -> dict[int, Shares]:
    """By key, the siblings from which an original is set apart, and how much of that is there."""
    near = candidates.siblings(catalogue, [each.candidate.record for each in verified], _MOST // 2)
    details = {each.key: look.detail for each in verified if (look := each.verification)}
    wanted = list(dict.fromkeys(key for keys in near for key in keys if key not in details))
    for key, blob in zip(wanted, catalogue.features_many(wanted), strict=True):
        if blob is not None:
            details[key] = Detail.from_bytes(blob)
    found: dict[int, Shares] = {}
    for each, keys in zip(verified, near, strict=True):
        if look := each.verification:
            beside = dict.fromkeys([*keys, *(other.key for other in verified)])
            chosen = [key for key in beside if key != each.key and key in details][:_MOST]
            own = verifier.own_detail(look, [details[key] for key in chosen])
            shares = {
                key: share for key, share in zip(chosen, own, strict=True) if not math.isnan(share)
            }
            if shares:
                found[each.key] = shares
    return found
