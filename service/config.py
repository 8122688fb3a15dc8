"""The settings of a server: their names, units, defaults and ranges.

One flat set of names serves three places: `listen` in a TOML file is `COPYCATCH_LISTEN` in the
environment and `listen=` in Python. What is passed in Python outranks the environment, which
outranks the file, which outranks the defaults. A name that does not exist is an error in each
of them, because a misspelt setting that is ignored is found out in production.
"""

import difflib
import os
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from service.access.settings import AccessSettings
from service.addresses import is_local
from service.sweeps.settings import SweepSettings

PREFIX = "COPYCATCH_"

OTHER_VARIABLES = frozenset(
    {
        "COPYCATCH_API_KEY",
        "COPYCATCH_API_KEY_FILE",
        "COPYCATCH_CLIENT_CERTIFICATE",
        "COPYCATCH_CLIENT_KEY",
        "COPYCATCH_CONFIG",
        "COPYCATCH_OFFLINE",
        "COPYCATCH_SERVER",
        "COPYCATCH_SERVER_CA",
        "COPYCATCH_SERVER_NAME",
        "COPYCATCH_SERVER_PLAINTEXT",
        "COPYCATCH_WEIGHTS",
    }
)
"""Variables of the command line, of models/weights.py and of the tests: no settings."""

_ENVIRONMENT = "the environment"

# Kubernetes puts these into the environment of every pod beside a service named `copycatch`.
_KUBERNETES = re.compile(r"COPYCATCH_(SERVICE_HOST|SERVICE_PORT.*|PORT|PORT_\d+_(TCP|UDP).*)")


