"""`copycatch evaluate` and `copycatch calibrate`, from a CSV to a server that serves the result."""

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from service.cli import local
from service.cli.client import Client
from service.cli.main import app
from service.evaluation.calibrate import PRECISION
from service.matching.calibration import Calibration
from tests.cli.conftest import QUICK
from tests.kit.images import blur, crop, draw, encode

ORIGINALS, VARIANTS, STRANGERS = 3, 18, 4
SIZE = (220, 180)
LENIENT = [
    word
    for claim in ("strict=0.9", "balanced=0.85", "recall=0.8")
    for word in ("--precision", claim)
]


@dataclass(frozen=True)
class Market:
    """A marketplace: its originals, its listings, its labels, and a server's settings.

    Attributes:
        folder: holds `originals/`, `listings/`, `labels.csv` and `few.csv`, a few of its rows.
        settings: under which every candidate is verified, so that wrong ones are scored too.
    """

    folder: Path
    settings: dict[str, object]

    @property
    def labels(self) -> Path:
        return self.folder / "labels.csv"

    @property
    def few(self) -> Path:
        return self.folder / "few.csv"

    def write(self, name: str, *rows: str) -> Path:
        path = self.folder / name
        path.write_text("\n".join(["listing,original,label", *rows]) + "\n", encoding="utf-8")
        return path


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Market:
    folder = tmp_path_factory.mktemp("market")
    for name in ("originals", "listings"):
        (folder / name).mkdir()
    rows: list[str] = []
    wrong: list[str] = []
    for i in range(ORIGINALS):
        picture = draw(i, SIZE)
        (folder / f"originals/o{i}.png").write_bytes(encode(picture, "PNG"))
        for j in range(VARIANTS):
            made, kind = (crop(picture, 0.6 + 0.02 * j), "crop") if j else (blur(picture), "blur")
            name = f"listings/{kind}{i}-{j}.jpg"
            (folder / name).write_bytes(encode(made, quality=60 + j))
            # Named by its picture, and by its name.
            named = f"originals/o{i}.png" if j % 2 else f"local/o{i}"
            rows.append(f"{name},{named},copy,{kind},{i}-{j}")
            others = [k for k in range(ORIGINALS) if k != i]
            wrong += [f"{name},local/o{k},unrelated,,{i}-{j}" for k in others]
    for i in range(STRANGERS):
        (folder / f"listings/s{i}.jpg").write_bytes(encode(draw(500 + i, SIZE)))
        rows.append(f"listings/s{i}.jpg,,unrelated,,")
    for name, chosen in (("labels.csv", rows + wrong), ("few.csv", rows[:6] + rows[-STRANGERS:])):
        text = "\n".join(["listing,original,label,edits,group", *chosen]) + "\n"
        (folder / name).write_text(text, encoding="utf-8")
    plain = json.loads(resources.files("service.matching").joinpath("score.json").read_bytes())
    plain["thresholds"]["gate"] = dict.fromkeys(plain["thresholds"]["gate"], 0.0)
    (folder / "score.json").write_text(json.dumps(plain), encoding="utf-8")
    return Market(folder, {**QUICK, "score_model": folder / "score.json"})


