"""From settings to single parts: encoders, catalogue, memory, matcher, labels."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from index.audit import Retention
from index.catalogue import Catalogue, CatalogueConfig, Clock
from index.live import LiveOptions
from index.memory import Memory, MemoryConfig
from index.spaces import Space
from index.store import StoreOptions
from index.vectors import IndexOptions
from models.batcher import Batcher, BatchReport
from models.encoders import Encoder
from models.fingerprint import Fingerprinter
from models.labels.content_credentials import (
    SigningCertificate,
    TrustList,
    check_certificate,
    check_trust,
)
from models.labels.read import LabelSettings
from models.sscd import SscdEncoder
from models.toy import ToyEncoder
from service.config import Config
from service.helpers.wire import Setup
from service.matching.calibration import Calibration
from service.matching.pipeline import Matcher
from service.matching.score import ScoreModels
from service.schemas import naming_settings

Observe = Callable[[str, BatchReport], None]


def copy_encoder(config: Config) -> Encoder:
    """Load and warm up the copy descriptor. Raises EncoderUnavailable."""
    if config.encoder == "toy":
        return ToyEncoder()
    encoder = SscdEncoder(config.encoder, threads=config.threads_of_pass)
    encoder.warm_up()
    return encoder


def batcher(encoder: Encoder, config: Config, observe: Observe, passes: int = 1) -> Batcher:
    """Make what shares the encoder's passes among callers; it has to be started.

    Args:
        passes: how many may run at once.
    """
    return Batcher(
        encoder,
        max_batch=config.batch_size,
        max_queue=config.queue_size,
        workers=passes,
        linger_s=config.batch_wait_ms / 1000,
        observe=partial(observe, encoder.info.name),
    )


def spaces_of(fingerprinter: Fingerprinter) -> list[Space]:
    """The kinds of vector that an index of fingerprints has."""
    return [Space(*space) for space in fingerprinter.spaces]


def store_options(config: Config) -> StoreOptions:
    """How large a store may grow."""
    return StoreOptions(max_bytes=int(config.store_gib * (1 << 30)))


def open_catalogue(config: Config, fingerprinter: Fingerprinter, clock: Clock) -> Catalogue:
    """Open the data folder for the fingerprints that are made.

    Raises:
        SchemaMismatch: it has others; names the settings that made them.
        whatever else `Catalogue.open` raises.
    """
    with naming_settings(fingerprinter):
        return Catalogue.open(
            config.data_dir,
            spaces_of(fingerprinter),
            fingerprinter.schema,
            CatalogueConfig(
                live=LiveOptions(
                    index=IndexOptions(
                        device=config.index_device,
                        search_threads=config.index_threads,
                        ivf_from_rows=config.ivf_from_rows,
                        ivf_recall=config.ivf_recall,
                    )
                ),
                store=store_options(config),
                snapshot_changes=config.snapshot_changes,
                retention=Retention(
                    days=config.audit_days,
                    max_bytes=int(config.audit_gib * (1 << 30)),
                    print_days=config.audit_print_days,
                ),
            ),
            clock,
        )


def open_memory(config: Config, fingerprinter: Fingerprinter, clock: Clock) -> Memory:
    """Open the memory of listings beside the catalogue."""
    return Memory.open(
        config.data_dir / "memory",
        spaces_of(fingerprinter),
        fingerprinter.schema,
        MemoryConfig(
            max_listings=config.memory_listings,
            max_age_s=config.memory_days * 86_400,
            max_bytes=int(config.memory_gib * (1 << 30)),
        ),
        clock,
    )


def matcher_of(config: Config, catalogue: Catalogue, fingerprinter: Fingerprinter) -> Matcher:
    """What looks at pictures in the thread that asks. Raises what loading the score raises."""
    always = config.key_points == "always"
    return Matcher(catalogue, fingerprinter, config.policy, *_scores(config), key_points=always)


def _scores(config: Config) -> tuple[ScoreModels, Calibration | None]:
    models = ScoreModels.load(config.score_model) if config.score_model else ScoreModels.bundled()
    return models, Calibration.load(config.calibration) if config.calibration else None


def setup_of(config: Config, encoders: Mapping[str, Batcher]) -> Setup:
    """What processes that look at pictures need to know."""
    preparing = {
        space: (each.encoder.info, getattr(each.encoder, "preparation", None))
        for space, each in encoders.items()
    }
    return Setup(preparing, config.policy, *_scores(config), config.key_points == "always")


def label_settings(config: Config) -> LabelSettings:
    """How AI labels are read. Raises TrustListUnusable, OSError."""
    if config.c2pa_trust is None:
        return LabelSettings()
    trust = TrustList(anchors_pem=_text(config.c2pa_trust))
    check_trust(trust)
    return LabelSettings(trust=trust)


def signing_certificate(config: Config) -> SigningCertificate | None:
    """What pictures are signed with. Raises ManifestSigningFailed, OSError."""
    if config.c2pa_certificate is None or config.c2pa_key is None:
        return None
    certificate = SigningCertificate(
        _text(config.c2pa_certificate), _text(config.c2pa_key), config.c2pa_algorithm
    )
    check_certificate(certificate)
    return certificate


def _text(path: Path) -> str:
    return path.read_text(encoding="ascii", errors="replace")
