"""From settings to what sweeps: over the server's own parts, or over a copy of its catalogue."""

import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from index.catalogue import Catalogue, Clock
from index.disk import StoreFailed
from index.frozen import FrozenCatalogue
from models.batcher import BatchReport
from models.clip import choose
from models.fingerprint import Fingerprinter
from service.config import Config
from service.cores import cores
from service.matching.pipeline import Matcher
from service.parts import batcher, copy_encoder, matcher_of, spaces_of, store_options
from service.remembering import Remembering
from service.rights import RightsChecker
from service.sweeps.access import Access
from service.sweeps.book import SweepBook
from service.sweeps.families import Families
from service.sweeps.local import LocalEngine
from service.sweeps.partition import Entry, Inspector, Noting
from service.sweeps.recall import Recall
from service.sweeps.runner import SweepEngine, Sweeps

log = logging.getLogger(__name__)


def sweeps_of(
    config: Config,
    catalogue: Catalogue,
    matcher: Matcher,
    rights: RightsChecker,
    remembering: Remembering | None,
    clock: Clock,
) -> Sweeps:
    """Open the book of sweeps; what was under way goes on."""
    recall = _recall(catalogue, matcher, rights, remembering)
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
            store_options(config),
            clock,
        ),
        catalogue,
        inspector.access,
        _sweep_engine(config, catalogue, inspector),
        matcher.provenance,
        enter,
        recall,
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
    catalogue = FrozenCatalogue(folder, spaces_of(fingerprinter), fingerprinter.schema)
    matcher = matcher_of(alone, catalogue, fingerprinter)
    rights = RightsChecker(catalogue, matcher, time.time_ns)
    return _inspector(alone, catalogue, matcher, rights)


def _unobserved(encoder: str, report: BatchReport) -> None:
    """Nobody counts what a process of a sweep does."""
