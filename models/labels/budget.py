"""How much work may be spent on one picture's metadata, counted in work and not in time.

A clock would make the answer depend on who else uses the machine. Instead each step charges
what it costs on a slow core (measured by scripts/bench_labels.py), and the sum is bounded.
"""

from typing import ClassVar

BUDGET_US = 20_000.0
"""Default budget of one picture: 20 ms of work."""

US_PER_XML_BYTE = 0.006
US_PER_XML_EVENT = 0.7
US_PER_INFLATED_BYTE = 0.003
US_PER_TEXT_BYTE = 0.004
US_PER_BLOCK = 0.5
US_PER_FIELD = 2.0


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

    @property
    def spent(self) -> bool:
        """Whether nothing is left."""
        return self.left_us < 0
