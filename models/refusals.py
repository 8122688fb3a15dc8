"""The named reasons for which a picture is refused.

Raised while a picture is read (`models.images`, `models.containers`) and, for a picture with
nothing in it, where an original is registered. Each is a `ValueError` with a `reason`, and a
message that says what to do about it.
"""

from typing import ClassVar, Literal

READABLE = "JPEG, PNG, WebP, GIF, BMP, TIFF or AVIF"


class ImageEmpty(ValueError):
    """No bytes were sent."""

    reason: ClassVar[str] = "IMAGE_EMPTY"

    def __init__(self) -> None:
        super().__init__(f"The image has no bytes; send the bytes of a {READABLE} file.")


class ImageUndecodable(ValueError):
    """The bytes are no picture that can be read.

    Attributes:
        detail: what the bytes are or what is wrong with them, for a person.
    """

    reason: ClassVar[str] = "IMAGE_UNDECODABLE"

    def __init__(self, detail: str) -> None:
        self.detail = detail
        super().__init__(f"The image cannot be read: {detail}; send a {READABLE} file.")


class ImageTruncated(ValueError):
    """The file ends before its picture does.

    Attributes:
        format: what the file is, e.g. "JPEG".
        byte_count: how many bytes there were.
    """

    reason: ClassVar[str] = "IMAGE_TRUNCATED"

    def __init__(self, format: str, byte_count: int) -> None:
        self.format = format
        self.byte_count = byte_count
        super().__init__(
            f"The {format} file ends after {byte_count} bytes, before its picture does; "
            "send the whole file again."
        )


class ImageTooLarge(ValueError):
    """The file or the picture is larger than is accepted.

    Attributes:
        measure: what is too large: "bytes", "pixels" or "side" (pixels of the longer side).
        value: how large it is.
        limit: the largest that is accepted.
    """

    reason: ClassVar[str] = "IMAGE_TOO_LARGE"

    def __init__(self, measure: Literal["bytes", "pixels", "side"], value: int, limit: int) -> None:
        self.measure = measure
        self.value = value
        self.limit = limit
        unit = "pixels on its longer side" if measure == "side" else measure
        super().__init__(
            f"The image has {value} {unit}, the limit is {limit}; send a smaller rendition."
        )


class ImageTooSmall(ValueError):
    """The picture is too small to say anything about.

    Attributes:
        width_px: its width.
        height_px: its height.
        limit_px: the smallest accepted side.
    """

    reason: ClassVar[str] = "IMAGE_TOO_SMALL"

    def __init__(self, width_px: int, height_px: int, limit_px: int) -> None:
        self.width_px = width_px
        self.height_px = height_px
        self.limit_px = limit_px
        super().__init__(
            f"The image is {width_px} x {height_px} pixels, the smallest accepted side is "
            f"{limit_px}; send a larger rendition."
        )


class ImageFeatureless(ValueError):
    """The picture is blank or nearly flat: it would match every other blank picture."""

    reason: ClassVar[str] = "IMAGE_FEATURELESS"

    def __init__(self) -> None:
        super().__init__(
            "The image is blank or nearly flat, there is nothing in it to match on; "
            "register a picture that shows the product."
        )
