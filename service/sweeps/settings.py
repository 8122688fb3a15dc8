"""The settings of sweeps, a part of those of a server (`service.config`)."""

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode

from service.cores import cores
from service.sweeps.access import Access


class SweepSettings(BaseSettings):
    """What can be set about sweeps."""

    sweep_roots: Annotated[tuple[Path, ...], NoDecode] = Field(
        (),
        description="Folders on this machine that sweeps may read manifests and pictures from, "
        "with links resolved; in the environment separated as in PATH. One with `{brand}` in it, "
        "such as `/srv/uploads/{brand}`, is for the sweeps of brands, which read no other. None by "
        "default.",
    )
    sweep_urls: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Beginnings of URLs that sweeps may read from, with scheme and host, such as "
        "`s3://bucket/listings`; in the environment separated by blanks. `{brand}` as in "
        "`sweep_roots`. None by default.",
    )
    sweep_threads: Annotated[int, Field(ge=0, le=256)] = Field(
        0,
        description="Threads that sweeps work in while no call has a picture in work; 0 is one "
        "more than the cores.",
    )

    sweep_engine: Literal["local", "ray"] = Field(
        "local", description="Where sweeps run: threads of the server, or a Ray cluster."
    )
    ray_address: str = Field(
        "", description="Address of the Ray cluster; empty starts a Ray on this machine."
    )
    ray_workers: Annotated[int, Field(ge=0, le=10_000)] = Field(
        0, description="Processes of a sweep on Ray, a core each; 0 is one for each core here."
    )
    ray_share: Path | None = Field(
        None, description="Folder that all nodes see, for copies of the catalogue; not needed here."
    )

    @property
    def threads_of_sweeps(self) -> int:
        """Number of threads that `sweep_threads` stands for."""
        return self.sweep_threads or cores() + 1

    @field_validator("sweep_urls", "sweep_roots", mode="before")
    @classmethod
    def _are_several(cls, value: object, info: ValidationInfo) -> object:
        blank = None if info.field_name == "sweep_urls" else os.pathsep
        return value.split(blank) if isinstance(value, str) else value

    @field_validator("sweep_urls")
    @classmethod
    def _name_scheme_and_host(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        Access.of((), value)
        return value