class ConfigInvalid(ValueError):
    """A setting is unknown or has a value outside of its range.

    Attributes:
        problems: one line for each, naming the setting and where it was read.
    """

    reason: ClassVar[str] = "CONFIG_INVALID"

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Config(SweepSettings, AccessSettings):
    """Everything that can be set about a server. Build it with `load`."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, extra="forbid", frozen=True, validate_default=True
    )

    data_dir: Path = Field(
        Path("copycatch-data"),
        description="Folder of the store and the snapshots; made when missing. One server each.",
    )
    listen: str = Field(
        "127.0.0.1:50051",
        description="Address of the gRPC server, `host:port` or `unix:path`. Port 0 takes a free "
        "one. Without TLS it has to be on this machine, unless `plaintext` says otherwise.",
    )
    metrics_listen: str = Field(
        "127.0.0.1:9464",
        description="Address of `/metrics`, `/livez` and `/readyz` over HTTP, `host:port`; port 0 "
        "takes a free one; empty switches them off. `/metrics` asks for a key of the role "
        "`metrics`.",
    )

    encoder: Literal["sscd", "sscd_distilled", "toy"] = Field(
        "sscd_distilled",
        description="Copy descriptor. `sscd` finds more, `sscd_distilled` takes a quarter of the "
        "time; `toy` is for tests. An index belongs to one of them: changing it needs a new "
        "`data_dir`.",
    )
    encoder_threads: Annotated[int, Field(ge=0, le=256)] = Field(
        0,
        description="Threads of one forward pass of the copy descriptor, of which as many run at "
        "once as there are cores for them; 0 is one, with which most pictures a second are "
        "checked. CLIP takes one for each core at 0.",
    )
    batch_size: Annotated[int, Field(ge=1, le=256)] = Field(
        8, description="Most pictures in one forward pass."
    )
    batch_wait_ms: Annotated[float, Field(ge=0, le=1000)] = Field(
        0.0,
        description="Milliseconds that a picture waits for others to share a forward pass: 0 on a "
        "CPU, where batches gather while a pass runs; a few pay on a GPU.",
    )
    clip: Literal["auto", "required", "off"] = Field(
        "auto",
        description="CLIP beside the copy descriptor: `auto` uses it when it is installed and "
        "its weights can be had, `required` refuses to start without it, `off` never does.",
    )
    clip_model: str = Field(
        "ViT-B-32",
        description="Name of an open_clip architecture; or `hf-hub:org/name` or "
        "`local-dir:/path`, which bring their own weights.",
    )
    clip_pretrained: str = Field(
        "laion2b_s34b_b79k",
        description="Tag of pretrained weights that open_clip knows; it downloads them once.",
    )
    clip_weights: Path | None = Field(
        None, description="Checkpoint file to load instead of `clip_pretrained`; needs no network."
    )
    clip_device: str = Field(
        "auto", description="Where CLIP runs: `auto` (a GPU when there is one), `cpu`, `cuda:0`."
    )
    clip_download_s: Annotated[float, Field(ge=0, le=86_400)] = Field(
        900.0,
        description="Seconds that fetching CLIP's weights may take at start, before CLIP counts as "
        "not to be had; the server is not ready meanwhile. 0 never fetches.",
    )

    policy: Literal["strict", "balanced", "recall"] = Field(
        "balanced",
        description="Policy of a request that names none: `strict` has few false alarms, `recall` "
        "few misses.",
    )
    calibration: Path | None = Field(
        None,
        description="JSON file of `copycatch calibrate`: your own calibration of the score, and "
        "policies that hold the precision they are named by; made for one score model and encoder.",
    )
    score_model: Path | None = Field(
        None,
        description="JSON file of `scripts/fit.py` to score with instead of the model that comes "
        "with this version.",
    )

    conflict_check: Literal["near", "full", "off"] = Field(
        "near",
        description="Compare new originals with those of other brands, and keep one that copies an "
        "earlier original as `DISPUTED`, so that it flags nobody until somebody decides. `near` "
        "checks what looks alike at a first glance, `full` every picture as thoroughly as a "
        "listing, which takes several times as long; `off` compares nothing.",
    )

    c2pa_trust: Path | None = Field(
        None,
        description="PEM file of the certificates whose C2PA signatures are trusted; without "
        "it a valid signature is reported as signed, by somebody.",
    )
    c2pa_certificate: Path | None = Field(
        None,
        description="PEM file of a certificate and its chain; WriteLabel signs pictures anew with "
        "it that have a C2PA manifest, and refuses them without.",
    )
    c2pa_key: Path | None = Field(
        None, description="PEM file of the private key of `c2pa_certificate`."
    )
    c2pa_algorithm: Literal["es256", "es384", "es512", "ps256", "ps384", "ps512", "ed25519"] = (
        Field("es256", description="Signature algorithm of `c2pa_key`.")
    )

    matching: Literal["processes", "threads"] = Field(
        "processes",
        description="Where pictures are looked at: in `processes` of their own, which Python's "
        "interpreter lock does not hold up, or in `threads` of the server, which take less memory "
        "and check fewer pictures a second.",
    )
    matching_processes: Annotated[int, Field(ge=0, le=256)] = Field(
        0,
        description="Number of these processes; 0 is one more than the cores. Sweeps leave "
        "one of them to calls.",
    )
    worker_threads: Annotated[int, Field(ge=0, le=256)] = Field(
        0,
        description="Threads that register originals and hand pictures to the processes that look "
        "at them, or look themselves; 0 is twice the cores, so that some wait while others work.",
    )
    queue_size: Annotated[int, Field(ge=20, le=100_000)] = Field(
        256,
        description="Most pictures in work or waiting for a thread; one more is answered "
        "QUEUE_FULL. At least the 20 of one listing.",
    )
    max_calls: Annotated[int, Field(ge=1, le=100_000)] = Field(
        64,
        description="Most calls that are served at once; one more is answered QUEUE_FULL before "
        "its message is read. Each may hold a message of 64 MiB, so it bounds the memory.",
    )
    stream_window: Annotated[int, Field(ge=1, le=1024)] = Field(
        8, description="Most items of one stream that are read but not yet answered."
    )
    commit_batch: Annotated[int, Field(ge=1, le=1024)] = Field(
        64, description="Most originals of imports that share one commit to the disk."
    )
    shutdown_grace_s: Annotated[float, Field(ge=0, le=3600)] = Field(
        30.0, description="Seconds that calls in work get to finish when the server is stopped."
    )

    store_gib: Annotated[float, Field(gt=0, le=16_384)] = Field(
        1024.0,
        description="Most GiB that the store may take on disk; a write beyond it is answered "
        "STORE_FULL. The file grows as it is filled.",
    )
    audit: Literal["required", "best_effort"] = Field(
        "required",
        description="What to do when a verdict other than CLEAR can not be written to the audit "
        "log: `required` answers the error, such as STORE_FULL, instead of the verdict; "
        "`best_effort` answers the verdict and logs an error.",
    )
    audit_days: Annotated[float, Field(ge=0, le=36_500)] = Field(
        0.0, description="Days that entries of the audit log are kept; 0 keeps them for good."
    )
    audit_print_days: Annotated[float, Field(ge=0, le=36_500)] = Field(
        180.0,
        description="Days that fingerprints of listing pictures are kept with their entries, for "
        "`copycatch replay`; 0 keeps them as long as the entries.",
    )
    audit_gib: Annotated[float, Field(gt=0, le=16_384)] = Field(
        16.0,
        description="Most GiB of entries and fingerprints; beyond it the oldest are dropped, "
        "fingerprints first.",
    )
    snapshot_changes: Annotated[int, Field(ge=0, le=1_000_000_000)] = Field(
        20_000,
        description="Changes after which a snapshot of the indexes is written, in the background; "
        "one is also written when the server stops. 0 writes none: every start rebuilds.",
    )
    memory_listings: Annotated[int, Field(ge=0, le=1_000_000_000)] = Field(
        0,
        description="Checked listings that are remembered, so that originals which are registered "
        "later find their copies among them; the oldest are forgotten first. 0 remembers nothing.",
    )
    memory_days: Annotated[float, Field(gt=0, le=36_500)] = Field(
        90.0, description="Days after which a remembered listing is forgotten."
    )
    memory_gib: Annotated[float, Field(gt=0, le=16_384)] = Field(
        64.0,
        description="Most GiB that remembered listings may take on disk; the oldest are forgotten "
        "when they fill three quarters of it, so that there is always room to forget.",
    )
    memory_queue: Annotated[int, Field(ge=1, le=100_000)] = Field(
        256,
        description="Most listings that wait to be remembered; one more is left out and counted, "
        "so that no answer waits for it.",
    )
    index_device: Literal["auto", "cpu", "gpu"] = Field(
        "auto",
        description="Where indexes are searched: `auto` takes a GPU when faiss sees one, `gpu` "
        "refuses to start without.",
    )
    index_threads: Annotated[int, Field(ge=1, le=256)] = Field(
        1, description="Threads of one search on the CPU; searches also run beside each other."
    )
    ivf_from_rows: Annotated[int, Field(ge=10_000, le=1_000_000_000)] = Field(
        2_000_000,
        description="Originals in one part of an index from which it is approximate (IVF); below "
        "it is exact.",
    )
    ivf_recall: Annotated[float, Field(ge=0.5, le=1.0)] = Field(
        0.95,
        description="Share of the true ten nearest that an approximate index has to find, "
        "measured when it is built.",
    )

    log_format: Literal["json", "text"] = Field(
        "json", description="Form of a log line: one JSON object, or words for a terminal."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severity that is logged; requests are `info`."
    )

    @field_validator("listen", "metrics_listen")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        if value.startswith("unix:") or not value:
            return value
        host, separator, port = value.rpartition(":")
        if not separator or not host or not port.isdigit() or int(port) > 65535:
            raise ValueError("must be host:port with a port in 0..65535")
        return value

    @field_validator("listen")
    @classmethod
    def _is_not_empty(cls, value: str) -> str:
        if not value:
            raise ValueError("must not be empty")
        return value

    @field_validator("metrics_listen")
    @classmethod
    def _is_tcp(cls, value: str) -> str:
        if value.startswith("unix:"):
            raise ValueError("must be host:port, or empty")
        return value

    @model_validator(mode="after")
    def _has_both_or_neither(self) -> Self:
        if (self.c2pa_certificate is None) != (self.c2pa_key is None):
            raise ValueError("c2pa_certificate and c2pa_key go together")
        return self

    @model_validator(mode="after")
    def _is_open_on_this_machine_alone(self) -> Self:
        if self.insecure and not is_local(self.listen):
            raise ValueError(
                f"insecure goes with a loopback address or a unix: one, not with {self.listen}"
            )
        return self

    @model_validator(mode="after")
    def _is_readable_on_this_machine_alone(self) -> Self:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key go together")
        if self.tls_client_ca is not None and self.tls_certificate is None:
            raise ValueError("tls_client_ca needs tls_certificate and tls_key")
        if self.tls_certificate is not None or self.plaintext:
            return self
        for name in ("listen", "metrics_listen"):
            address = getattr(self, name)
            if address and not is_local(address):
                raise ValueError(
                    f"{name} = {address} can be reached from other machines and has no TLS: set "
                    "tls_certificate and tls_key, or plaintext = true"
                )
        return self

    @property
    def clip_name(self) -> str:
        """The three settings about CLIP's weights in the one spelling of `models.weights`."""
        if self.clip_model.startswith(("hf-hub:", "local-dir:")):
            return self.clip_model
        if self.clip_weights is not None:
            return f"{self.clip_model}:{self.clip_weights}"
        return f"{self.clip_model}/{self.clip_pretrained}"

    @property
    def threads(self) -> int:
        """Number of worker threads that `worker_threads` stands for."""
        return self.worker_threads or 2 * cores()

    @property
    def processes(self) -> int:
        """Number of processes that look at pictures; 0 when the server's threads do."""
        return 0 if self.matching == "threads" else self.matching_processes or cores() + 1

    @property
    def threads_of_pass(self) -> int:
        """Number of threads that `encoder_threads` stands for, of the copy descriptor.

        A second thread makes a pass of `sscd_distilled` take as long as before, on more cores, and
        one of `sscd` a third less, which a caller alone does not notice beside all else.
        """
        return self.encoder_threads or 1

    @property
    def passes_at_once(self) -> int:
        """Number of passes of the copy descriptor that the cores have room for."""
        return max(1, cores() // self.threads_of_pass)

    @property
    def threads_of_sweeps(self) -> int:
        """Number of threads that `sweep_threads` stands for."""
        return self.sweep_threads or cores() + 1

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take values from Python and the environment; `load` brings the file."""
        return (init_settings, env_settings)


def cores() -> int:
    """Return how many cores this process may use, at least 1."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0)) or 1
    return os.cpu_count() or 1


def load(path: Path | None = None, **values: Any) -> Config:
    """Read the settings of a file and of the environment.

    Args:
        path: a TOML file of settings; none when None.
        values: settings that outrank both.

    Raises:
        ConfigInvalid: the file can not be read, or a setting is unknown or out of range. It
            lists everything that is wrong, not only the first.
    """
    from_file = _read(path) if path else {}
    in_environment = {
        name.removeprefix(PREFIX).lower()
        for name in os.environ
        if name.startswith(PREFIX)
        and name not in OTHER_VARIABLES
        and not _KUBERNETES.fullmatch(name)
    }
    problems = []
    for origin, names in (
        (str(path), from_file),
        (_ENVIRONMENT, sorted(in_environment)),
        ("the call", values),
    ):
        problems += [_unknown(name, origin) for name in names if name not in Config.model_fields]
    if problems:
        raise ConfigInvalid(problems)
    outranked = {name: value for name, value in from_file.items() if name not in in_environment}
    try:
        return Config(**{**outranked, **values})
    except ValidationError as error:
        raise ConfigInvalid([_out_of_range(one) for one in error.errors()]) from None


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigInvalid([f"{path}: {error}"]) from error


def _unknown(name: str, origin: str) -> str:
    nearest = difflib.get_close_matches(name, Config.model_fields, n=1, cutoff=0.0)[0]
    shown = PREFIX + name.upper() if origin == _ENVIRONMENT else name
    near = PREFIX + nearest.upper() if origin == _ENVIRONMENT else nearest
    return f"{shown} in {origin} is not a setting; the nearest is {near}"


def _out_of_range(error: Any) -> str:
    name = ".".join(str(part) for part in error["loc"])
    if not name:  # about several settings at once, which its message names
        return str(error["msg"])
    return f"{name}: {error['msg']} (got {error['input']!r})"
