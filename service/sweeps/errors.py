"""What can not be read: files and objects that manifests name, and manifests themselves."""

from typing import ClassVar


class SourceNotAllowed(ValueError):
    """The server is not set up to read from there."""

    reason: ClassVar[str] = "SOURCE_NOT_ALLOWED"

    def __init__(self, source: str, why: str) -> None:
        super().__init__(source, why)
        self.source, self.why = source, why

    def __str__(self) -> str:
        return f"{self.source!r} may not be read: {self.why}"


class SourceNotFound(LookupError):
    """There is no such file, folder or object."""

    reason: ClassVar[str] = "SOURCE_NOT_FOUND"

    def __init__(self, source: str) -> None:
        super().__init__(source)
        self.source = source

    def __str__(self) -> str:
        return f"there is no {self.source!r}"


class SourceUnreadable(RuntimeError):
    """A file, folder or object is there and can not be read."""

    reason: ClassVar[str] = "SOURCE_UNREADABLE"

    def __init__(self, source: str, why: str) -> None:
        super().__init__(source, why)
        self.source, self.why = source, why

    def __str__(self) -> str:
        return f"{self.source!r} can not be read: {self.why}"


class ExtraMissing(RuntimeError):
    """A package that only an extra brings is not installed where the sweep runs."""

    reason: ClassVar[str] = "EXTRA_MISSING"

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(what, extra)
        self.what, self.extra = what, extra

    def __str__(self) -> str:
        return (
            f"{self.what} needs the extra {self.extra!r}: `pip install -e '.[{self.extra}]'` (`uv "
            "pip` where uv made the environment) in the project's folder"
        )


class ManifestInvalid(ValueError):
    """A manifest can not be read as one; nothing was checked."""

    reason: ClassVar[str] = "MANIFEST_INVALID"

    def __init__(self, source: str, why: str) -> None:
        super().__init__(source, why)
        self.source, self.why = source, why

    def __str__(self) -> str:
        return f"the manifest {self.source!r} can not be used: {self.why}"
