"""Which settings made the fingerprints of a data folder that this configuration can not read."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from index.recovery import Schema, SchemaMismatch
from models.fingerprint import Fingerprinter, schema_of
from models.sscd import PACKAGED
from models.toy import ToyEncoder


@contextmanager
def naming_settings(fingerprinter: Fingerprinter) -> Iterator[None]:
    """Have a `SchemaMismatch` of the block say which settings would fit the data folder."""
    try:
        yield
    except SchemaMismatch as error:
        remedy = fitting(error.stored, fingerprinter.ids)
        raise SchemaMismatch(
            error.path, error.stored, error.wanted, error.originals, remedy
        ) from error


def fitting(stored: Schema, ids: Mapping[str, str]) -> str:
    """Return which settings to set to what, as far as a schema tells.

    Args:
        ids: by kind of vector what this configuration makes it by.
    """
    had_clip = any(name == "clip" for name, _, _ in stored.spaces)
    if had_clip and "clip" not in ids:
        # What made those has a digest of weights that are not here, so nothing can be tried.
        return 'set clip = "required", clip_model and encoder as they were: it has CLIP\'s vectors'
    settings = []
    if "clip" in ids and not had_clip:
        settings.append('clip = "off"')
        ids = {space: made_by for space, made_by in ids.items() if space != "clip"}
    for name, made_by in _known().items():
        if schema_of({**ids, "sscd": made_by}) == stored.id:
            if made_by != ids["sscd"]:
                settings.append(f'encoder = "{name}"')
            return f"set {' and '.join(settings)}, as it was for them"
    which = "encoder, clip_model or clip_weights" if had_clip else "encoder"
    return f"go back to the {which} that made them, or to the version of Copycatch"


def _known() -> dict[str, str]:
    """By value of the setting `encoder`, the id of what makes the vectors."""
    packaged = {name: f"{name}@{digest[:8]}" for name, digest in PACKAGED.items()}
    return packaged | {"toy": ToyEncoder().info.id}
