"""How numbers are told to people."""


def counted(number: int, one: str, many: str = "") -> str:
    """Return how many there are, as `1 seller`, `2 sellers` or, with a plural, `2 entries`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
