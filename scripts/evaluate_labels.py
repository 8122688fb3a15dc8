"""AI labels of a folder of pictures: how many of each state, and every mark by name.

    python -m scripts.evaluate_labels --data DIR [--expect-none]

With --expect-none a picture that gets a label is a false one, is named, and ends the command
with exit code 1; for folders of which it is known that nothing in them carries a mark. Since
a picture without metadata proves little, the metadata that were there are counted, too.
"""

import argparse
import sys
from collections import Counter
from pathlib import Path

from models.labels.containers import container_of
from models.labels.label import LabelState
from models.labels.read import read_label, survey_of


def main() -> int:
    """Print the counts; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, action="append")
    parser.add_argument("--expect-none", action="store_true")
    arguments = parser.parse_args()
    states: Counter[str] = Counter()
    marks: Counter[str] = Counter()
    layers: Counter[str] = Counter()
    false = []
    for folder in arguments.data:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            data = path.read_bytes()
            container = container_of(data)
            if container is None:
                states["not a picture"] += 1
                continue
            label = read_label(data)
            states[label.state.value] += 1
            marks.update({signal.mark.value for signal in label.signals})
            survey = survey_of(data, container)
            layers.update({field.layer.value for field in survey.fields} or {"none"})
            if survey.manifest_bytes:
                layers["C2PA"] += 1
            if label.state is not LabelState.NONE:
                false.append(path)
                print(f"{path}: {label.state.value}, {label.note}")
    print("states:   " + ", ".join(f"{count} {name}" for name, count in states.most_common()))
    print("marks:    " + (", ".join(f"{n} {name}" for name, n in marks.most_common()) or "none"))
    print("metadata: " + ", ".join(f"{count} {name}" for name, count in layers.most_common()))
    if arguments.expect_none:
        print(f"false labels: {len(false)} of {states.total()}")
        return 1 if false else 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
