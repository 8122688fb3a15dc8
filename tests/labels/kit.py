"""Files with marks: pictures drawn from a seed, put into containers by Pillow or by hand.

The hand-made writers here know nothing of `models.labels`, so that reader and writer can not
agree on a mistake; exiftool and c2pa are the other witnesses.
"""

import datetime
import io
import json
import shutil
import struct
import subprocess
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import c2pa
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from PIL import Image, PngImagePlugin

from tests.kit.images import draw

CONTAINERS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "AVIF", "HEIF")
MIMES = {name: f"image/{name.lower()}" for name in CONTAINERS}
IPTC = "http://cv.iptc.org/newscodes/digitalsourcetype/"
AI = IPTC + "trainedAlgorithmicMedia"
TC260 = "http://www.tc260.org.cn/ns/AIGC/1.0/"
GB = {
    "Label": "1",
    "ContentProducer": "001191110102MACQD9K64010000",
    "ProduceID": "p-1",
    "ReservedCode1": "",
    "ContentPropagator": "somebody",
    "PropagateID": "q-1",
    "ReservedCode2": "",
}
WEBUI = (
    "a red shoe on white\nNegative prompt: blurry\n"
    "Steps: 20, Sampler: DPM++ 2M, CFG scale: 7, Seed: 1234, Size: 512x512, Model hash: abcdef"
)
COMFY = json.dumps(
    {
        "3": {"class_type": "KSampler", "inputs": {"seed": 5, "latent_image": ["5", 0]}},
        "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 512}},
    }
)
NAMESPACES = {
    "TC260": TC260,
    "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
    "photoshop": "http://ns.adobe.com/photoshop/1.0/",
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "xmpMM": "http://ns.adobe.com/xap/1.0/mm/",
    "stEvt": "http://ns.adobe.com/xap/1.0/sType/ResourceEvent#",
    "dc": "http://purl.org/dc/elements/1.1/",
    "crs": "http://ns.adobe.com/camera-raw-settings/1.0/",
    "tiff": "http://ns.adobe.com/tiff/1.0/",
    "exif": "http://ns.adobe.com/exif/1.0/",
    "dcterms": "http://purl.org/dc/terms/",
}


def xmp(inner: str = "", attributes: str = "", *, wrapper: bool = True) -> bytes:
    """An XMP packet: elements and attributes of its one description."""
    declared = " ".join(f'xmlns:{prefix}="{uri}"' for prefix, uri in NAMESPACES.items())
    packet = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<rdf:Description rdf:about="" {declared} {attributes}>{inner}</rdf:Description>'
        "</rdf:RDF></x:xmpmeta>"
    )
    if wrapper:
        packet = (
            '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
            + packet
            + " " * 200
            + '<?xpacket end="w"?>'
        )
    return packet.encode()


def escaped(value: str) -> str:
    """Text with its markup and quotes as entities."""
    return value.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")


@cache
def plain(container: str = "JPEG", seed: int = 1) -> bytes:
    """A picture without any metadata."""
    return save(container, seed=seed)


def save(
    container: str,
    *,
    seed: int = 1,
    packet: bytes | None = None,
    exif: Image.Exif | None = None,
    text: Mapping[str, str] | None = None,
) -> bytes:
    """A drawn picture, with metadata as Pillow writes them."""
    picture = draw(seed, size=(96, 64)).convert("P" if container == "GIF" else "RGB")
    out = io.BytesIO()
    options: dict[str, Any] = {}
    if exif is not None:
        options["exif"] = exif.tobytes()
    if packet is not None and container == "PNG":
        text = {"XML:com.adobe.xmp": packet.decode(), **(text or {})}
    elif packet is not None and container == "GIF":
        return gif_with_xmp(packet)
    elif packet is not None and container == "TIFF":
        options["tiffinfo"] = {700: packet}
    elif packet is not None:
        options["xmp"] = packet
    if text:
        info = PngImagePlugin.PngInfo()
        for key, value in text.items():
            info.add_itxt(key, value)
        options["pnginfo"] = info
    picture.save(out, "AVIF" if container == "HEIF" else container, **options)
    data = out.getvalue()
    if container == "HEIF":  # the same boxes under the brands of HEIC; nobody decodes it here
        size = int.from_bytes(data[:4])
        brands = data[8:size].replace(b"avif", b"heic").replace(b"avis", b"hevc")
        data = data[:8] + brands + data[size:]
    return data


def exif(**tags: str | bytes) -> Image.Exif:
    """EXIF with some of the tags that carry marks."""
    made = Image.Exif()
    numbers = {"Make": 0x010F, "Model": 0x0110, "Software": 0x0131, "Artist": 0x013B}
    numbers |= {"ImageDescription": 0x010E, "XPComment": 0x9C9C}
    for name, value in tags.items():
        if name in ("UserComment", "MakerNote"):
            made.get_ifd(0x8769)[0x9286 if name == "UserComment" else 0x927C] = value
        else:
            made[numbers[name]] = value
    return made


def jpeg_with(*segments: tuple[int, bytes], data: bytes | None = None) -> bytes:
    """A JPEG with segments (marker byte, payload) after its start."""
    base = plain("JPEG") if data is None else data
    made = b"".join(
        bytes([0xFF, marker]) + struct.pack(">H", len(payload) + 2) + payload
        for marker, payload in segments
    )
    return base[:2] + made + base[2:]


