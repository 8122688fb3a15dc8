"""A data folder of other settings: the error names those that made it."""

from pathlib import Path

import pytest

from index.recovery import Schema, SchemaMismatch
from models.fingerprint import schema_of
from models.sscd import PACKAGED
from service.schemas import fitting
from tests.service.serving import picture, serving, settings

SSCD, DISTILLED = (f"{name}@{PACKAGED[name][:8]}" for name in ("sscd", "sscd_distilled"))
IDS = {"layout": "layout@1", "pdq": "pdq@1", "sscd": DISTILLED}
CLIP = {**IDS, "clip": "clip-ViT-B-32@12345678"}


def made_by(ids: dict[str, str]) -> Schema:
    return Schema(schema_of(ids), tuple((name, "float", 512) for name in ids))


@pytest.mark.parametrize(
    ("then", "now", "said"),
    [
        ({**IDS, "sscd": SSCD}, IDS, 'set encoder = "sscd", as it was for them'),
        (IDS, {**IDS, "sscd": SSCD}, 'set encoder = "sscd_distilled", as it was for them'),
        (IDS, CLIP, 'set clip = "off", as it was for them'),
        ({**IDS, "sscd": SSCD}, CLIP, 'set clip = "off" and encoder = "sscd", as it was for them'),
        (CLIP, IDS, 'set clip = "required"'),
        ({**CLIP, "clip": "clip-ViT-L-14@1"}, CLIP, "encoder, clip_model or clip_weights"),
        ({**IDS, "layout": "layout@0"}, IDS, "or to the version of Copycatch"),
    ],
)
def test_the_settings_that_fit_are_named_as_far_as_a_schema_tells(
    then: dict[str, str], now: dict[str, str], said: str
) -> None:
    assert said in fitting(made_by(then), now)


def test_a_schema_is_read_as_it_was_written() -> None:
    schema = made_by(CLIP)
    assert Schema.from_json(schema.to_json()) == schema


def test_a_folder_of_another_encoder_names_the_setting(tmp_path: Path) -> None:
    with serving(settings(tmp_path)) as server:
        server.create_brand()
        server.create_original("cup", picture(1))
    other = settings(tmp_path, encoder="sscd_distilled")
    with pytest.raises(SchemaMismatch) as caught, serving(other):
        pass
    told = str(caught.value)
    assert 'Either set encoder = "toy", as it was for them; or open a catalogue' in told
    assert "1 originals" in told and "512" not in told
    assert caught.value.stored.id != caught.value.wanted.id
