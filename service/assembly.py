"""From settings to the parts that answer calls: encoders, catalogue, matcher, registry."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

from index.audit import Retention
from index.catalogue import Catalogue, CatalogueConfig, Clock
from index.disk import StoreFailed
from index.frozen import FrozenCatalogue
from index.live import LiveOptions
from index.memory import Memory, MemoryConfig
from index.spaces import Space
from index.store import StoreOptions
from index.vectors import IndexOptions
from models.batcher import Batcher, BatchReport
from models.clip import choose
from models.encoders import Encoder
from models.fingerprint import Fingerprinter
from models.labels.content_credentials import (
    SigningCertificate,
    TrustList,
    check_certificate,
    check_trust,
)
from models.labels.read import LabelSettings
from models.pixel_budget import DECODING
from models.sscd import SscdEncoder
from models.toy import ToyEncoder
from service.config import Config, cores
from service.conflicts import ConflictChecker
from service.engine import Engine
from service.helpers.matcher import HelpedMatcher
from service.helpers.pool import Helpers
from service.helpers.wire import Setup
from service.matching.calibration import Calibration
from service.matching.pipeline import Matcher
from service.matching.score import ScoreModels
from service.registry import Registry
from service.remembering import Remembering
from service.replay import Replayer
from service.rights import RightsChecker
from service.sweeps.access import Access
from service.sweeps.book import SweepBook
from service.sweeps.families import Families
from service.sweeps.local import LocalEngine
from service.sweeps.partition import Entry, Inspector, Noting
from service.sweeps.recall import Recall
from service.sweeps.runner import SweepEngine, Sweeps

log = logging.getLogger(__name__)

Observe = Callable[[str, BatchReport], None]
Counted = Callable[[str, int], None]


def assemble(
    config: Config,
    observe: Observe = lambda encoder, report: None,
    clock: Clock = time.time_ns,
    remembered: Counted = lambda outcome, count: None,
) -> Engine:
    """Load everything and warm it up; blocks for seconds.

    Args:
        observe: told of each forward pass: the encoder's name and what the pass did.
        clock: nanoseconds since 1970, for the times that are stored and compared.
        remembered: told of listings that were remembered or not, see `Remembering`.

    Raises:
        EncoderUnavailable: an encoder that is asked for can not be had.
        SchemaMismatch, StoreInUse, StoreReadOnly, StoreFull, StoreCorrupt, StoreTooNew: the
            data folder can not be used.
        MemoryMismatch: the memory of listings was made by another schema.
        DeviceMissing, FaissMissing: of the index.
        ModelCorrupt, CalibrationCorrupt, CalibrationMismatch: the score can not be used.
        TrustListUnusable, ManifestSigningFailed: C2PA files can not be used.
        OSError: a file that a setting names can not be read.
    """
    DECODING.resize(config.decode_mib << 20)
    with ExitStack() as opened:
        labels, certificate = label_settings(config), signing_certificate(config)
        clip = choose(
            config.clip,
            config.clip_name,
            device=config.clip_device,
            threads=config.encoder_threads,
            download_timeout_s=config.clip_download_s,
        )
        log.info("clip: %s", clip)
        passes = config.passes_at_once
        copy = opened.enter_context(batcher(copy_encoder(config), config, observe, passes))
        semantic = None
        if clip.encoder is not None:
            semantic = opened.enter_context(batcher(clip.encoder, config, observe))
        fingerprinter = Fingerprinter(copy, semantic)
        catalogue = opened.enter_context(_catalogue(config, fingerprinter, clock))
        matcher = aside = _matcher(config, catalogue, fingerprinter)
        helpers: Helpers | None = None
        if config.processes:
            running = {"sscd": copy} | ({} if semantic is None else {"clip": semantic})
            helpers = _helpers(config, catalogue, running)
            opened.callback(helpers.close)
            helpers.ready()
            matcher = HelpedMatcher(catalogue, fingerprinter, helpers)
            aside = HelpedMatcher(catalogue, fingerprinter, helpers, aside=True)
        rights = RightsChecker(catalogue, matcher, clock)
        waiting = RightsChecker(catalogue, aside, clock)
        remembering = None
        if config.memory_listings:
            memory = opened.enter_context(_memory(config, fingerprinter, clock))
            remembering = Remembering(memory, config.memory_queue, remembered)
            opened.callback(remembering.close)
        recall = _recall(catalogue, aside, waiting, remembering)
        sweeps = _sweeps(config, catalogue, aside, waiting, recall, remembering, clock)
        opened.callback(sweeps.close)
        conflicts = None
        if config.conflict_check != "off":
            full = config.conflict_check == "full"
            conflicts = ConflictChecker(catalogue, matcher, fingerprinter, full)
        return Engine(
            catalogue=catalogue,
            matcher=matcher,
            helpers=helpers,
            registry=Registry(catalogue, fingerprinter, conflicts),
            rights=rights,
            replayer=Replayer(catalogue, fingerprinter, matcher, rights),
            sweeps=sweeps,
            encoders=tuple(b.encoder.info for b in (copy, semantic) if b is not None),
            clip=str(clip).removeprefix("clip: "),
            labels=labels,
            certificate=certificate,
            clock=clock,
            remembering=remembering,
            close=opened.pop_all().close,
        )


def _matcher(config: Config, catalogue: Catalogue, fingerprinter: Fingerprinter) -> Matcher:
    return Matcher(catalogue, fingerprinter, config.policy, *_scores(config))


def _scores(config: Config) -> tuple[ScoreModels, Calibration | None]:
    models = ScoreModels.load(config.score_model) if config.score_model else ScoreModels.bundled()
    return models, Calibration.load(config.calibration) if config.calibration else None


def _helpers(config: Config, catalogue: Catalogue, encoders: Mapping[str, Batcher]) -> Helpers:
    """Start the processes that look at pictures."""
    preparing = {
        space: (each.encoder.info, getattr(each.encoder, "preparation", None))
        for space, each in encoders.items()
    }
    return Helpers(
        config.processes,
        Setup(preparing, config.policy, *_scores(config)),
        catalogue,
        encoders,
        config.picture_timeout_s,
    )


def _recall(
    catalogue: Catalogue, matcher: Matcher, rights: RightsChecker, remembering: Remembering | None
) -> Recall | None:
    """Retroactive sweeps, where listings are remembered."""
    if remembering is None:
        return None
    return Recall(
        remembering.memory,
        catalogue,
        matcher.could_be,
        lambda sketch, entry, options: rights.check_again(
            sketch, options, rights.offer(entry.seller, entry.territory)
        ),
        remembering.flush,
    )


def _noting(rights: RightsChecker, remembering: Remembering | None) -> Noting | None:
    """Sweeps remember what they check; nobody waits for a sweep, so it waits for room."""
    if remembering is None:
        return None
    return Noting(
        lambda image, listing, options, keep: rights.check(
            image, options, rights.offer(listing.seller, listing.territory), keep=keep
        ),
        lambda listing, kept: remembering.offer(
            listing.listing_id, listing.seller, kept, territory=listing.territory, wait=True
        ),
    )


def _sweeps(
    config: Config,
    catalogue: Catalogue,
    matcher: Matcher,
    rights: RightsChecker,
    recall: Recall | None,
    remembering: Remembering | None,
    clock: Clock,
) -> Sweeps:
    inspector = replace(
        _inspector(config, catalogue, matcher, rights),
        recall=recall,
        noting=_noting(rights, remembering),
    )

    def enter(entries: Sequence[Entry]) -> None:
        """Wait until verdicts are in the audit log, as CheckListing does."""
        try:
            for future in [
                catalogue.audit.record(e.action, e.details, brands=e.brands, prints=e.prints)
                for e in entries
            ]:
                future.result()
        except StoreFailed as error:
            if config.audit == "required":
                raise
            log.error("a verdict of a sweep is not in the audit log: %s", error)

    return Sweeps(
        SweepBook.open(
            config.data_dir / "sweeps",
            StoreOptions(max_bytes=int(config.store_gib * (1 << 30))),
            clock,
        ),
        catalogue,
        inspector.access,
        _sweep_engine(config, catalogue, inspector),
        matcher.provenance,
        enter,
        recall,
    )


def _inspector(
    config: Config, catalogue: Catalogue, matcher: Matcher, rights: RightsChecker
) -> Inspector:
    return Inspector(
        lambda image, listing, options: rights.check(
            image, options, rights.offer(listing.seller, listing.territory)
        ),
        Families(catalogue),
        Access.of(config.sweep_roots, config.sweep_urls),
        matcher.provenance,
    )


def _sweep_engine(config: Config, catalogue: Catalogue, inspector: Inspector) -> SweepEngine:
    if config.sweep_engine == "local":
        return LocalEngine(inspector, config.threads_of_sweeps)
    from service.sweeps.cluster import RayEngine  # needs the extra `ray`

    return RayEngine(
        inspector,
        catalogue.copy_to,
        partial(inspector_of_copy, config),
        config.ray_share or config.data_dir / "sweeps",
        config.ray_address,
        config.ray_workers or cores(),
    )


def inspector_of_copy(config: Config, folder: Path) -> Inspector:
    """Build what looks at listings in a process of its own, over a copy of the catalogue.

    It is never closed: the process ends with it.

    Args:
        config: of the server that made the copy.
        folder: made by `Catalogue.copy_to`.
    """
    alone = config.model_copy(update={"encoder_threads": 1, "index_device": "cpu"})
    clip = choose(alone.clip, alone.clip_name, device=alone.clip_device, threads=1)
    copy = batcher(copy_encoder(alone), alone, _unobserved).start()
    semantic = None
    if clip.encoder is not None:
        semantic = batcher(clip.encoder, alone, _unobserved).start()
    fingerprinter = Fingerprinter(copy, semantic)
    spaces = [Space(name, kind, dimension) for name, kind, dimension in fingerprinter.spaces]
    catalogue = FrozenCatalogue(folder, spaces, fingerprinter.schema)
    matcher = _matcher(alone, catalogue, fingerprinter)
    rights = RightsChecker(catalogue, matcher, time.time_ns)
    return _inspector(alone, catalogue, matcher, rights)


def _unobserved(encoder: str, report: BatchReport) -> None:
    """Nobody counts what a process of a sweep does."""


def _catalogue(config: Config, fingerprinter: Fingerprinter, clock: Clock) -> Catalogue:
    """Open the data folder for the fingerprints that are made."""
    return Catalogue.open(
        config.data_dir,
        [Space(name, kind, dimension) for name, kind, dimension in fingerprinter.spaces],
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
            store=StoreOptions(max_bytes=int(config.store_gib * (1 << 30))),
            snapshot_changes=config.snapshot_changes,
            retention=Retention(
                days=config.audit_days,
                max_bytes=int(config.audit_gib * (1 << 30)),
                print_days=config.audit_print_days,
            ),
        ),
        clock,
    )


def _memory(config: Config, fingerprinter: Fingerprinter, clock: Clock) -> Memory:
    """Open the memory of listings beside the catalogue."""
    return Memory.open(
        config.data_dir / "memory",
        [Space(name, kind, dimension) for name, kind, dimension in fingerprinter.spaces],
        fingerprinter.schema,
        MemoryConfig(
            max_listings=config.memory_listings,
            max_age_s=config.memory_days * 86_400,
            max_bytes=int(config.memory_gib * (1 << 30)),
        ),
        clock,
    )


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
