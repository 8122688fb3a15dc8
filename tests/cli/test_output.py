"""What people read: counts, reasons, kinds, and tables on a narrow terminal."""

import io

import pytest
from rich.console import Console
from rich.text import Text

from copycatch.v1 import match_service_pb2 as match_pb2
from copycatch.v1 import sweep_service_pb2 as sweep_pb2
from service.cli import output
from service.wording import counted

LONG = "listings/mirrored-and-cropped-coffee-cup.jpg"
WHY = "mirrored left to right, cropped to 57% of the original"


def printed(width: int, *columns: str, rows: list[tuple[str | Text, ...]]) -> str:
    made = output.table(*columns)
    for row in rows:
        made.add_row(*row)
    console = Console(width=width, file=io.StringIO(), markup=False)
    console.print(made)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def checked(width: int) -> str:
    names = ("picture", "verdict", "kind", "original", ">score", "why")
    rows: list[tuple[str | Text, ...]] = [
        (LONG, output.styled("AUTHORISED"), "near duplicate", "acme/coffee", "0.94", WHY),
        (
            "listings/retina.jpg",
            output.styled("CLEAR"),
            "",
            "",
            "",
            "copies no registered original",
        ),
    ]
    return printed(width, *names, rows=rows)


@pytest.mark.parametrize("width", [45, 60, 80])
def test_a_narrow_terminal_gets_whole_words_and_few_lines(width: int) -> None:
    shown = checked(width)
    for word in ("AUTHORISED", "duplicate", "acme/coffee", "0.94", "mirrored", "verdict", LONG):
        assert word in shown.split(), word
    assert max(map(len, shown.splitlines())) <= width
    assert len(shown.splitlines()) <= 9
    clear = shown[shown.index("listings/retina.jpg") :]
    assert "no registered" in clear and "kind" not in clear  # an empty cell has no name either


def test_a_wide_terminal_gets_a_table() -> None:
    assert "┃ picture" in checked(output.PLAIN_WIDTH)
    assert "┃ picture" in checked(output.NARROW)


def test_what_fits_stays_a_table_on_a_narrow_terminal() -> None:
    assert "┃" in printed(60, "id", "state", "done", rows=[("r", "RUNNING", "1 / 2")])
    assert "┃" in printed(60, "field", "value", rows=[("why", " ".join([WHY] * 4))])


def test_a_row_that_goes_on_has_no_head_of_its_own() -> None:
    rows: list[tuple[str | Text, ...]] = [("a.png", "xmp", WHY), ("", "c2pa", WHY)]
    lines = printed(50, "picture", "mark", "why", rows=rows).splitlines()
    assert [line for line in lines if not line.startswith(" ")] == ["a.png"]
    assert any("c2pa" in line for line in lines)


def test_an_empty_list_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_rows(output.table("id"), "no sweep yet")
    assert capsys.readouterr().out == "no sweep yet\n"


def test_one_is_singular() -> None:
    assert counted(1, "seller") == "1 seller"
    assert counted(0, "seller") == "0 sellers"
    assert counted(1_500, "entry", "entries") == "1,500 entries"


def test_what_is_clear_is_a_copy_of_no_kind() -> None:
    for made in (match_pb2.Match, sweep_pb2.FoundMatch):
        clear = made(kind=match_pb2.PARTIAL, verdict=match_pb2.CLEAR)
        assert output.kind_words(clear) == "no copy"
        copy = made(kind=match_pb2.NEAR_DUPLICATE, verdict=match_pb2.COPY)
        assert output.kind_words(copy) == "near duplicate"


@pytest.mark.parametrize("edits", [[], [match_pb2.Edit(description="mirrored left to right")]])
def test_a_licence_is_named_once(edits: list[match_pb2.Edit]) -> None:
    licence = "brands/acme/licences/summer"
    match = match_pb2.Match(
        original="brands/acme/originals/cup",
        verdict=match_pb2.AUTHORISED,
        licence=licence,
        edits=edits,
        note="The listing picture is an edited copy of brands/acme/originals/cup (score 0.00). "
        f"The seller may use it by {licence}.",
    )
    words = output.reason_words(match_pb2.ImageResult(matches=[match]))
    assert words.count(licence) == 1
    assert all(edit.description in words for edit in edits)
