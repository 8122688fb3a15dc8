"""What a server would run with a configuration, and what would keep it from running.

Everything that a start reads is read: weights, certificates, models, the data folder. Nothing
is started, bound, fetched, locked or written, so it can be asked beside a server that runs on
the same data. Each problem names the setting that leads to it.
"""

import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from index.disk import StoreReadOnly
from index.examining import Stored, check_writable, examine, examine_memory
from index.spaces import Space
from index.vectors import IndexOptions, uses_gpu
from models.batcher import BatchReport
from models.clip import ClipEncoder, choose
from models.encoders import EncoderUnavailable
from models.fingerprint import Fingerprinter
from models.weights import WeightsNotFetched
from service.access.keys import look_up
from service.config import Config
from service.matching.calibration import Calibration
from service.matching.score import ScoreModels
from service.parts import batcher, copy_encoder, label_settings, signing_certificate
from service.schemas import naming_settings
from service.tls import Tls, TlsFiles
from service.wording import counted

_LITTLE_ROOM_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong.

    Attributes:
        setting: name of the setting that leads to it.
        what: what is wrong.
        remedy: what to do about it; empty when `what` says so.
    """

    setting: str
    what: str
    remedy: str = ""

    def __str__(self) -> str:
        told = f"{self.setting}: {self.what}"
        return f"{told.rstrip('.')}; {self.remedy}" if self.remedy else told


@dataclass(slots=True)
class Report:
    """What was found.

    Attributes:
        serves: what would be served, in words, by its name.
        problems: what keeps the server from starting.
        warnings: what it would start with all the same.
    """

    serves: dict[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

    def attempt[T](self, setting: str, read: Callable[[], T], remedy: str = "") -> T | None:
        """Return what `read` returns; None, and a problem more, when it raises."""
        try:
            return read()
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            told = f"{where}{error.strerror or error}"
            self.problems.append(Problem(setting, told, remedy or "name a file that is there"))
        except (RuntimeError, ValueError, LookupError) as error:
            if not hasattr(error, "reason"):  # a defect, not one of our words
                raise
            self.problems.append(Problem(setting, str(error), remedy))
        return None


def check(config: Config) -> Report:
    """Look at everything that a start with this configuration would need; takes seconds."""
    report = Report()
    _addresses(config, report)
    _callers(config, report)
    _files(config, report)
    fingerprinter = _encoders(config, report)
    _score(config, report, fingerprinter)
    _index(config, report)
    _data(config, report, fingerprinter)
    _sweeps(config, report)
    return report


def unwritable(config: Config) -> Problem | None:
    """Return what keeps a server from its data folder; None when nothing does."""
    try:
        check_writable(config.data_dir)
    except StoreReadOnly as error:
        remedy = "name another folder"
        if _there(config.data_dir).is_dir():
            remedy = f"give it to the user that runs the server, or {remedy}"
        return Problem("data_dir", error.why, remedy)
    return None


def _addresses(config: Config, report: Report) -> None:
    secured = "no TLS"
    if config.tls_certificate is not None and config.tls_key is not None:
        files = TlsFiles(config.tls_certificate, config.tls_key, config.tls_client_ca)
        secured = "TLS, every client shows a certificate" if config.tls_client_ca else "TLS"
        report.attempt("tls_certificate, tls_key, tls_client_ca", lambda: Tls(files))
    report.serves["gRPC"] = f"{config.listen}, {secured}"
    http = "TLS" if config.tls_certificate else "no TLS"
    report.serves["metrics, probes"] = (
        f"{config.metrics_listen}, {http}" if config.metrics_listen else "off"
    )
    if config.listen == config.metrics_listen and not config.listen.endswith(":0"):
        told = f"{config.listen} is also listen"
        report.problems.append(Problem("metrics_listen", told, "give it another port"))
    if config.listen.startswith("unix:"):
        folder = Path(config.listen.removeprefix("unix:")).parent
        if not os.access(folder, os.W_OK | os.X_OK):
            told = f"no socket can be made in {folder}"
            report.problems.append(Problem("listen", told, "make the folder, or name another"))


def _callers(config: Config, report: Report) -> None:
    if config.insecure:
        report.serves["API keys"] = "not asked for"
        report.warnings.append(
            Problem("insecure", f"everybody who reaches {config.listen} may do everything")
        )
        return
    keys = report.attempt("data_dir", lambda: look_up(config.data_dir))
    if keys is None:
        return
    now = time.time_ns()
    active = [key for key in keys if key.state(now) == "active"]
    report.serves["API keys"] = f"{len(active)} in force"
    if not active:
        report.warnings.append(
            Problem(
                "data_dir",
                "there is no API key in force, so every call would be refused",
                f"`copycatch keys create NAME --role admin --data-dir {config.data_dir}` makes one",
            )
        )


def _files(config: Config, report: Report) -> None:
    """Certificates of C2PA."""
    report.attempt("c2pa_trust", lambda: label_settings(config))
    report.attempt("c2pa_certificate, c2pa_key", lambda: signing_certificate(config))


def _encoders(config: Config, report: Report) -> Fingerprinter | None:
    """Load the encoders; None when fingerprints would not be known."""
    copy = report.attempt("encoder", lambda: copy_encoder(config))
    if copy is not None:
        report.serves["encoder"] = f"{copy.info.id}, {copy.info.dimension} d, {copy.info.device}"
    clip, known = _clip(config, report)
    if copy is None or not known:
        return None
    own = batcher(copy, config, _unobserved)
    semantic = batcher(clip, config, _unobserved) if clip is not None else None
    return report.attempt("encoder", lambda: Fingerprinter(own, semantic))


def _clip(config: Config, report: Report) -> tuple[ClipEncoder | None, bool]:
    """CLIP as far as it is on this machine, and whether the server would run with just that."""
    try:
        clip = choose(
            "off" if config.clip == "off" else "required",
            config.clip_name,
            device=config.clip_device,
            threads=config.encoder_threads,
            download_timeout_s=0,
        )
    except WeightsNotFetched as error:
        if config.clip_download_s:
            told = f"its weights are not here yet, and a start fetches {config.clip_name}"
            report.serves["CLIP"] = f"{config.clip_name}, to be fetched at the start"
            report.warnings.append(
                Problem("clip", told, "set clip_weights to a file to start without a network")
            )
            return None, False
        return _without(config, report, error)
    except EncoderUnavailable as error:
        return _without(config, report, error)
    report.serves["CLIP"] = str(clip)
    return clip.encoder, True


def _without(
    config: Config, report: Report, error: EncoderUnavailable
) -> tuple[ClipEncoder | None, bool]:
    if config.clip == "required":
        report.problems.append(
            Problem("clip", error.detail, "or set clip to auto or off to start without it")
        )
        return None, False
    report.serves["CLIP"] = f"off ({error.detail})"
    return None, True


def _unobserved(encoder: str, report: BatchReport) -> None:
    """Nothing is encoded here."""


def _score(config: Config, report: Report, fingerprinter: Fingerprinter | None) -> None:
    given, own = config.score_model, config.calibration
    models = report.attempt(
        "score_model", lambda: ScoreModels.load(given) if given else ScoreModels.bundled()
    )
    calibration = None
    if own is not None:
        calibration = report.attempt("calibration", lambda: Calibration.load(own))
    if models is None:
        return
    report.serves["policy"] = f"{config.policy}@{calibration.id if calibration else models.id}"
    if calibration is not None and fingerprinter is not None:
        schema = fingerprinter.schema
        report.attempt("calibration", lambda: calibration.check_serves(models.id, schema))


def _index(config: Config, report: Report) -> None:
    options = IndexOptions(device=config.index_device)
    remedy = "set index_device to auto or cpu to search on the CPU"
    gpu = report.attempt("index_device", lambda: uses_gpu(options), remedy)
    if gpu is not None:
        report.serves["index"] = "faiss on a GPU" if gpu else "faiss on the CPU"


def _data(config: Config, report: Report, fingerprinter: Fingerprinter | None) -> None:
    folder = config.data_dir
    if (problem := unwritable(config)) is not None:
        report.problems.append(problem)
        return
    stored: Stored | None = Stored()
    report.serves["memory"] = "off"
    if fingerprinter is not None:
        spaces = [Space(name, kind, dimension) for name, kind, dimension in fingerprinter.spaces]
        schema = fingerprinter.schema

        def look() -> Stored:
            with naming_settings(fingerprinter):
                return examine(folder, schema, spaces)

        stored = report.attempt("data_dir", look)
        if config.memory_listings:
            beside = folder / "memory"
            kept = report.attempt("memory_listings", lambda: examine_memory(beside, schema, spaces))
            report.serves["memory"] = f"{kept or 0:,} of {config.memory_listings:,} listings"
    room = shutil.disk_usage(_there(folder)).free
    free = f"{room / 2**30:,.1f} GiB free"
    if room < _LITTLE_ROOM_BYTES:
        report.warnings.append(Problem("data_dir", f"the disk of {folder} has {free}"))
    if stored is None:
        return
    words = f"{counted(stored.originals, 'original')} of {counted(stored.brands, 'brand')}"
    holds = words if stored.version else "new"
    report.serves["data"] = f"{folder.absolute()}: {holds}, {free}"
    if stored.will_migrate:
        told = f"its tables have version {stored.version} and are brought up to date at the start"
        remedy = "make a backup first: older releases can not read it afterwards"
        report.warnings.append(Problem("data_dir", told, remedy))


def _there(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    return next(path for path in (folder, *folder.absolute().parents) if path.exists())


def _sweeps(config: Config, report: Report) -> None:
    missing: Sequence[Path] = [root for root in config.sweep_roots if not root.is_dir()]
    for root in missing:
        report.warnings.append(Problem("sweep_roots", f"there is no folder {root}"))
    allowed = [*map(str, config.sweep_roots), *config.sweep_urls]
    reads = ", ".join(allowed) or "nothing (sweep_roots and sweep_urls are empty)"
    report.serves["sweeps"] = f"{config.sweep_engine}, may read {reads}"
    if config.sweep_engine == "ray" and find_spec("ray") is None:
        remedy = (
            "`pip install -e '.[ray]'` (`uv pip` where uv made the environment) in the project's "
            "folder, or set sweep_engine to local"
        )
        report.problems.append(Problem("sweep_engine", "ray is not installed", remedy))
