"""The settings of what is kept, a part of those of a server (`service.config`)."""

from typing import Annotated, Literal

from pydantic import Field
from pydantic_settings import BaseSettings


class StoreSettings(BaseSettings):
    """What can be set about the store, the audit log, the memory of listings and the indexes."""

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
