"""What counts as a picture in a folder.

Alone in its module, since every command reads it: the limits of pictures bring what decodes them.
"""

PICTURE_SUFFIXES = frozenset(
    (".avif", ".bmp", ".gif", ".heic", ".heif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
)
"""Names of pictures in folders and archives; whether they are pictures shows when they are read."""
