"""Family: C2PA manifests, and the one file that owns the c2pa library.

Called only for a file that has a manifest store. Two questions are kept apart: whether the
signature holds over this very picture (valid), and whether the signer is on the configured
list (trusted). Nothing is fetched: remote manifests and OCSP are off.
"""

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import c2pa

from models.labels.generators import generator_named
from models.labels.label import LabelHow, LabelSignal, LabelState, LabelTrust, Mark, clipped
from models.labels.source_types import source_type

MAX_MANIFESTS = 64
MAX_ACTIONS = 512
MAX_REPORT_CHARS = 16 << 20
_DISCLOSURES = ("c2pa.ai_generated_content", "c2pa.ai-disclosure")


@dataclass(frozen=True, slots=True)
class TrustList:
    """Whose signatures are trusted.

    Attributes:
        anchors_pem: root or intermediate certificates, PEM, one after the other.
        allowed_pem: end-entity certificates that are trusted as such.
        trust_config: allowed extended key usages (OIDs, one a line); empty is the library's.
    """

    anchors_pem: str = ""
    allowed_pem: str = ""
    trust_config: str = ""


@dataclass(frozen=True, slots=True)
class SigningCertificate:
    """What a manifest is signed with.

    Attributes:
        chain_pem: the end-entity certificate, then its intermediates, PEM.
        key_pem: its private key, PKCS 8 PEM.
        algorithm: `es256`, `es384`, `es512`, `ps256`, `ps384`, `ps512` or `ed25519`.
        timestamp_url: a timestamp authority that is asked while signing; empty for none.
    """

    chain_pem: str
    key_pem: str
    algorithm: str = "es256"
    timestamp_url: str = ""

    def __repr__(self) -> str:
        return f"SigningCertificate(algorithm={self.algorithm!r})"


class ManifestSigningFailed(RuntimeError):
    """The picture could not be signed anew; `cause` is what the library says."""

    reason: ClassVar[str] = "MANIFEST_SIGNING_FAILED"

    def __init__(self, cause: str) -> None:
        super().__init__(f"the picture could not be signed: {cause}")
        self.cause = cause


@lru_cache(maxsize=8)
def _context(trust: TrustList) -> c2pa.Context:
    listed = {
        "trust_anchors": trust.anchors_pem,
        "allowed_list": trust.allowed_pem,
        "trust_config": trust.trust_config,
    }
    settings: dict[str, Any] = {
        "verify": {"verify_trust": True, "remote_manifest_fetch": False, "ocsp_fetch": False},
        "trust": {key: value for key, value in listed.items() if value},
        "builder": {"thumbnail": {"enabled": False}},
    }
    return c2pa.Context.from_dict(settings)


def read(data: bytes, mime: str, place: str, trust: TrustList) -> list[LabelSignal]:
    """The signals of a file's manifest store; one `unreadable` when it can not be read.

    Args:
        data: the whole file.
        mime: its media type.
        place: where the manifest store lies.
        trust: whose signatures are trusted.
    """
    try:
        reader = c2pa.Reader.try_create(mime, io.BytesIO(data), context=_context(trust))
        if reader is None:
            return [_unreadable(place, "there are JUMBF boxes, but no manifest store")]
        with reader:
            text = reader.json()
    except c2pa.C2paError as error:
        return [_unreadable(place, str(error))]
    if len(text) > MAX_REPORT_CHARS:
        return [_unreadable(place, f"the manifest store has {len(text)} characters")]
    try:
        report = json.loads(text)
    except (ValueError, RecursionError):
        return [_unreadable(place, "the manifest store is nested too deeply")]
    return list(_Store(report, place).signals())


def _unreadable(place: str, note: str) -> LabelSignal:
    return LabelSignal(Mark.UNREADABLE, place, LabelTrust.TRACE, "", clipped(f"C2PA: {note}"))


