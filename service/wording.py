"""How numbers and tables are told of to people."""

from collections.abc import Sequence

_SEPARATORS = {";": "semicolons", "\t": "tabs"}


def counted(number: int, one: str, many: str = "") -> str:
    """Return how many there are, as `1 seller`, `2 sellers` or, with a plural, `2 entries`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def seen_columns(names: Sequence[str]) -> str:
    """Return which columns a CSV has that lacks one, and when it was written with another comma."""
    for mark, called in _SEPARATORS.items():
        if len(names) == 1 and mark in names[0]:
            return f"its columns are separated by {called}, and have to be by commas"
    return f"its columns are {', '.join(names) or 'none'}"
