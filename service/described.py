"""The settings in words, for the README."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from service.config import PREFIX, Config


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting in words, for the README and `copycatch serve --help`."""

    name: str
    variable: str
    kind: str
    default: str
    description: str


def settings() -> Iterator[Setting]:
    """Yield every setting in its order of declaration."""
    for name, info in Config.model_fields.items():
        yield Setting(
            name, PREFIX + name.upper(), _kind(info), _default(info), info.description or ""
        )


def _default(info: Any) -> str:
    return "" if info.default in (None, ()) else str(info.default)


def _kind(info: Any) -> str:
    """Return the type and range of a field, such as `int, 1..256` or `auto | off`."""
    annotation = info.annotation
    if getattr(annotation, "__origin__", None) is Literal:
        return " | ".join(annotation.__args__)
    name = "path" if "Path" in str(annotation) else annotation.__name__
    if getattr(annotation, "__origin__", None) is tuple:
        return "paths" if name == "path" else "texts"
    bounds = {type(m).__name__: m for m in info.metadata}
    low = bounds.get("Ge") or bounds.get("Gt")
    high = bounds.get("Le") or bounds.get("Lt")
    if low is None or high is None:
        return str(name)
    start = f"{low.ge:,}" if "Ge" in bounds else f"above {low.gt:,}"
    return f"{name}, {start}..{high.le:,}"
