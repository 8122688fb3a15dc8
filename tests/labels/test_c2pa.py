"""C2PA: what is signed, by whom, and whether it is still about this picture."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from models.labels.content_credentials import TrustList
from models.labels.label import AiLabel, LabelHow, LabelSignal, LabelState, LabelTrust, Mark
from models.labels.manifest import ManifestStore
from models.labels.read import LabelSettings, read_label
from tests.labels import kit

OURS = LabelSettings(trust=TrustList(anchors_pem=kit.signer().root_pem))
THEIRS = LabelSettings(trust=TrustList(anchors_pem=kit.signer("Other").root_pem))
CAPTURE = kit.IPTC + "digitalCapture"
CREATED = kit.action("c2pa.created", kit.AI, softwareAgent={"name": "Imaginer"})


def marks(label: AiLabel) -> list[LabelSignal]:
    """The C2PA signals."""
    return [signal for signal in label.signals if signal.mark is Mark.C2PA]


def test_valid_is_not_trusted() -> None:
    data = kit.signed([CREATED])
    assert marks(read_label(data))[0].trust is LabelTrust.SIGNED
    assert marks(read_label(data, THEIRS))[0].trust is LabelTrust.SIGNED
    assert marks(read_label(data, OURS))[0].trust is LabelTrust.SIGNED_TRUSTED


def test_the_note_names_the_signer_and_the_tool() -> None:
    note = marks(read_label(kit.signed([CREATED]), OURS))[0].note
    assert "Tests" in note
    assert "Imaginer" in note
    assert "on the trust list" in note


@pytest.mark.parametrize("container", kit.CONTAINERS)
def test_a_broken_seal_is_a_trace(container: str) -> None:
    data = bytearray(kit.signed([CREATED], container))
    plain = kit.plain(container)
    # The last byte of the pixels: before it the manifest, after it at most the end mark.
    tail = plain[-40:-20]
    at = bytes(data).rfind(tail)
    assert at > 0
    data[at] ^= 0xFF
    label = read_label(bytes(data), OURS)
    found = marks(label)
    if found:
        assert label.state is LabelState.SUSPECTED
        assert found[0].trust is LabelTrust.TRACE
        assert "seal is broken" in found[0].note
    else:
        assert any(signal.unreadable for signal in label.signals)


def test_a_photograph_with_a_manifest_has_no_label() -> None:
    data = kit.signed([kit.action("c2pa.created", CAPTURE), kit.action("c2pa.cropped")])
    label = read_label(data, OURS)
    assert label.state is LabelState.NONE
    assert label.signals == ()


def test_an_edited_photograph_is_composite_by_its_action() -> None:
    source = kit.IPTC + "compositeWithTrainedAlgorithmicMedia"
    data = kit.signed([kit.action("c2pa.created", CAPTURE), kit.action("c2pa.edited", source)])
    label = read_label(data, OURS)
    assert (label.state, label.how) == (LabelState.GENERATED, LabelHow.COMPOSITE)


def test_a_model_that_edits_a_picture_has_not_made_all_of_it() -> None:
    data = kit.signed([kit.action("c2pa.created", CAPTURE), kit.action("c2pa.edited", kit.AI)])
    assert read_label(data, OURS).how is LabelHow.EDITED


def test_the_parent_speaks_for_the_picture() -> None:
    parent = ({"title": "p", "relationship": "parentOf", "label": "p"}, kit.signed([CREATED]))
    opened = kit.action("c2pa.opened", parameters={"ingredientIds": ["p"]})
    data = kit.signed([opened, kit.action("c2pa.cropped")], ingredients=[parent])
    label = read_label(data, OURS)
    assert (label.state, label.how) == (LabelState.GENERATED, LabelHow.FULLY_GENERATED)
    assert marks(label)[0].trust is LabelTrust.SIGNED_TRUSTED
    assert "/ingredient/" in marks(label)[0].place


def test_an_ingredient_is_trusted_no_further_than_its_own_signer() -> None:
    theirs = kit.signed([CREATED], by=kit.signer("Other"))
    parent = ({"title": "p", "relationship": "parentOf", "label": "p"}, theirs)
    opened = kit.action("c2pa.opened", parameters={"ingredientIds": ["p"]})
    label = read_label(kit.signed([opened], ingredients=[parent]), OURS)
    assert marks(label)[0].trust is LabelTrust.SIGNED


def test_an_ingredient_whose_seal_was_broken_before_is_a_trace() -> None:
    broken = bytearray(kit.signed([CREATED]))
    broken[-30] ^= 0xFF
    parent = ({"title": "p", "relationship": "parentOf", "label": "p"}, bytes(broken))
    opened = kit.action("c2pa.opened", parameters={"ingredientIds": ["p"]})
    label = read_label(kit.signed([opened], ingredients=[parent]), OURS)
    assert label.state is LabelState.SUSPECTED
    assert marks(label)[0].trust is LabelTrust.TRACE


@pytest.mark.parametrize(
    ("code", "trust", "state", "words"),
    [
        ("signingCredential.expired", LabelTrust.SIGNED, LabelState.GENERATED, "expired"),
        ("signingCredential.invalid", LabelTrust.SIGNED, LabelState.GENERATED, "not made for"),
        ("signingCredential.ocsp.revoked", LabelTrust.SIGNED, LabelState.GENERATED, "revoked"),
        ("timeStamp.mismatch", LabelTrust.SIGNED, LabelState.GENERATED, "not on the trust list"),
        ("claimSignature.mismatch", LabelTrust.TRACE, LabelState.SUSPECTED, "seal is broken"),
        ("assertion.dataHash.mismatch", LabelTrust.TRACE, LabelState.SUSPECTED, "seal is broken"),
        ("assertion.hashedURI.mismatch", LabelTrust.TRACE, LabelState.SUSPECTED, "seal is broken"),
    ],
)
def test_a_doubt_about_the_signer_is_no_broken_seal(
    code: str, trust: LabelTrust, state: LabelState, words: str
) -> None:
    """The library signs with no bad certificate, so the code is put into a true report."""
    report = kit.report(kit.signed([CREATED]))
    url = f"self#jumbf=/c2pa/{report['active_manifest']}/c2pa.signature"
    active = report["validation_results"]["activeManifest"]
    active["failure"].append({"code": code, "url": url})
    (signal,) = ManifestStore(report, "JPEG/APP11").signals()
    assert (signal.trust, signal.state) == (trust, state)
    assert words in signal.note


def test_a_report_without_a_validated_signature_is_a_trace() -> None:
    report = kit.report(kit.signed([CREATED]))
    report["validation_results"] = {}
    (signal,) = ManifestStore(report, "JPEG/APP11").signals()
    assert signal.trust is LabelTrust.TRACE


def test_a_component_makes_the_picture_a_composite() -> None:
    part = ({"title": "c", "relationship": "componentOf", "label": "c"}, kit.signed([CREATED]))
    placed = kit.action("c2pa.placed", parameters={"ingredientIds": ["c"]})
    data = kit.signed([kit.action("c2pa.created", CAPTURE), placed], ingredients=[part])
    assert read_label(data, OURS).how is LabelHow.COMPOSITE


def test_what_was_put_into_a_model_says_nothing_of_its_output() -> None:
    source = ({"title": "i", "relationship": "inputTo", "label": "i"}, kit.signed([CREATED]))
    edited = kit.action("c2pa.edited", parameters={"ingredientIds": ["i"]})
    data = kit.signed([kit.action("c2pa.created", CAPTURE), edited], ingredients=[source])
    assert read_label(data, OURS).state is LabelState.NONE


def test_a_known_tool_without_a_source_type_is_suspected() -> None:
    data = kit.signed([kit.action("c2pa.created", CAPTURE)], generator="Adobe_Firefly")
    label = read_label(data, OURS)
    assert label.state is LabelState.SUSPECTED
    assert marks(label)[0].place.endswith("claim_generator")


def test_a_disclosure_assertion_is_a_label() -> None:
    disclosure = {"label": "c2pa.ai-disclosure", "data": {"modelType": "c2pa.types.model"}}
    data = kit.signed([kit.action("c2pa.created", CAPTURE)], assertions=[disclosure])
    assert read_label(data, OURS).state is LabelState.GENERATED


def test_a_manifest_that_is_cut_is_unreadable_and_no_error() -> None:
    data = kit.signed([CREATED])
    at = data.index(b"jumb")
    damaged = data[: at + 60] + b"\0" * 400 + data[at + 460 :]
    label = read_label(damaged)
    assert label.state in (LabelState.NONE, LabelState.SUSPECTED)
    assert label.signals


def test_boxes_that_are_no_manifest_are_unreadable_and_no_error() -> None:
    label = read_label(kit.png_with(kit.chunk(b"caBX", b"\0" * 100)))
    assert label.state is LabelState.NONE
    assert label.signals[0].unreadable


def test_a_huge_manifest_is_not_opened() -> None:
    settings = LabelSettings(max_manifest_bytes=64)
    label = read_label(kit.signed([CREATED]), settings)
    assert label.state is LabelState.NONE
    assert "not opened" in label.signals[0].note


@pytest.mark.parametrize("container", kit.CONTAINERS)
def test_a_store_of_too_many_manifests_is_not_opened(container: str) -> None:
    """Each has a signature to check, a millisecond each."""
    parts = [
        (
            {"title": "c", "relationship": "componentOf", "label": f"c{i}"},
            kit.signed([CREATED], container, data=kit.save(container, seed=i)),
        )
        for i in range(3)
    ]
    placed = [kit.action("c2pa.placed", parameters={"ingredientIds": [f"c{i}"]}) for i in range(3)]
    created = kit.action("c2pa.created", CAPTURE)
    data = kit.signed([created, *placed], container, ingredients=parts)
    assert read_label(data, LabelSettings(max_manifests=4)).state is LabelState.GENERATED
    refused = read_label(data, LabelSettings(max_manifests=3))
    assert refused.state is LabelState.NONE
    assert "4 signatures" in refused.signals[0].note


def test_threads_may_read_at_once() -> None:
    data = kit.signed([CREATED])
    with ThreadPoolExecutor(8) as pool:
        labels = set(pool.map(lambda _: read_label(data, OURS), range(64)))
    assert len(labels) == 1
