"""CLIP loads real open_clip models from files, and says why when it can not.

Most of this uses a small architecture of open_clip's own kind, with seeded weights that are
saved to a file and loaded through the code that a ViT-B-32 takes. Nothing here fetches.
"""

import json
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.batcher import Batcher
from models.clip import Clip, ClipEncoder, Fit, choose
from models.encoders import EncoderUnavailable, digest_file
from models.weights import OFFLINE_VARIABLES, from_environment, offline, parse_model
from tests.kit.images import PHOTOS, draw, jpeg, photo
from tests.models.contracts import encoder_contract

installed = find_spec("open_clip") is not None
needs_clip = [
    pytest.mark.clip,
    pytest.mark.skipif(not installed, reason="needs open_clip: pip install '.[clip]'"),
    # torch and what it imports announce changes of their own; none is about this code.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
]
TINY: dict[str, Any] = {
    "embed_dim": 48,
    "vision_cfg": {
        "image_size": 64,
        "layers": 2,
        "width": 64,
        "head_width": 32,
        "patch_size": 16,
    },
    "text_cfg": {"context_length": 8, "vocab_size": 50, "width": 32, "heads": 2, "layers": 1},
}


def import_open_clip() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("open_clip")


def save_seeded(architecture: str, path: Path, seed: int = 7) -> Path:
    """Write a checkpoint of seeded weights, as training would."""
    open_clip = import_open_clip()
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(seed)
    model = open_clip.create_model(architecture, pretrained_text=False)
    state = {name: value.contiguous() for name, value in model.state_dict().items()}
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save({"state_dict": state}, path)
    return path


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A checkpoint of the architecture `tiny-copycatch`."""
    open_clip = import_open_clip()
    folder = tmp_path_factory.mktemp("architectures")
    (folder / "tiny-copycatch.json").write_text(json.dumps(TINY))
    open_clip.add_model_config(folder)
    yield save_seeded("tiny-copycatch", folder / "tiny.safetensors")


def use_cache(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let huggingface_hub look into a cache of this test's own, and nowhere else."""
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def into_cache(folder: Path, repository: str, name: str, file: Path) -> None:
    """Lay a file into the cache as huggingface_hub does after fetching it."""
    home = folder / "hub" / f"models--{repository.replace('/', '--')}"
    for part in ("refs", "snapshots/0123abcd"):
        (home / part).mkdir(parents=True, exist_ok=True)
    (home / "refs" / "main").write_text("0123abcd")
    (home / "snapshots/0123abcd" / name).hardlink_to(file)


def model(path: Path) -> str:
    return f"tiny-copycatch:{path}"