class _Store:
    """The report of the library on one manifest store."""

    def __init__(self, report: dict[str, Any], place: str) -> None:
        self.manifests: dict[str, Any] = report.get("manifests") or {}
        self.active: str = report.get("active_manifest") or ""
        self.place = place
        self.trusted: list[str] = []
        self.failures: list[tuple[str, str]] = []
        results = report.get("validation_results") or {}
        deltas = [d.get("validationDeltas") or {} for d in results.get("ingredientDeltas") or []]
        for result in (results.get("activeManifest") or {}, *deltas):
            for status in result.get("success") or []:
                if status.get("code") == "signingCredential.trusted":
                    self.trusted.append(str(status.get("url")))
            for status in result.get("failure") or []:
                if status.get("code") != "signingCredential.untrusted":
                    self.failures.append((str(status.get("url")), str(status.get("code"))))
        self.intact = report.get("validation_state") in ("Valid", "Trusted")

    def signals(self) -> Iterator[LabelSignal]:
        """What the active manifest and, through it, its ingredients say about AI."""
        seen: set[str] = set()
        waiting: list[tuple[str, str, int]] = [(self.active, "", 0)]
        while waiting and len(seen) < MAX_MANIFESTS:
            label, relation, depth = waiting.pop(0)
            manifest = self.manifests.get(label)
            if label in seen or not isinstance(manifest, dict):
                continue
            seen.add(label)
            yield from self._manifest(label, manifest, relation, depth)
            for ingredient in manifest.get("ingredients") or []:
                # An input to a model is what the picture was made from, not a part of it.
                kind = str(ingredient.get("relationship"))
                if kind != "inputTo":
                    through = "componentOf" if relation == "componentOf" else kind
                    waiting.append((str(ingredient.get("active_manifest")), through, depth + 1))

    def _manifest(
        self, label: str, manifest: dict[str, Any], relation: str, depth: int
    ) -> Iterator[LabelSignal]:
        trust, proof = self._trust(label)
        signer = (manifest.get("signature_info") or {}).get("issuer") or "an unnamed signer"
        of = "An ingredient" if depth else "The picture"
        where = f"{self.place}/" + ("ingredient/" * min(depth, 4))
        for place, value, words, state, how in _claims(manifest):
            if self._broken(trust):
                state = LabelState.SUSPECTED
            if relation == "componentOf" and how is LabelHow.FULLY_GENERATED:
                how = LabelHow.COMPOSITE
            note = f"{of} is {words}, says C2PA, signed by {clipped(str(signer))[:80]}; {proof}."
            yield LabelSignal(Mark.C2PA, where + place, trust, clipped(value), note, state, how)

    @staticmethod
    def _broken(trust: LabelTrust) -> bool:
        return trust is LabelTrust.TRACE

    def _trust(self, label: str) -> tuple[LabelTrust, str]:
        """How far one manifest's claims can be believed, and why in words."""
        if not self.intact:
            code = self.failures[0][1] if self.failures else "validation failed"
            return LabelTrust.TRACE, f"but its seal is broken ({code})"
        broken = [code for url, code in self.failures if label in url]
        if broken:
            return LabelTrust.TRACE, f"but its seal is broken ({broken[0]})"
        chain = {self.active, label}
        if all(any(link in url for url in self.trusted) for link in chain):
            return LabelTrust.SIGNED_TRUSTED, "the signer is on the trust list"
        return LabelTrust.SIGNED, "the signer is not on the trust list"


Claim = tuple[str, str, str, LabelState, LabelHow]
"""Place, value, words, state and how."""