def chunk(kind: bytes, body: bytes) -> bytes:
    """One PNG chunk."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_with(*chunks: bytes, data: bytes | None = None, after_pixels: bool = False) -> bytes:
    """A PNG with chunks after its header, or before its end."""
    base = plain("PNG") if data is None else data
    at = len(base) - 12 if after_pixels else 33
    return base[:at] + b"".join(chunks) + base[at:]


def webp_with(*chunks: tuple[bytes, bytes]) -> bytes:
    """A WebP with chunks after its image, under a RIFF size that is right."""
    made = b"".join(
        kind + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)
        for kind, body in chunks
    )
    body = plain("WEBP")[8:] + made
    return b"RIFF" + struct.pack("<I", len(body)) + body


def gif_with_xmp(packet: bytes) -> bytes:
    """A GIF with the XMP application extension, magic trailer and all."""
    base = plain("GIF")
    at = 13 + (3 << ((base[10] & 7) + 1) if base[10] & 0x80 else 0)
    trailer = b"\x01" + bytes(range(255, -1, -1)) + b"\0"
    return base[:at] + b"\x21\xff\x0bXMP DataXMP" + packet + trailer + base[at:]


def big_tiff(order: str) -> bytes:
    """A BigTIFF of one IFD that names a program; order is struct's `<` or `>`."""
    text = b"Midjourney\0"
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "HHHQQ", 43, 8, 0, 16, 1)
    entry = struct.pack(order + "HHQQ", 0x0131, 2, len(text), 52)
    return head + entry + struct.pack(order + "Q", 0) + text


@dataclass(frozen=True, slots=True)
class Signer:
    """A self-made certificate chain, and what trusts it."""

    chain_pem: str
    key_pem: str
    root_pem: str


@cache
def signer(name: str = "Tests") -> Signer:
    """An ES256 chain of a root and an end-entity certificate."""
    root_key, root = _certificate(f"{name} root", None)
    key, leaf = _certificate(f"{name} signer", (root_key, root))
    pem = serialization.Encoding.PEM
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    chain = leaf.public_bytes(pem) + root.public_bytes(pem)
    return Signer(chain.decode(), private.decode(), root.public_bytes(pem).decode())


def _certificate(
    name: str, issuer: tuple[ec.EllipticCurvePrivateKey, x509.Certificate] | None
) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, name.split(" ")[0]),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )
    is_root = issuer is None
    signing_key, issuer_name = (key, subject) if issuer is None else (issuer[0], issuer[1].subject)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer_name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.datetime(2024, 1, 1))
        .not_valid_after(datetime.datetime(2044, 1, 1))
        .add_extension(x509.BasicConstraints(is_root, None), critical=True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=not is_root,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                key_cert_sign=is_root,
                crl_sign=is_root,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signing_key.public_key()), False
        )
    )
    if not is_root:
        purposes = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
        builder = builder.add_extension(purposes, critical=False)
    return key, builder.sign(signing_key, hashes.SHA256())


def action(name: str, source: str = "", **more: Any) -> dict[str, Any]:
    """One C2PA action."""
    return {"action": name, **({"digitalSourceType": source} if source else {}), **more}


def signed(
    actions: Sequence[Mapping[str, Any]],
    container: str = "JPEG",
    *,
    data: bytes | None = None,
    by: Signer | None = None,
    ingredients: Sequence[tuple[Mapping[str, Any], bytes]] = (),
    assertions: Sequence[Mapping[str, Any]] = (),
    generator: str = "tests",
) -> bytes:
    """A picture with a manifest of these actions, signed by a chain of our own."""
    by = by or signer()
    manifest = {
        "claim_generator_info": [{"name": generator, "version": "1"}],
        "assertions": [
            {"label": "c2pa.actions.v2", "data": {"actions": list(actions)}},
            *assertions,
        ],
    }
    info = c2pa.C2paSignerInfo(
        alg=c2pa.C2paSigningAlg.ES256,
        sign_cert=by.chain_pem.encode(),
        private_key=by.key_pem.encode(),
        ta_url=None,
    )
    mime = MIMES[container]
    out = io.BytesIO()
    context = c2pa.Context.from_dict({"builder": {"thumbnail": {"enabled": False}}})
    with c2pa.Signer.from_info(info) as signing, c2pa.Builder(manifest, context) as builder:
        for ingredient, source in ingredients:
            builder.add_ingredient(dict(ingredient), mime, io.BytesIO(source))
        builder.sign(signing, mime, io.BytesIO(plain(container) if data is None else data), out)
    return out.getvalue()


def report(data: bytes, container: str = "JPEG") -> dict[str, Any]:
    """What the C2PA library reports on a signed file, trusting our root."""
    settings = {"verify": {"verify_trust": True}, "trust": {"trust_anchors": signer().root_pem}}
    context = c2pa.Context.from_dict(settings)
    reader = c2pa.Reader.try_create(MIMES[container], io.BytesIO(data), context=context)
    assert reader is not None
    found: dict[str, Any] = json.loads(reader.json())
    return found


EXIFTOOL = shutil.which("exiftool")
NO_EXIFTOOL = "exiftool is not installed (Debian: libimage-exiftool-perl)"
CONFIG = Path(__file__).parent / "data" / "exiftool.config"


def exiftool(*arguments: str | Path) -> str:
    """What exiftool prints, knowing the namespaces that its older versions lack."""
    assert EXIFTOOL is not None
    command = [EXIFTOOL, "-config", str(CONFIG), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def exif_read(data: bytes, directory: Path, *tags: str, suffix: str = "jpg") -> dict[str, Any]:
    """Tags of a file as exiftool reads them, by `Group:Tag`."""
    path = directory / f"read.{suffix}"
    path.write_bytes(data)
    found: dict[str, Any] = json.loads(exiftool("-json", "-G1", *tags, path))[0]
    return found
