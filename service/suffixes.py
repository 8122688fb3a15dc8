"""What counts as a picture in a folder.

Alone in its module, since every command reads it: the limits of pictures bring what decodes them.
"""

PICTURE_SUFFIXES = frozenset(
    (".avif", ".bmp", ".gif", ".heic", ".heif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
)
"""Names of pictures in folders and archives; whether they are pictures shows when they are read.

HEIC is among them although no server reads it: a folder of such files is answered with an error
for each, which says how to convert it, and is not passed over. `label` reads what they say of AI.
"""

TAKEN = (
    f"files that end in {' '.join(sorted(PICTURE_SUFFIXES))} are taken; .heic and .heif are "
    "answered with an error that says how to convert them, and read by `copycatch label` alone"
)
"""What to do about a folder without a picture."""
