"""Page tokens: opaque, bound to the request that they continue, and worth nothing else.

A token holds the id after which the next page begins and a checksum over it and the request.
The checksum is no secret: it finds mistakes (a token of another list, a token cut short), and
a caller who forges one gets what any caller may list anyway.
"""

import base64
import binascii
from hashlib import blake2b
from typing import ClassVar

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 500
_VERSION = b"1"
_CHECK_BYTES = 6


class PageTokenInvalid(ValueError):
    """A page token that this server did not make for this request."""

    reason: ClassVar[str] = "PAGE_TOKEN_INVALID"

    def __init__(self) -> None:
        super().__init__("page_token was not made for this request; begin with an empty one")


def page_token(after: str, *bound: str) -> str:
    """Return the token of the page that begins after the id `after`.

    Args:
        bound: the method and every field of the request that says what is listed.
    """
    body = after.encode()
    check = _check(body, bound)
    return base64.urlsafe_b64encode(_VERSION + check + body).decode().rstrip("=")


def after_token(token: str, *bound: str) -> str:
    """Return the id after which the page begins, empty for the first page.

    Raises:
        PageTokenInvalid: the token is damaged or was made for something else.
    """
    if not token:
        return ""
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        version, check, body = raw[:1], raw[1 : 1 + _CHECK_BYTES], raw[1 + _CHECK_BYTES :]
        after = body.decode()
    except (binascii.Error, UnicodeError, ValueError):
        raise PageTokenInvalid from None
    if version != _VERSION or check != _check(body, bound) or not after:
        raise PageTokenInvalid
    return after


def _check(body: bytes, bound: tuple[str, ...]) -> bytes:
    digest = blake2b(digest_size=_CHECK_BYTES)
    for part in (_VERSION, body, *(text.encode() for text in bound)):
        digest.update(len(part).to_bytes(4, "big") + part)
    return digest.digest()
