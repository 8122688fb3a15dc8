"""The settings of the server itself, a part of all that there are (`service.config`)."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field
from pydantic_settings import BaseSettings

from service.cores import cores


class ServerSettings(BaseSettings):
    """What can be set about addresses, calls and their queues, labels and the log."""

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
        "takes a free one, which the log names; empty switches them off. `/metrics` asks for a key "
        "of the role `metrics`.",
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

    log_format: Literal["auto", "json", "text"] = Field(
        "auto",
        description="Form of a log line: one JSON object, or words; `auto` is words where stderr "
        "is a terminal, JSON elsewhere.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severity that is logged; requests are `info`."
    )

    @property
    def threads(self) -> int:
        """Number of worker threads that `worker_threads` stands for."""
        return self.worker_threads or 2 * cores()

    def log_form(self, *, terminal: bool) -> Literal["json", "text"]:
        """The form that `log_format` stands for, with stderr a terminal or not."""
        if self.log_format == "auto":
            return "text" if terminal else "json"
        return self.log_format
