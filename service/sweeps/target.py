"""Which originals a sweep looks for, and whose sweep it is."""

from dataclasses import dataclass

from service.matching.results import CheckOptions


def brand_of(sweep: str) -> str:
    """The brand that a sweep belongs to, by its id; empty without one."""
    brand, slash, _ = sweep.partition("/")
    return brand if slash else ""


@dataclass(frozen=True, slots=True)
class Target:
    """Which originals a sweep looks for.

    Attributes:
        brands: brand ids; empty means all.
        originals: resource names of chosen originals; empty means all of the brands.
    """

    brands: frozenset[str] = frozenset()
    originals: frozenset[str] = frozenset()

    def only(self, brand: str) -> bool:
        """Whether it looks for nothing but originals of this brand."""
        within = all(name.startswith(f"brands/{brand}/") for name in self.originals)
        return within and (self.brands == {brand} or (not self.brands and bool(self.originals)))

    def options(self, policy: str, thorough: bool) -> CheckOptions:
        """How each picture is checked."""
        chosen = {name.split("/")[1] for name in self.originals}
        return CheckOptions(
            brands=self.brands | chosen,
            # Of chosen originals none may be crowded out by others of their brand.
            max_matches=50 if self.originals else 10,
            thorough=thorough,
            policy=policy,
        )