def _claims(manifest: dict[str, Any]) -> Iterator[Claim]:
    """What one manifest says about AI in its assertions and its generator's name."""
    found = False
    for assertion in manifest.get("assertions") or []:
        label, data = str(assertion.get("label")), assertion.get("data")
        if not isinstance(data, dict):
            continue
        if label.startswith("c2pa.actions"):
            claims = _actions(label, data)
        elif label.startswith(_DISCLOSURES):
            words = "declared to be made by AI"
            claims = iter(
                [(label, json.dumps(data)[:2048], words, LabelState.GENERATED, LabelHow.UNKNOWN)]
            )
        else:
            claims = _metadata(label, data)
        for claim in claims:
            found = True
            yield claim
    infos = manifest.get("claim_generator_info") or []
    name = " ".join(str(info.get("name")) for info in infos if isinstance(info, dict))
    name = name or str(manifest.get("claim_generator") or "")
    product = generator_named(name)
    if product and not found:
        words = f"recorded by {product}, which makes pictures with AI"
        yield "claim_generator", name, words, LabelState.SUSPECTED, LabelHow.UNKNOWN


def _actions(label: str, data: dict[str, Any]) -> Iterator[Claim]:
    actions = [*(data.get("actions") or []), *(data.get("templates") or [])]
    for action in actions[:MAX_ACTIONS]:
        if not isinstance(action, dict):
            continue
        name = str(action.get("action"))
        agent = action.get("softwareAgent")
        agent = str(agent.get("name") if isinstance(agent, dict) else agent or "")
        value = str(action.get("digitalSourceType") or "")
        kind = source_type(value)
        place = f"{label}/{name}"
        if kind:
            how = kind.how
            if name not in ("c2pa.created", "c2pa.placed") and how is LabelHow.FULLY_GENERATED:
                how = LabelHow.EDITED  # a model's output was put into an existing picture
            by = f" ({agent})" if agent else ""
            yield place, value, kind.words + by[:80], kind.state, how
        elif generator_named(agent):
            words = f"worked on with {generator_named(agent)}, which makes pictures with AI"
            how = LabelHow.UNKNOWN if name == "c2pa.created" else LabelHow.EDITED
            yield place, agent, words, LabelState.SUSPECTED, how


def _metadata(label: str, data: dict[str, Any]) -> Iterator[Claim]:
    """IPTC's DigitalSourceType in a metadata assertion (`stds.iptc`, `c2pa.metadata`)."""
    for key, value in list(data.items())[:256]:
        if key.rpartition(":")[2].lower() == "digitalsourcetype":
            kind = source_type(str(value))
            if kind:
                yield f"{label}/{key}", str(value), kind.words, kind.state, kind.how


def sign_again(
    labelled: bytes, parent: bytes, mime: str, source_uri: str | None, by: SigningCertificate
) -> bytes:
    """Sign a picture whose metadata has changed; the old manifest becomes its ingredient.

    Args:
        labelled: the changed file, its old manifest store still in it.
        parent: the file as it was.
        mime: media type of both.
        source_uri: digital source type to state for the change, if one is.
        by: whom to sign as.

    Raises:
        ManifestSigningFailed: the library refuses the file or the certificate.
    """
    opened = {"action": "c2pa.opened", "parameters": {"ingredientIds": ["parent"]}}
    edited: dict[str, Any] = {"action": "c2pa.edited.metadata"}
    if source_uri:
        edited["digitalSourceType"] = source_uri
    manifest = {
        "claim_generator_info": [{"name": "copycatch"}],
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [opened, edited]}}],
    }
    ingredient = {"title": "parent", "relationship": "parentOf", "label": "parent"}
    info = c2pa.C2paSignerInfo(
        alg=by.algorithm,
        sign_cert=by.chain_pem.encode(),
        private_key=by.key_pem.encode(),
        ta_url=by.timestamp_url.encode() or None,
    )
    out = io.BytesIO()
    try:
        with (
            c2pa.Signer.from_info(info) as signer,
            c2pa.Builder(manifest, _context(TrustList())) as builder,
        ):
            builder.add_ingredient(ingredient, mime, io.BytesIO(parent))
            builder.sign(signer, mime, io.BytesIO(labelled), out)
    except c2pa.C2paError as error:
        raise ManifestSigningFailed(str(error)) from error
    return out.getvalue()
