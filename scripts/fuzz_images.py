"""Fuzz the decoders of pictures for a while, and count.

    .venv-test/bin/python -m scripts.fuzz_images --seconds 600

Mutants come from the pictures of tests/kit/fuzzing.py. Keep a finding in
tests/models/test_fuzz_images.py.
"""

from scripts.fuzzing import Target, fuzz, options_of
from tests.kit.fuzzing import FORMATS, check_decoding, damaged


def main() -> None:
    """Run every format in turn until the time is up, and print the counts."""
    options = options_of(__doc__)
    fuzz([Target(format, damaged(format), check_decoding) for format in FORMATS], options)


if __name__ == "__main__":
    main()
