"""How much work may be spent on one picture's metadata, counted in work and not in time.

A clock would make the answer depend on who else uses the machine. Instead each step charges
what it costs on a slow core (measured by scripts/bench_labels.py), and the sum is bounded.
"""

from typing import ClassVar, NoReturn

BUDGET_US = 20_000.0
"""Default budget of one picture: 20 ms of work."""

US_PER_PACKET = 30.0
US_PER_XML_BYTE = 0.008
US_PER_XML_EVENT = 1.5
US_PER_INFLATED_BYTE = 0.01
US_PER_TEXT_BYTE = 0.004
US_PER_SEARCHED_CHAR = 0.001
US_PER_JSON_CHAR = 0.02
US_PER_ESCAPED_CHAR = 0.1
US_PER_BLOCK = 0.7
US_PER_SEGMENT = 5.0
US_PER_FIELD = 6.0
US_PER_PROBLEM = 8.0


class BlockUnreadable(ValueError):
    """A metadata block is broken, hostile, or past the budget; never leaves `read_label`.

    Attributes:
        note: what is wrong with it, in words.
    """

    reason: ClassVar[str] = "BLOCK_UNREADABLE"

    def __init__(self, note: str) -> None:
        super().__init__(note)
        self.note = note


class Budget:
    """The work left for one picture. Not shared between threads."""

    __slots__ = ("left_us",)

    def __init__(self, us: float = BUDGET_US) -> None:
        self.left_us = us

    def charge(self, us: float) -> None:
        """Take `us` microseconds of work.

        Raises:
            BlockUnreadable: not that much is left; every later charge fails as well.
        """
        self.left_us -= us
        if self.left_us < 0:
            raise BlockUnreadable("the metadata is more than one picture may cost to read")

    def stop(self, note: str) -> NoReturn:
        """Leave nothing, for a file that goes past a count.

        Raises:
            BlockUnreadable: with `note`.
        """
        self.left_us = -1.0
        raise BlockUnreadable(note)

    @property
    def spent(self) -> bool:
        """Whether nothing is left."""
        return self.left_us < 0
