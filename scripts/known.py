"""What some signals are worth, which no fit can learn: evaluation folders hold too few such pairs.

`KNOWN` are shares in the log-odds, by name of the signal, and `LIMITS` what they allow at most.
"""

from service.matching.score import Curve
from service.matching.signals import OWN_DETAIL, PLACED, SIBLINGS_DETAIL

DEPTH = Curve(knots=(0.4, 0.6), heights=(0.0, -4.5), missing=0.0)
"""The share of `parallax`, which is known and not fitted. A solid thing photographed from beside
agrees with the original in nearly everything, and no one map lays it on. Evaluation folders hold
few such pairs, so a fit does not learn what that says; and 99 of 100 copies lie below."""
BEYOND = Curve(knots=(0.45, 0.65), heights=(0.0, -3.0), missing=0.0)
"""The share of `beyond`, likewise: who had the original alone can not show what lay beside it. Of
973 copies ten have more than half, of 302 pairs of shelves photographed seconds apart 116. It
weighs less than parallax, since a brand may have registered a part of its picture alone."""
REARRANGED = Curve(knots=(0.45, 0.65), heights=(0.0, -3.0), missing=0.0)
"""The share of `rearranged`, likewise: where so many key points agree, the rest agrees, too, in a
copy. Of 420 copies with so many two have more than 0.45, of 130 pairs of shelves 58."""
KNOWN = {"parallax": DEPTH, "beyond": BEYOND, "rearranged": REARRANGED}
OWN = Curve(knots=(0.5, 0.65), heights=(-1.4, 12.0), missing=30.0)
"""The log-odds that `own_detail` allows. A picture of a sibling agrees with all but that, so that
without it the rest says little: another print on the same shirt can not be told from a copy on
which something hides the print, and is for a person to look at. Of 75 copies of originals with
siblings one has less than 0.65; of 1,017 pairs of a mock-up and another original on its template
99 in 100 have less than 0.55 (the pictures of `scripts/evaluate_mockups.py`)."""
THEIRS = Curve(knots=(0.5, 0.65), heights=(12.0, -3.5), missing=30.0)
"""The log-odds that `siblings_detail` allows. What sets the original apart is not there, and what
sets its sibling apart is: no policy tells of it beside the sibling, which is told of."""
PLACE = Curve(knots=(0.0, 1.0), heights=(0.4, 0.4), missing=30.0)
"""The log-odds that `placed` allows, wherever it lies: a picture that is pasted small agrees no
more than a logo that is printed on a thing of one's own. Of the listings of the evaluation folder
eleven copies and three others are found by key points alone: two logos of which another is a part,
and a photograph of which another was cut out."""
LIMITS = {OWN_DETAIL: OWN, SIBLINGS_DETAIL: THEIRS, PLACED: PLACE}
