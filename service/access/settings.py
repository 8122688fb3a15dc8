"""The settings about who may call, and how much of the server a caller or a picture may take."""

from pathlib import Path
from typing import Annotated

from pydantic import Field
from pydantic_settings import BaseSettings


class AccessSettings(BaseSettings):
    """Part of `service.config.Config`, which checks what they have to do with the addresses."""

    insecure: bool = Field(
        False,
        description="Ask nobody for an API key: everybody may do everything. Only on the loopback "
        "interface or a Unix socket.",
    )
    plaintext: bool = Field(
        False,
        description="Listen without TLS on an address that other machines reach, as behind a proxy "
        "that ends TLS: keys and pictures then cross that network readable.",
    )
    tls_certificate: Path | None = Field(
        None,
        description="PEM file of the server's certificate and its chain; with it and `tls_key` "
        "both ports speak TLS alone. A file that changes is used from the next connection on.",
    )
    tls_key: Path | None = Field(
        None, description="PEM file of the private key of `tls_certificate`, not encrypted."
    )
    tls_client_ca: Path | None = Field(
        None,
        description="PEM file of the CA whose client certificates are taken: every gRPC client "
        "then has to show one (mTLS), which can stand for an API key (`copycatch keys create "
        "--certificate`).",
    )
    caller_timeout_s: Annotated[float, Field(gt=0, le=3600)] = Field(
        60.0,
        description="Seconds in which a caller has to send the message of its call, and to take an "
        "answer.",
    )
    stream_idle_s: Annotated[float, Field(gt=0, le=86_400)] = Field(
        300.0,
        description="Seconds in which the next message of a stream has to come while the server is "
        "ready for it.",
    )
    key_requests_per_s: Annotated[float, Field(ge=0, le=1_000_000)] = Field(
        1000.0,
        description="Calls and items of streams a second of an API key that has no limit of its "
        "own; one more call is answered KEY_LIMIT_REACHED, a stream is slowed. 0 is no limit.",
    )
    key_mib_per_s: Annotated[float, Field(ge=0, le=100_000)] = Field(
        256.0, description="MiB of messages a second, likewise."
    )
    key_streams: Annotated[int, Field(ge=0, le=100_000)] = Field(
        16, description="Streams open at once, likewise."
    )
    key_pictures: Annotated[int, Field(ge=0, le=100_000)] = Field(
        0, description="Pictures in work or waiting at once, likewise; a listing counts whole."
    )
    picture_timeout_s: Annotated[float, Field(ge=0, le=3600)] = Field(
        120.0,
        description="Seconds of work on one picture after which it is answered PICTURE_TIMED_OUT "
        "and another thread takes over; 0 waits for ever.",
    )
    decode_mib: Annotated[int, Field(ge=1024, le=1_048_576)] = Field(
        2048,
        description="Most MiB that pictures take that are being decoded, 8 bytes a pixel; one more "
        "waits. At least the largest picture.",
    )
