"""The demo's HTML page: each listing beside the original it was found alike, and why.

One file with everything in it: pictures are inlined and there is neither a script nor a
font from elsewhere, so that the page can be kept, mailed and opened offline.
"""

import base64
import html
import io
import math
from collections.abc import Mapping, Sequence
from importlib import resources
from string import Template

from PIL import Image, ImageOps

from copycatch.v1 import match_service_pb2 as match_pb2
from service.cli import output
from service.demo.answers import Answer, median_ms, mistakes, short
from service.demo.table import why

SIDE_PX = 460
"""Longest side of an inlined picture."""


def render(
    answers: Sequence[Answer],
    previews: Mapping[str, bytes],
    info: match_pb2.ServerInfo,
    credits: str = "",
) -> str:
    """Return the page.

    Args:
        answers: shown in this order.
        previews: original's resource name -> encoded picture, for every best match.
        info: what the server runs, for the head and the foot.
        credits: who made the photographs.
    """
    inlined = {name: _inline(preview) for name, preview in previews.items()}
    wrong = len(mistakes(answers))
    judged = sum(bool(answer.listing.verdicts) for answer in answers)
    template = resources.files("service.demo").joinpath("page.html").read_text(encoding="utf-8")
    return Template(template).substitute(
        summary=_summary(len(answers), judged, wrong, median_ms(answers), info),
        rows="\n".join(_row(number, answer) for number, answer in enumerate(answers)),
        cards="\n".join(_card(number, answer, inlined) for number, answer in enumerate(answers)),
        foot=_foot(info),
        credits=_e(credits),
        expected_class="" if judged else "plain",
    )


def _summary(count: int, judged: int, wrong: int, ms: float, info: match_pb2.ServerInfo) -> str:
    figures = [
        (f"{count}", "listings"),
        (f"{info.original_count}", "originals registered"),
        (f"{ms:.0f} ms", "median answer, one at a time"),
    ]
    if judged:
        figures.insert(1, (f"{judged - wrong} of {judged}", "answered as expected"))
    return "".join(f"<div><b>{value}</b><span>{words}</span></div>" for value, words in figures)


def _row(number: int, answer: Answer) -> str:
    best = answer.best
    return (
        f'<tr class="{"wrong" if answer.mistake else ""}">'
        f'<td><a href="#l{number}">{_e(answer.listing.title)}</a></td>'
        f'<td class="x">{_e(answer.listing.expectation or "not judged")}</td>'
        f"<td>{_pill(answer.verdict)}</td>"
        f"<td>{_e(output.kind_words(best)) if best else ''}</td>"
        f"<td>{_e(short(best.original)) if best else ''}</td>"
        f'<td class="n">{f"{best.score:.2f}" if best else ""}</td>'
        f'<td class="n">{f"{answer.round_trip_ms:.0f}" if answer.round_trip_ms else ""}</td></tr>'
    )


def _card(number: int, answer: Answer, previews: Mapping[str, str]) -> str:
    best = answer.best
    region = _outline(best) if best else ""
    listing = (
        f'<figure><div class="frame"><span class="hold"><img alt="{_e(answer.listing.title)}" '
        f'src="{_inline(answer.listing.image)}">{region}</span></div>'
        f"<figcaption>Listing</figcaption></figure>"
    )
    original = (
        f'<figure><div class="frame"><img alt="original" src="{previews[best.original]}"></div>'
        f"<figcaption>Original {_e(short(best.original))}</figcaption></figure>"
        if best
        else '<figure><div class="frame none">no original</div></figure>'
    )
    mistake = f'<p class="mistake">{_e(answer.mistake)}</p>' if answer.mistake else ""
    return (
        f'<article id="l{number}" class="{"wrong" if answer.mistake else ""}">'
        f"<header><h2>{_e(answer.listing.title)}</h2>{_pill(answer.verdict)}</header>"
        f'<div class="pair">{listing}{original}</div>{mistake}'
        f'<p class="why">{_e(_why(answer))}</p>{_details(best) if best else ""}'
        f'<p class="ms">{_e(_timings(answer))}</p></article>'
    )


def _why(answer: Answer) -> str:
    best = answer.best
    return (best.note if best else "") or answer.result.note or why(answer)


def _details(match: match_pb2.Match) -> str:
    """Return score, edits and evidence of a match."""
    kind = output.kind_words(match)
    percent = round(match.score * 100)
    count = len(match.evidence)
    edits = "".join(
        f'<li class="{"warn" if edit.misleads_buyer else ""}">{_e(edit.description)}</li>'
        for edit in match.edits
    )
    rows = "".join(
        f'<tr class="{"yes" if item.supports else ""}"><td>{_e(item.signal)}</td>'
        f'<td class="n">{item.value:.3g}</td>'
        f'<td class="n">{"" if item.context else f"{item.threshold:.3g}"}</td>'
        f"<td>{_speaks(item)}</td><td>{_e(item.note)}</td></tr>"
        for item in sorted(match.evidence, key=lambda each: each.context)
    )
    return (
        f'<div class="score"><span>{_e(kind)}</span>'
        f'<i><u style="width:{percent}%"></u></i><span>{match.score:.2f}</span></div>'
        f"{f'<ul>{edits}</ul>' if edits else ''}"
        f"<details><summary>Evidence: {count} signal{'' if count == 1 else 's'}</summary><table>"
        f"<thead><tr><th>signal</th><th>value</th><th>speaks from</th>"
        "<th>speaks for a copy</th><th>in words</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></details>"
    )


def _speaks(item: match_pb2.Evidence) -> str:
    return "context" if item.context else "yes" if item.supports else "no"


def _timings(answer: Answer) -> str:
    if not answer.round_trip_ms:
        return "not sent"
    steps = ", ".join(f"{name} {ms:.0f}" for name, ms in answer.steps_ms if ms >= 0.5)
    return f"{answer.round_trip_ms:.0f} ms over gRPC" + (f", of these {steps}" if steps else "")


def _outline(match: match_pb2.Match) -> str:
    """Return the original's outline in the listing picture, as SVG over it."""
    points = [(point.x, point.y) for point in match.alignment.listing_region]
    if len(points) != 4 or not all(math.isfinite(x) and math.isfinite(y) for x, y in points):
        return ""
    corners = " ".join(f"{100 * x:.2f},{100 * y:.2f}" for x, y in points)
    return (
        '<svg viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true">'
        f'<polygon points="{corners}"/></svg>'
    )


def _foot(info: match_pb2.ServerInfo) -> str:
    clip = "off" if info.clip.startswith("off") else info.clip
    encoders = ", ".join(f"{e.name} ({e.weights_sha256[:8]})" for e in info.encoders)
    return _e(
        f"Copycatch {info.version} · encoders {encoders} · CLIP {clip} · "
        f"policy {info.policy} · score {info.model} · schema {info.schema}"
    )


def _pill(verdict: str) -> str:
    return f'<span class="pill {verdict.lower()}">{verdict}</span>'


def _inline(data: bytes) -> str:
    """Return a picture as a small data address; a grey square when it can not be read."""
    try:
        image = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    except (OSError, ValueError, Image.DecompressionBombError):
        image = Image.new("RGB", (SIDE_PX // 2, SIDE_PX // 2), (160, 160, 160))
    image.thumbnail((SIDE_PX, SIDE_PX))
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=82)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def _e(text: str) -> str:
    return html.escape(text)
