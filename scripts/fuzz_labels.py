"""Fuzz the readers and the writer of AI labels for a while, and count.

    .venv-test/bin/python -m scripts.fuzz_labels --seconds 600

Mutants come from the corpus of tests/labels/fuzzing.py. Keep a finding in
tests/labels/test_fuzz.py.
"""

from scripts.fuzzing import Target, fuzz, options_of
from tests.labels import kit
from tests.labels.fuzzing import check_reading, check_writing, corpus, mutants, signed_corpus


def main() -> None:
    """Run every target in turn until the time is up, and print the counts."""
    options = options_of(__doc__)
    targets = [Target(f"read {c}", mutants(corpus(c)), check_reading) for c in kit.CONTAINERS]
    for container in ("JPEG", "PNG", "WEBP"):
        targets.append(Target(f"write {container}", mutants(corpus(container)), check_writing))
    targets.append(Target("read C2PA", mutants(signed_corpus()), check_reading))
    fuzz(targets, options)


if __name__ == "__main__":
    main()
