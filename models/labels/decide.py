"""From signals to one answer."""

from collections.abc import Iterable

from models.labels.label import AiLabel, LabelHow, LabelSignal, LabelState


def decide(signals: Iterable[LabelSignal]) -> AiLabel:
    """The label that the signals add up to.

    The state is the strongest of any signal. How AI took part is what the most trusted signal
    of that state says, and of equally trusted ones the one that claims most. Where no signal
    of that state says, weaker ones are asked.
    """
    unique = list(dict.fromkeys(signals))
    unique.sort(key=lambda s: (s.unreadable, -s.state.rank, -s.trust.rank))
    marks = [s for s in unique if s.state is not LabelState.NONE]
    if not marks:
        return AiLabel(LabelState.NONE, LabelHow.UNKNOWN, tuple(unique))
    telling = [s for s in marks if s.how is not LabelHow.UNKNOWN]
    order = list(LabelHow)
    best = max(
        telling,
        key=lambda s: (s.state.rank, s.trust.rank, order.index(s.how)),
        default=marks[0],
    )
    return AiLabel(marks[0].state, best.how, tuple(unique))
