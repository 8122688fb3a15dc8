"""What a C2PA manifest store says about AI, and how far each manifest of it can be believed.

Reads the report of the library as plain data; `content_credentials` is where it comes from.
"""

import json
from collections.abc import Iterator
from typing import Any

from models.labels.generators import generator_named
from models.labels.label import LabelHow, LabelSignal, LabelState, LabelTrust, Mark, clipped
from models.labels.source_types import source_type

MAX_MANIFESTS = 64
MAX_ACTIONS = 512
_DISCLOSURES = ("c2pa.ai_generated_content", "c2pa.ai-disclosure")


class ManifestStore:
    """The report of the library on one manifest store."""

    def __init__(self, report: dict[str, Any], place: str) -> None:
        self.manifests: dict[str, Any] = report.get("manifests") or {}
        self.active: str = report.get("active_manifest") or ""
        self.place = place
        self.trusted: list[str] = []
        self.doubts: list[tuple[str, str]] = []
        self.breaks: list[tuple[str, str]] = []
        self.validated: list[str] = []
        for manifest in self.manifests.values():
            for ingredient in manifest.get("ingredients") or []:
                self._recorded(ingredient)
        results = report.get("validation_results") or {}
        self._take(results.get("activeManifest") or {})
        for delta in results.get("ingredientDeltas") or []:
            self._take(delta.get("validationDeltas") or {})
        active_broken = any(self.active in url or not url for url, _ in self.breaks)
        self.intact = not active_broken and any(self.active in url for url in self.validated)

    def _take(self, result: dict[str, Any]) -> None:
        """What the library found just now: of the active manifest, or news of an ingredient."""
        for status in result.get("success") or []:
            if status.get("code") == "signingCredential.trusted":
                self.trusted.append(str(status.get("url")))
            elif status.get("code") == "claimSignature.validated":
                self.validated.append(str(status.get("url")))
        for status in result.get("failure") or []:
            failure = (str(status.get("url") or ""), str(status.get("code")))
            (self.doubts if _about_signer(failure[1]) else self.breaks).append(failure)

    def _recorded(self, ingredient: dict[str, Any]) -> None:
        """What whoever took an ingredient in found then; the library reports only changes."""
        results = ingredient.get("validation_results") or {}
        result = results.get("activeManifest") or {}
        for status in result.get("success") or []:
            if status.get("code") == "signingCredential.trusted":
                self.trusted.append(str(status.get("url")))
        failures = [*(result.get("failure") or []), *(ingredient.get("validation_status") or [])]
        for status in failures:
            code = str(status.get("code"))
            if not _about_signer(code):
                label = str(ingredient.get("active_manifest"))
                self.breaks.append((str(status.get("url") or label), code))

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
        breaks = [code for url, code in self.breaks if label in url or self.active in url]
        if breaks or not self.intact:
            return LabelTrust.TRACE, f"but its seal is broken ({[*breaks, 'not validated'][0]})"
        doubts = [code for url, code in self.doubts if label in url or self.active in url]
        if not doubts and all(
            any(link in url for url in self.trusted) for link in {self.active, label}
        ):
            return LabelTrust.SIGNED_TRUSTED, "the signer is on the trust list"
        known = [_DOUBTS[code] for code in doubts if code in _DOUBTS]
        return LabelTrust.SIGNED, " and ".join(["the signer is not on the trust list", *known])


_DOUBTS = {
    "signingCredential.expired": "the certificate has expired",
    "signingCredential.invalid": "the certificate is not made for C2PA",
    "signingCredential.revoked": "the certificate was revoked",
    "signingCredential.ocsp.revoked": "the certificate was revoked",
}


def _about_signer(code: str) -> bool:
    """Whether a failure is about who signed and when, not about whether the seal holds.

    An expired certificate without a trusted time stamp is common in practice.
    """
    return code.startswith(("signingCredential.", "timeStamp."))


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
