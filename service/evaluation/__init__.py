"""Measuring Copycatch on labelled pictures, and calibrating its score by them.

Knows answers, not where they come from: `copycatch evaluate` and `copycatch calibrate` ask a
server about a marketplace's own pairs, `scripts/evaluate.py` about a labelled folder, and
`scripts/peers.py` asks other detectors. All are measured by the same functions.
"""
