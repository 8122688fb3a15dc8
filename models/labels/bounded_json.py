"""JSON out of metadata: bounded in size and nesting before the parser sees it."""

import html
import json
from typing import Any

from models.labels.budget import (
    US_PER_ESCAPED_CHAR,
    US_PER_FIELD,
    US_PER_JSON_CHAR,
    BlockUnreadable,
)

MAX_CHARS = 1 << 14
MAX_OPENINGS = 512
"""More opening brackets than this are refused: nesting can not be deeper than their count."""

MAX_UNESCAPES = 3
_QUOTES = ("&quot;", "&#34;", "&#x22;", "&amp;")
_DECODER = json.JSONDecoder(strict=False)


def find_object(text: str, start: int = 0) -> dict[str, Any] | None:
    """The first JSON object at or after `start`, leniently; None when there is none.

    Accepts what writers of labels are seen to produce: text after the object, entity escapes
    (up to `MAX_UNESCAPES` times over), escaped quotes, and an object that is itself a JSON string.

    Raises:
        BlockUnreadable: there is an object, but it is broken, too large or too nested.
    """
    window = text[start : start + MAX_CHARS]
    for _ in range(MAX_UNESCAPES):
        if not any(entity in window for entity in _QUOTES):
            break
        window = html.unescape(window)
    at = window.find("{")
    if at < 0:
        return None
    window = window[at:]
    if window[:16].replace(" ", "").startswith('{\\"'):
        window = window.replace('\\"', '"')
    if window.count("{") + window.count("[") > MAX_OPENINGS:
        raise BlockUnreadable(f"JSON with more than {MAX_OPENINGS} opening brackets is refused")
    try:
        value, _ = _DECODER.raw_decode(window)
    except (ValueError, RecursionError):
        if len(text) - start > MAX_CHARS:
            raise BlockUnreadable(f"JSON of more than {MAX_CHARS} characters") from None
        raise BlockUnreadable("JSON is broken") from None
    return value if isinstance(value, dict) else None


def work_us(text: str, start: int = 0) -> float:
    """What `find_object` may cost, to be charged before it is called."""
    window = text[start : start + MAX_CHARS]
    per_char = US_PER_ESCAPED_CHAR if "&" in window else US_PER_JSON_CHAR
    return US_PER_FIELD + per_char * len(window)


def inner_object(value: object) -> dict[str, Any] | None:
    """An object that is given as such, or as the text of one."""
    if isinstance(value, dict):
        return value
    if isinstance(value, str) and "{" in value:
        return find_object(value)
    return None
