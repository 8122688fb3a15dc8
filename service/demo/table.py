"""The demo's table of verdicts."""

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from service.cli import output
from service.cli.failure import describe, reason_of
from service.demo.answers import Answer, mistakes, short

_WRONG = Text("✗", "bold red")


def show(console: Console, answers: Sequence[Answer]) -> None:
    """Print one row for each answer, with what was expected where something was."""
    judged = any(answer.listing.verdicts for answer in answers)
    columns = ["listing", *(["expected"] if judged else []), "answered", "kind", "original"]
    table = output.table(*columns, ">score", ">ms", "why")
    for answer in answers:
        best = answer.best
        cells: list[str | Text] = [answer.listing.title if judged else answer.listing.id]
        if judged:
            cells.append(answer.listing.expectation or "-")
        mark = _WRONG if answer.mistake else Text()
        cells += [
            output.styled(answer.verdict) + mark,
            output.kind_words(best) if best else "",
            short(best.original) if best else "",
            f"{best.score:.2f}" if best else "",
            f"{answer.round_trip_ms:.0f}" if answer.round_trip_ms else "",
            why(answer),
        ]
        table.add_row(*cells)
    console.print(table)
    for answer in mistakes(answers):
        console.print(_WRONG + Text(f" {answer.listing.title}: {answer.mistake}"))


def why(answer: Answer) -> str:
    """Return the reason of a verdict in one phrase."""
    if answer.result.HasField("error"):
        return f"{reason_of(answer.result.error)}: {describe(answer.result.error)}"
    return output.reason_words(answer.result)