class TestWithOpenClip:
    pytestmark = needs_clip

    @pytest.mark.parametrize("fit", ["squash", "pad"])
    def test_a_small_clip_keeps_the_contract(self, tiny: Path, fit: Fit) -> None:
        encoder_contract(lambda: ClipEncoder(model(tiny), device="cpu", fit=fit), copy_cosine=0.9)

    def test_its_identity_is_its_architecture_its_file_and_how_it_looks(self, tiny: Path) -> None:
        encoder = ClipEncoder(model(tiny), device="cpu")
        info = encoder.info
        assert info.name == "clip-tiny-copycatch"
        assert encoder.checkpoint_sha256 == digest_file(tiny)
        assert info.id != ClipEncoder(model(tiny), device="cpu", fit="pad").info.id
        assert (info.dimension, info.device) == (48, "cpu")
        assert info.input == "uint8 RGB 64 x 64, Pillow bicubic, squash"

    def test_vectors_are_those_of_open_clip_itself(self, tiny: Path) -> None:
        open_clip = import_open_clip()
        import torch
        from PIL import Image

        ours = ClipEncoder(model(tiny), device="cpu")
        theirs, _, transform = open_clip.create_model_and_transforms(
            "tiny-copycatch", pretrained=str(tiny), image_resize_mode="squash"
        )
        pictures = [np.asarray(photo(name)) for name in ("coffee", "chelsea", "rocket")]
        with torch.inference_mode():
            batch = torch.stack([transform(Image.fromarray(picture)) for picture in pictures])
            expected = theirs.eval().encode_image(batch, normalize=True).numpy()
        got = ours.encode(np.stack([ours.prepare(picture) for picture in pictures]))
        np.testing.assert_allclose(got, expected, atol=1e-5)

    def test_other_weights_give_other_vectors_and_another_identity(
        self, tiny: Path, tmp_path: Path
    ) -> None:
        other = save_seeded("tiny-copycatch", tmp_path / "other.safetensors", seed=8)
        one = ClipEncoder(model(tiny), device="cpu")
        two = ClipEncoder(model(other), device="cpu")
        assert one.info.id != two.info.id
        row = one.prepare(np.asarray(draw(1)))[None]
        assert float((one.encode(row) * two.encode(row)).sum()) < 0.9

    def test_a_checkpoint_of_torch_loads_as_well(self, tiny: Path, tmp_path: Path) -> None:
        saved = save_seeded("tiny-copycatch", tmp_path / "tiny.pt")
        row = np.zeros((1, 64, 64, 3), np.uint8)
        from_torch = ClipEncoder(model(saved), device="cpu").encode(row)
        from_safetensors = ClipEncoder(model(tiny), device="cpu").encode(row)
        np.testing.assert_allclose(from_torch, from_safetensors, atol=1e-6)

    def test_a_folder_with_a_configuration_loads_as_well(self, tiny: Path, tmp_path: Path) -> None:
        config = {"model_cfg": TINY, "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3}}
        (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
        with pytest.raises(EncoderUnavailable, match="no checkpoint in"):
            ClipEncoder(f"local-dir:{tmp_path}")
        (tmp_path / "open_clip_model.safetensors").write_bytes(tiny.read_bytes())
        encoder = ClipEncoder(f"local-dir:{tmp_path}", device="cpu")
        assert encoder.checkpoint_sha256 == digest_file(tiny)
        row = encoder.prepare(np.asarray(draw(1)))[None]
        plain = ClipEncoder(model(tiny), device="cpu")
        difference = np.abs(encoder.encode(row) - plain.encode(row)).max()
        assert float(difference) > 1e-4, "its own mean is used"
        assert encoder.info.weights_sha256 != plain.info.weights_sha256

    def test_nothing_is_cut_off_at_the_edges(self, tiny: Path) -> None:
        wide = np.full((100, 400, 3), 90, np.uint8)
        wide[:, :20], wide[:, -20:] = 255, 0
        squashed = ClipEncoder(model(tiny), device="cpu").prepare(wide)
        assert squashed[:, 0].min() > 200 and squashed[:, -1].max() < 40
        padded = ClipEncoder(model(tiny), device="cpu", fit="pad").prepare(wide)
        assert padded.shape == (64, 64, 3)
        assert padded[32, 0].min() > 200 and padded[32, -1].max() < 40
        assert padded[0, 32].tolist() == padded[63, 32].tolist() == [123, 117, 104]

    def test_callers_share_its_passes(self, tiny: Path) -> None:
        encoder = ClipEncoder(model(tiny), device="cpu")
        rows = [encoder.prepare(np.asarray(draw(seed, (80, 60)))) for seed in range(6)]
        with Batcher(encoder, max_batch=4) as batcher:
            shared = batcher.encode(rows)
        np.testing.assert_allclose(shared, encoder.encode(np.stack(rows)), atol=1e-4)

    @pytest.mark.parametrize(
        ("spelling", "words"),
        [
            ("tiny-copycatch:/no/such/file.safetensors", "there is no file /no/such/file"),
            ("tiny-copycatch/laion2b", "has no pretrained tag 'laion2b'"),
            ("ViT-B-32/nonsense", "it has openai"),
            ("ViT-B-33/openai", "knows no architecture 'ViT-B-33', but ViT-B-32"),
            ("local-dir:/no/such/folder", "no open_clip_config.json"),
        ],
    )
    def test_what_is_missing_is_named(self, tiny: Path, spelling: str, words: str) -> None:
        chosen = choose("auto", spelling)
        assert chosen.encoder is None and words in chosen.reason
        with pytest.raises(EncoderUnavailable, match="can not be used"):
            choose("required", spelling)

    def test_weights_of_another_architecture_are_refused(self, tiny: Path) -> None:
        with pytest.raises(EncoderUnavailable, match="does not load as ViT-S-32"):
            ClipEncoder(f"ViT-S-32:{tiny}", device="cpu")

    @pytest.mark.parametrize("keep", [0, 100, 100_000])
    def test_a_damaged_file_is_refused(self, tiny: Path, tmp_path: Path, keep: int) -> None:
        for suffix in (".safetensors", ".pt"):
            damaged = tmp_path / f"damaged{suffix}"
            damaged.write_bytes(tiny.read_bytes()[:keep])
            with pytest.raises(EncoderUnavailable, match="does not load"):
                ClipEncoder(model(damaged), device="cpu")

    def test_a_device_that_is_not_there_is_named(self, tiny: Path) -> None:
        for device in ("cuda:77", "nonsense"):
            with pytest.raises(EncoderUnavailable, match=f"no device '{device}'"):
                ClipEncoder(model(tiny), device=device)

    @pytest.mark.parametrize("variable", OFFLINE_VARIABLES)
    def test_offline_forbids_to_fetch(self, variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
        for name in OFFLINE_VARIABLES:
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv(variable, "1")
        for spelling in ("hf-hub:no-such-org/no-such-model", "ViT-e-14/no", "RN50x64/openai"):
            chosen = choose("auto", spelling)
            assert chosen.encoder is None
            assert variable in chosen.reason or "no pretrained tag" in chosen.reason

    def test_a_failed_download_is_a_reason(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in OFFLINE_VARIABLES:
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
        chosen = choose("auto", "hf-hub:no-such-org/no-such-model")
        assert chosen.encoder is None
        assert "could not be fetched" in chosen.reason and "127.0.0.1" in chosen.reason

    def test_a_download_takes_no_longer_than_it_may(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in OFFLINE_VARIABLES:
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
        chosen = choose("auto", "hf-hub:no-such-org/no-such-model", download_timeout_s=0.01)
        assert "took longer than 0.01 s" in chosen.reason

    def test_a_hub_model_in_the_cache_needs_no_network(
        self, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        use_cache(tmp_path, monkeypatch)
        into_cache(tmp_path, "org/tiny", "open_clip_model.safetensors", tiny)
        assert "are not in the local cache" in choose("auto", "hf-hub:org/tiny").reason
        config = tmp_path / "config.json"
        config.write_text(json.dumps({"model_cfg": TINY, "preprocess_cfg": {}}))
        into_cache(tmp_path, "org/tiny", "open_clip_config.json", config)
        encoder = choose("required", "hf-hub:org/tiny", device="cpu").encoder
        assert encoder is not None
        assert encoder.info.name == "clip-tiny"
        assert encoder.checkpoint_sha256 == digest_file(tiny)

    @pytest.mark.slow
    def test_a_pretrained_tag_in_the_cache_loads_as_it_was_trained(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        use_cache(tmp_path, monkeypatch)
        path = save_seeded("ViT-B-32", tmp_path / "vit.safetensors")
        hubs = {
            "laion2b_s34b_b79k": "laion/CLIP-ViT-B-32-laion2B-s34B-b79K",
            "openai": "timm/vit_base_patch32_clip_224.openai",
        }
        rows = np.zeros((1, 224, 224, 3), np.uint8)
        vectors = {}
        for tag, hub in hubs.items():
            into_cache(tmp_path, hub, "open_clip_model.safetensors", path)
            encoder = choose("required", f"ViT-B-32/{tag}", device="cpu").encoder
            assert encoder is not None
            vectors[tag] = encoder.encode(rows)
        plain = ClipEncoder(f"ViT-B-32:{path}", device="cpu").encode(rows)
        quick = ClipEncoder(f"ViT-B-32-quickgelu:{path}", device="cpu").encode(rows)
        np.testing.assert_allclose(vectors["laion2b_s34b_b79k"], plain, atol=1e-6)
        np.testing.assert_allclose(vectors["openai"], quick, atol=1e-6)
        assert float(np.abs(plain - quick).max()) > 1e-4

    @pytest.mark.slow
    def test_a_whole_vit_b_32_is_saved_loaded_and_run(self, tmp_path: Path) -> None:
        path = save_seeded("ViT-B-32", tmp_path / "vit.safetensors")
        chosen = choose("required", f"ViT-B-32:{path}", device="cpu")
        assert chosen.encoder is not None
        info = chosen.encoder.info
        assert (info.name, info.dimension) == ("clip-ViT-B-32", 512)
        assert str(chosen) == f"{info.id} on cpu"
        image = draw(1)
        rows = [chosen.encoder.prepare(np.asarray(i)) for i in (image, jpeg(image, 50), draw(2))]
        vectors = chosen.encoder.encode(np.stack(rows))
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-3)
        assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2]

    @pytest.mark.slow
    @pytest.mark.weights
    @pytest.mark.skipif(from_environment() is None, reason="COPYCATCH_CLIP_WEIGHTS is not set")
    def test_real_weights_know_a_cat_from_a_rocket(self) -> None:
        encoder = ClipEncoder(from_environment() or "")
        names = list(PHOTOS)
        rows = [encoder.prepare(np.asarray(photo(name))) for name in names]
        copies = [encoder.prepare(np.asarray(jpeg(photo(name), 30))) for name in names]
        originals, found = encoder.encode(np.stack(rows)), encoder.encode(np.stack(copies))
        assert ((originals @ found.T).argmax(axis=0) == np.arange(len(names))).mean() >= 0.9


@pytest.mark.skipif(installed, reason="open_clip is installed")
def test_without_the_package_the_reason_says_how_to_install_it() -> None:
    chosen = choose("auto")
    assert chosen.encoder is None
    assert "pip install -e '.[clip]'" in chosen.reason
    assert str(chosen) == f"off ({chosen.reason})"
    with pytest.raises(EncoderUnavailable) as caught:
        choose("required")
    assert caught.value.encoder == "clip-ViT-B-32"


def test_off_tries_nothing() -> None:
    chosen = choose("off", "no such thing at all")
    assert chosen == Clip(None, "it is switched off in the configuration")


def test_the_four_spellings_are_told_apart() -> None:
    tag = parse_model("ViT-B-32/laion2b_s34b_b79k")
    assert (tag.architecture, tag.tag, tag.encoder) == (
        "ViT-B-32",
        "laion2b_s34b_b79k",
        "clip-ViT-B-32",
    )
    assert parse_model("ViT-B/32/openai").architecture == "ViT-B-32"
    file = parse_model(" ViT-L-14:/models/a b.pt ")
    assert (file.architecture, file.file) == ("ViT-L-14", Path("/models/a b.pt"))
    hub = parse_model("hf-hub:Marqo/marqo-ecommerce-embeddings-B")
    assert (hub.hub, hub.encoder) == (
        "Marqo/marqo-ecommerce-embeddings-B",
        "clip-marqo-ecommerce-embeddings-B",
    )
    folder = parse_model("local-dir:/models/mine")
    assert (folder.folder, folder.encoder) == (Path("/models/mine"), "clip-mine")


@pytest.mark.parametrize(
    "text", ["", "ViT-B-32", "hf-hub:", "hf-hub:one", "hf-hub:a/b/c", "local-dir:", "/tag", "a/"]
)
def test_other_spellings_are_refused_with_the_four_that_work(text: str) -> None:
    with pytest.raises(EncoderUnavailable, match="hf-hub:org/name"):
        parse_model(text)


def test_the_environment_names_a_file_or_a_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COPYCATCH_CLIP_WEIGHTS", raising=False)
    assert from_environment() is None
    monkeypatch.setenv("COPYCATCH_CLIP_WEIGHTS", "ViT-L-14/openai")
    assert from_environment() == "ViT-L-14/openai"
    file = tmp_path / "weights.safetensors"
    file.touch()
    monkeypatch.setenv("COPYCATCH_CLIP_WEIGHTS", str(file))
    assert from_environment() == f"ViT-B-32:{file}"


def test_only_a_clear_yes_means_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in OFFLINE_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for value, expected in (("0", None), ("", None), ("no", None), ("TRUE", OFFLINE_VARIABLES[0])):
        monkeypatch.setenv(OFFLINE_VARIABLES[0], value)
        assert offline() == expected