@pytest.fixture(scope="module")
def filled(market: Market, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A server that holds the market's originals."""
    with local.serving(tmp_path_factory.mktemp("server"), 60.0, **market.settings) as client:
        done = run(client, "brands", "create", "local")
        assert done.exit_code == 0, done.output
        done = run(client, "register", market.folder / "originals", "--brand", "local")
        assert done.exit_code == 0, done.output
        yield client


@pytest.fixture(scope="module")
def calibration(filled: Client, market: Market) -> Path:
    """What `copycatch calibrate` makes of the market's labels."""
    out = market.folder / "calibration.json"
    done = run(filled, "calibrate", market.labels, "--out", out, *LENIENT)
    assert done.exit_code == 0, done.output
    assert "calibration error" in done.stdout and "strict" in done.stdout
    assert f"calibration = '{out}'" in done.stderr
    return out


def run(client: Client | None, *arguments: object) -> Result:
    words = [str(one) for one in arguments]
    shown = {"COPYCATCH_API_KEY": client.credentials.api_key if client is not None else ""}
    if client is not None and words[0] not in ("label",):
        words += ["--server", client.target]
    return CliRunner().invoke(app, words, env=shown)


def test_evaluate_measures_by_every_policy_and_writes_what_it_found(
    filled: Client, market: Market, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = run(filled, "evaluate", market.few, "--out", out, "--resamples", 20)
    assert done.exit_code == 0, done.output
    for words in ("micro-AP of copies", "COPY: copy (6)", "COPY: unrelated (4)", "strict", "blur"):
        assert words in done.stdout
    figures = json.loads((out / "figures.json").read_text())
    assert figures["listings"] == {"copy": 6, "unrelated": 4}
    assert figures["rank1"]["copy"] > 0.9 and figures["micro_ap"] > 0.9
    assert set(figures["policies"]) == {"strict", "balanced", "recall"}
    assert figures["server"]["model"].startswith("score@")
    with (out / "answers.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len({row["path"] for row in rows}) == 10
    assert sum(int(row["right"] or 0) for row in rows) == 6
    for name in ("false_alarms.png", "misses.png"):
        with Image.open(out / name) as sheet:
            assert sheet.width > 1000


def test_evaluate_answers_programs_too(filled: Client, market: Market) -> None:
    rows = ("listings/crop1-1.jpg,local/o1,copy", "listings/s1.jpg,,unrelated")
    some = market.write("some.csv", *rows)
    done = run(filled, "evaluate", some, "--json", "--resamples", 0)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["listings"] == {"copy": 1, "unrelated": 1}


def test_an_original_that_is_not_there_is_to_be_named_by_its_picture_without_a_server(
    filled: Client, market: Market
) -> None:
    labels = market.write("foreign.csv", "listings/crop1-1.jpg,acme/o1,copy")
    done = run(filled, "evaluate", labels)
    assert done.exit_code == 2
    assert "`copycatch originals list --brand acme`; with --local DIR write the path" in done.stderr


def test_evaluate_sees_before_its_work_that_it_can_write(filled: Client, market: Market) -> None:
    file = market.write("out.csv", "listings/crop1-1.jpg,local/o1,copy")
    done = run(filled, "evaluate", file, "--out", file / "out")
    assert done.exit_code == 2
    assert f"--out {file / 'out'}: {file} is no folder" in done.stderr


def test_a_match_that_no_label_speaks_of_is_listed_for_labelling(
    filled: Client, market: Market, tmp_path: Path
) -> None:
    wrong = market.write("wrong.csv", "listings/crop1-1.jpg,local/o2,same_product")
    done = run(filled, "evaluate", wrong, "--out", tmp_path, "--resamples", 0)
    assert done.exit_code == 0 and "1 match is not labelled and counts as wrong" in done.stderr
    with (tmp_path / "to_label.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {(row["listing"], row["label"]) for row in rows} == {("listings/crop1-1.jpg", "")}
    named = {row["original"] for row in rows}
    assert "brands/local/originals/o1" in named and "brands/local/originals/o2" not in named


def test_a_calibration_says_what_it_was_made_from(calibration: Path, market: Market) -> None:
    made = Calibration.load(calibration)
    about = made.about
    assert about["data"]["labels"] == "labels.csv" and about["data"]["rows"] == 54 * 3 + 4
    assert len(about["data"]["sha256"]) == 64
    assert about["command"].startswith("copycatch calibrate ")
    assert "--precision strict=0.9" in about["command"] and about["time"].endswith("+00:00")
    quality = about["quality"]
    assert quality["copies"] + quality["copies_not_answered"] == 54
    assert quality["calibration_error_held_out"] < 0.1
    assert made.claims["strict"].precision == 0.9
    assert made.claims["strict"].right > 40


def test_a_server_serves_it_and_evaluate_shows_that_its_claims_hold(
    calibration: Path, market: Market, tmp_path: Path
) -> None:
    settings = {**market.settings, "calibration": calibration}
    with local.serving(tmp_path, 60.0, **settings) as client:
        assert run(client, "brands", "create", "local").exit_code == 0
        run(client, "register", market.folder / "originals", "--brand", "local")
        made = Calibration.load(calibration)
        info = run(client, "info")
        assert made.id in info.stdout and "90.0% of COPY are right, at least" in info.stdout
        done = run(client, "evaluate", market.few, "--json", "--resamples", 0)
        figures = json.loads(done.stdout)
        assert figures["server"]["calibration"] == made.id
        assert figures["policies"]["strict"]["copy_precision"] >= 0.9
        again = run(client, "calibrate", market.few, "--out", tmp_path / "again.json")
    assert again.exit_code == 2
    assert f"calibrated already ({made.id})" in again.stderr
    assert not (tmp_path / "again.json").exists()


def test_both_work_without_a_server(
    market: Market, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name, value in market.settings.items():
        monkeypatch.setenv(f"COPYCATCH_{name.upper()}", str(value))
    some = market.write("one.csv", "listings/crop1-1.jpg,originals/o1.png,copy")
    originals = market.folder / "originals"
    done = run(None, "evaluate", some, "--local", originals, "--resamples", 0)
    assert done.exit_code == 0 and "COPY: copy (1)" in done.stdout, done.output
    out = tmp_path / "few.json"
    done = run(None, "calibrate", some, "--local", originals, "--out", out)
    assert done.exit_code == 2 and not out.exists()
    assert "1 copies and 0 pairs that are none, in 1 groups, are too few" in done.stderr
    assert "at least 50 of each, in at least 20 groups" in done.stderr
    assert "label lookalikes and other photographs of the same products" in done.stderr


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["listings/crop1-1.jpg,originals/o1.png,fake"], "label 'fake' is none of"),
        (["listings/crop1-1.jpg,nobody/cup,copy"], "ORIGINAL_NOT_FOUND"),
        (["listings/crop1-1.jpg,listings/s1.jpg,copy"], "s1.jpg: not registered at"),
    ],
)
def test_labels_that_can_not_be_used_are_refused_in_one_line(
    filled: Client, market: Market, rows: list[str], message: str
) -> None:
    for command in ("evaluate", "calibrate"):
        done = run(filled, command, market.write("bad.csv", *rows))
        assert done.exit_code == 2 and message in done.stderr, done.output


@pytest.mark.parametrize(
    "claim", ["strict", "strict=", "strict=2", "strict=0", "lenient=0.9", "recall=0.999"]
)
def test_a_claim_that_can_not_be_is_refused(market: Market, claim: str) -> None:
    done = run(None, "calibrate", market.labels, "--precision", claim)
    assert done.exit_code == 2
    assert "precision" in done.stderr


def test_the_help_names_the_precision_that_is_claimed() -> None:
    text = " ".join(run(None, "calibrate", "--help").stdout.replace("│", " ").split())
    for name, share in PRECISION.items():
        assert f"{name}={share:g}" in text
