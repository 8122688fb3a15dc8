"""What is wrong with a manifest: raised by every reader of a form."""

from typing import ClassVar


class ManifestInvalid(ValueError):
    """A manifest can not be read as one; nothing was checked."""

    reason: ClassVar[str] = "MANIFEST_INVALID"

    def __init__(self, source: str, why: str) -> None:
        super().__init__(source, why)
        self.source, self.why = source, why

    def __str__(self) -> str:
        return f"the manifest {self.source!r} can not be used: {self.why}"
