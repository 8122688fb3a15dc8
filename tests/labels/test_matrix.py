"""Each mark is read in each container that can carry it, and nowhere it is not."""

import pytest

from models.labels.label import LabelState, LabelTrust, Mark
from models.labels.read import read_label
from tests.labels import kit
from tests.labels.matrix import MATRIX, Maker

CELLS = [
    pytest.param(mark, state, trust, container, make, id=f"{name}-{container}")
    for name, mark, state, trust, containers, make in MATRIX
    for container in containers
]


@pytest.mark.parametrize(("mark", "state", "trust", "container", "make"), CELLS)
def test_a_mark_is_read_in_its_container(
    mark: Mark, state: LabelState, trust: LabelTrust, container: str, make: Maker
) -> None:
    label = read_label(make(container))
    assert label.state is state
    found = [signal for signal in label.signals if signal.mark is mark]
    assert found, label
    assert found[0].trust is trust
    assert found[0].state is state
    assert not [signal for signal in label.signals if signal.unreadable], label


@pytest.mark.parametrize("container", kit.CONTAINERS)
def test_a_plain_picture_has_no_signals_at_all(container: str) -> None:
    assert read_label(kit.plain(container)).signals == ()


@pytest.mark.parametrize("container", kit.CONTAINERS)
def test_the_place_starts_with_the_container(container: str) -> None:
    label = read_label(kit.signed([kit.action("c2pa.created", kit.AI)], container))
    box = {"AVIF": "BMFF", "HEIF": "BMFF", "WEBP": "WebP"}.get(container, container)
    assert label.signals[0].place.startswith(box + "/")
