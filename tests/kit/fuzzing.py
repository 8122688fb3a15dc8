"""Damaged pictures and messages, for the property tests and for the long runs of scripts/.

What must hold: any bytes at all become a picture or a refusal by name, within two seconds of
work; any message at all is answered, with a result or an error of the table other than INTERNAL.
"""

import importlib
import io
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import strategies as st
from PIL import Image

import copycatch.v1
from models.images import decode
from models.refusals import (
    ImageEmpty,
    ImageTooLarge,
    ImageTooSmall,
    ImageTruncated,
    ImageUndecodable,
)
from tests.kit.images import draw
from tests.labels.fuzzing import mutants

REFUSALS = (ImageEmpty, ImageTooLarge, ImageTooSmall, ImageTruncated, ImageUndecodable)
FORMATS: Mapping[str, tuple[Mapping[str, Any], ...]] = {
    "JPEG": ({"quality": 80}, {"quality": 60, "progressive": True}, {"subsampling": 0}),
    "PNG": ({}, {"compress_level": 1}),
    "WEBP": ({"quality": 70}, {"lossless": True}),
    "GIF": ({},),
    "BMP": ({},),
    "TIFF": ({}, {"compression": "tiff_lzw"}, {"compression": "jpeg"}),
    "AVIF": ({"quality": 60},),
}
"""Formats that are decoded, and ways to write them."""
MOST_S = 2.0


@cache
def pictures(format: str) -> tuple[bytes, ...]:
    """Small pictures of one format: colour, grey, with transparency and a palette."""
    colour = draw(7, (72, 56))
    modes = [colour, colour.convert("L")]
    if format in ("PNG", "WEBP", "GIF", "TIFF"):
        modes.append(colour.convert("RGBA"))
    if format in ("PNG", "GIF", "BMP", "TIFF"):
        modes.append(colour.convert("P"))
    if format in ("PNG", "TIFF"):
        wide = (np.asarray(colour.convert("L"), dtype=np.uint16) * 257).astype(np.uint16)
        modes.append(Image.fromarray(wide))
    if format in ("JPEG", "TIFF"):
        modes.append(colour.convert("CMYK"))
    made = []
    for options in FORMATS[format]:
        for image in modes:
            file = io.BytesIO()
            try:
                image.save(file, format, **options)
            except (OSError, KeyError):  # this mode is not written in this way
                continue
            made.append(file.getvalue())
    if format in ("GIF", "PNG", "WEBP", "TIFF"):
        file = io.BytesIO()
        colour.save(file, format, save_all=True, append_images=[draw(8, (72, 56))] * 2)
        made.append(file.getvalue())
    return tuple(made)


def damaged(format: str) -> st.SearchStrategy[bytes]:
    """Pictures of one format, damaged."""
    return mutants(pictures(format))


def check_decoding(data: bytes) -> float:
    """What must hold of any bytes; the seconds of work that it took."""
    began = time.process_time()
    try:
        picture = decode(data)
    except REFUSALS:
        pass
    else:
        h, w, channels = picture.rgb.shape
        assert picture.rgb.dtype == np.uint8 and channels == 3
        assert h >= 1 and w >= 1
        assert isinstance(picture.featureless, bool)
        assert len(picture.sha256) == len(picture.pixel_sha256) == 32
    took = time.process_time() - began
    assert took < MOST_S, f"{took:.1f} s"
    return took


TEXTS = st.one_of(
    st.sampled_from(
        (
            "",
            "acme",
            "brands/acme",
            "brands/acme/originals/cup",
            "brands/acme/originals/",
            "brands/ACME",
            "sweeps/x",
            "balanced",
            "../..",
            "a" * 300,
            "\0",
            "ä/ö",
            "*",
            "memory:1/0",
        )
    ),
    st.text(max_size=20),
)
NUMBERS = st.sampled_from((0, 1, -1, 2, 50, 2**31 - 1, -(2**31)))
REALS = st.sampled_from((0.0, 1.0, -1.0, 0.5, float("nan"), float("inf"), 1e300))


