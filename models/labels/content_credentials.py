"""Family: C2PA manifests, and the one file that owns the c2pa library.

Called only for a file that has a manifest store. Two questions are kept apart: whether the
signature holds over this very picture (valid), and whether the signer is on the configured
list (trusted). Nothing is fetched: remote manifests and OCSP are off.
"""

import io
import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import c2pa

from models.labels.label import LabelSignal, LabelTrust, Mark, clipped
from models.labels.manifest import ManifestStore

MAX_REPORT_CHARS = 16 << 20


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


class TrustListUnusable(ValueError):
    """The certificates to trust can not be read."""

    reason: ClassVar[str] = "TRUST_LIST_UNUSABLE"

    def __init__(self, why: str) -> None:
        super().__init__(f"the trusted certificates can not be read: {why}")
        self.why = why

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.why,)


def check_trust(trust: TrustList) -> None:
    """Raise TrustListUnusable unless signatures can be held against the list."""
    try:
        _context(trust)
    except c2pa.C2paError as error:
        raise TrustListUnusable(str(error)) from error


def check_certificate(by: SigningCertificate) -> None:
    """Raise ManifestSigningFailed unless the library takes the certificate and its key."""
    try:
        with c2pa.Signer.from_info(_signer_info(by)):
            pass
    except c2pa.C2paError as error:
        raise ManifestSigningFailed(str(error)) from error


def _signer_info(by: SigningCertificate) -> c2pa.C2paSignerInfo:
    return c2pa.C2paSignerInfo(
        alg=by.algorithm,
        sign_cert=by.chain_pem.encode(),
        private_key=by.key_pem.encode(),
        ta_url=by.timestamp_url.encode() or None,
    )


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
    return list(ManifestStore(report, place).signals())


def _unreadable(place: str, note: str) -> LabelSignal:
    return LabelSignal(Mark.UNREADABLE, place, LabelTrust.TRACE, "", clipped(f"C2PA: {note}"))


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
    out = io.BytesIO()
    try:
        with (
            c2pa.Signer.from_info(_signer_info(by)) as signer,
            c2pa.Builder(manifest, _context(TrustList())) as builder,
        ):
            builder.add_ingredient(ingredient, mime, io.BytesIO(parent))
            builder.sign(signer, mime, io.BytesIO(labelled), out)
    except c2pa.C2paError as error:
        raise ManifestSigningFailed(str(error)) from error
    return out.getvalue()
