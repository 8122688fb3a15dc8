"""Everything that answers calls, as one value: `service.assembly` builds it."""

from collections.abc import Callable
from dataclasses import dataclass

from index.catalogue import Catalogue
from models.encoders import EncoderInfo
from models.labels.content_credentials import SigningCertificate
from models.labels.read import LabelSettings
from service.helpers.pool import Helpers
from service.matching.pipeline import Matcher
from service.registry import Registry
from service.remembering import Remembering
from service.replay import Replayer
from service.rights import RightsChecker
from service.sweeps.runner import Sweeps


@dataclass(frozen=True, slots=True)
class Engine:
    """The loaded parts of a server.

    Attributes:
        catalogue: store and live indexes.
        matcher: checks and compares pictures.
        registry: registers originals.
        helpers: the processes that the matcher has; None when it works in the server's threads.
        rights: checks pictures with a look at who offers them.
        replayer: replays verdicts of the audit log.
        sweeps: checks manifests of listings, once it is started.
        encoders: what is loaded, the copy descriptor first.
        clip: `on`, or `off` and why.
        labels: how AI labels are read.
        certificate: signs pictures anew that have a C2PA manifest; None refuses them.
        clock: nanoseconds since 1970, for the times that are stored and compared.
        remembering: the way into the memory of listings; None when nothing is remembered.
        close: gives files, threads and memory back, after a last snapshot.
    """

    catalogue: Catalogue
    matcher: Matcher
    helpers: Helpers | None
    registry: Registry
    rights: RightsChecker
    replayer: Replayer
    sweeps: Sweeps
    encoders: tuple[EncoderInfo, ...]
    clip: str
    labels: LabelSettings
    certificate: SigningCertificate | None
    clock: Callable[[], int]
    remembering: Remembering | None
    close: Callable[[], None]