@st.composite
def messages[M: Message](draw: st.DrawFn, kind: type[M], depth: int = 3) -> M:
    """A message with some of its fields set, to values good and bad."""
    made = kind()
    fields: Any = kind.DESCRIPTOR.fields  # of either of two classes, which are one in all but name
    for field in fields:
        if draw(st.integers(0, 2)) == 0:
            continue
        _fill(draw, made, field, depth)
    return made


def _fill(draw: st.DrawFn, made: Any, field: FieldDescriptor, depth: int) -> None:
    is_map = field.message_type is not None and field.message_type.GetOptions().map_entry
    if is_map:
        getattr(made, field.name)[draw(TEXTS)] = draw(TEXTS)
        return
    if field.message_type is not None:
        if not depth:
            return
        kind = GetMessageClass(field.message_type)
        for _ in range(draw(st.integers(1, 3)) if field.is_repeated else 1):
            value = draw(messages(kind, depth - 1))
            if field.is_repeated:
                getattr(made, field.name).append(value)
            else:
                getattr(made, field.name).CopyFrom(value)
        return
    values = [_scalar(draw, field) for _ in range(draw(st.integers(1, 3)))]
    if field.is_repeated:
        getattr(made, field.name).extend(values)
    else:
        setattr(made, field.name, values[0])


def _scalar(draw: st.DrawFn, field: FieldDescriptor) -> Any:
    if field.type == FieldDescriptor.TYPE_BYTES:
        format = draw(st.sampled_from(sorted(FORMATS)))
        return draw(st.one_of(st.sampled_from(pictures(format)), damaged(format), st.binary()))
    if field.type == FieldDescriptor.TYPE_STRING:
        return draw(TEXTS).encode("utf-8", "ignore").decode()
    if field.type == FieldDescriptor.TYPE_BOOL:
        return draw(st.booleans())
    if field.type in (FieldDescriptor.TYPE_FLOAT, FieldDescriptor.TYPE_DOUBLE):
        return draw(REALS)
    if field.type == FieldDescriptor.TYPE_ENUM:
        return draw(st.sampled_from((0, 1, 2, 99)))
    if field.type in (FieldDescriptor.TYPE_UINT32, FieldDescriptor.TYPE_UINT64):
        return abs(draw(NUMBERS))
    return draw(NUMBERS)


FINE = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    }
)
"""Answers to a bad request; INTERNAL, UNKNOWN and UNAVAILABLE are defects."""


class Methods:
    """The methods of a server, called with bytes."""

    def __init__(self, channel: grpc.Channel, services: Sequence[ServiceDescriptor]) -> None:
        self._channel = channel
        self.all = self.paths(services)

    @staticmethod
    def paths(services: Sequence[ServiceDescriptor]) -> dict[str, MethodDescriptor]:
        """Each method by its path."""
        return {f"/{s.full_name}/{method.name}": method for s in services for method in s.methods}

    def call(self, path: str, data: bytes, timeout_s: float) -> tuple[grpc.StatusCode, list[bytes]]:
        """Send bytes as the request of a method; how it was answered, and what with."""
        method = self.all[path]
        many = bool(method.client_streaming)
        make = self._channel.stream_stream if many else self._channel.unary_unary
        stub: Any = make(path, request_serializer=bytes, response_deserializer=bytes)
        try:
            if many:
                return grpc.StatusCode.OK, list(stub(iter([data]), timeout=timeout_s))
            return grpc.StatusCode.OK, [stub(data, timeout=timeout_s)]
        except grpc.RpcError as error:
            assert isinstance(error, grpc.Call)
            return error.code(), []


def services() -> list[ServiceDescriptor]:
    """The services of the contract."""
    names = sorted(Path(copycatch.v1.__path__[0]).glob("*_service.proto"))
    modules = [importlib.import_module(f"copycatch.v1.{each.stem}_pb2") for each in names]
    return [s for module in modules for s in module.DESCRIPTOR.services_by_name.values()]


def check_answer(calls: Methods, path: str, data: bytes, timeout_s: float = 60.0) -> None:
    """What must hold of a message to a method: an answer, and neither a defect nor silence."""
    code, answers = calls.call(path, data, timeout_s)
    assert code is grpc.StatusCode.OK or code in FINE, f"{path}: {code}"
    kind = GetMessageClass(calls.all[path].output_type)
    for answer in answers:
        assert "internal error" not in str(kind.FromString(answer)), path
