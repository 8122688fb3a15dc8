"""From settings to the parts that answer calls: encoders, catalogue, matcher, registry."""

import logging
import time
from collections.abc import Callable
from contextlib import ExitStack

from index.catalogue import Clock
from models.clip import choose
from models.fingerprint import Fingerprinter
from models.pixel_budget import DECODING
from service.config import Config
from service.conflicts import ConflictChecker
from service.engine import Engine
from service.helpers.matcher import HelpedMatcher
from service.helpers.pool import Helpers
from service.parts import (
    Observe,
    batcher,
    copy_encoder,
    label_settings,
    matcher_of,
    open_catalogue,
    open_memory,
    setup_of,
    signing_certificate,
)
from service.registry import Registry
from service.remembering import Remembering
from service.replay import Replayer
from service.rights import RightsChecker
from service.sweeping import sweeps_of

log = logging.getLogger(__name__)

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
        catalogue = opened.enter_context(open_catalogue(config, fingerprinter, clock))
        matcher = aside = matcher_of(config, catalogue, fingerprinter)
        helpers: Helpers | None = None
        if config.processes:
            running = {"sscd": copy} | ({} if semantic is None else {"clip": semantic})
            helpers = Helpers(config.processes, config.picture_timeout_s)
            opened.callback(helpers.close)
            helpers.begin(setup_of(config, running), catalogue, running)
            matcher = HelpedMatcher(catalogue, fingerprinter, helpers)
            aside = HelpedMatcher(catalogue, fingerprinter, helpers, aside=True)
        rights = RightsChecker(catalogue, matcher, clock)
        waiting = RightsChecker(catalogue, aside, clock)
        remembering = None
        if config.memory_listings:
            memory = opened.enter_context(open_memory(config, fingerprinter, clock))
            remembering = Remembering(memory, config.memory_queue, remembered)
            opened.callback(remembering.close)
        sweeps = sweeps_of(config, catalogue, aside, waiting, remembering, clock)
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
            clip=str(clip),
            labels=labels,
            certificate=certificate,
            clock=clock,
            remembering=remembering,
            close=opened.pop_all().close,
        )
