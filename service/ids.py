"""What an id is: of a brand, an original, a licence, a programme or a sweep.

Alone in its module, since commands and servicers say it in the same words.
"""

import re

PATTERN = "[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?"
ID = re.compile(PATTERN)
ID_WORDS = (
    "1 to 63 lower-case letters (a to z), digits and hyphens, a letter first and no hyphen last"
)
"""What `ID` says, for people."""
