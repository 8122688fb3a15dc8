"""Ids and numbers as keys of the store."""

from typing import ClassVar

ID_LIMIT_BYTES = 200


class IdInvalid(ValueError):
    """An id that can not be a key of the store."""

    reason: ClassVar[str] = "ID_INVALID"

    def __init__(self, value: str) -> None:
        super().__init__(f"an id has 1 to {ID_LIMIT_BYTES} bytes, no '/' and no NUL: {value!r}")
        self.value = value


def number(value: int) -> bytes:
    """A number as a key."""
    return value.to_bytes(8, "big")


def original_id(brand: str, original: str) -> bytes:
    """The key of the `ids` table."""
    return key_of(brand) + b"\0" + key_of(original)


def key_of(value: str) -> bytes:
    """An id as a key. Raises IdInvalid."""
    try:
        data = value.encode()
    except UnicodeEncodeError as error:
        raise IdInvalid(value) from error
    if not 1 <= len(data) <= ID_LIMIT_BYTES or b"\0" in data or b"/" in data:
        raise IdInvalid(value)
    return data
