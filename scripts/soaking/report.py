"""What a soak comes to: one dictionary for machines, a page of text for people, a plot."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scripts.soaking.ledger import Call, Ledger, Sample

CALM, FAULTS = "calm", "faults"
_EARLY_S = 180.0
_OLD_S = 240.0
"""A process younger than this says nothing about how memory grows."""
_WINDOW_S = 10.0


def figures(ledger: Ledger, starts: Sequence[float]) -> dict[str, Any]:
    """Count everything. Times in ms where not said otherwise."""
    calls = ledger.calls
    bad = [call for call in calls if call.kind == "bad input"]
    return {
        "minutes": (max(c.stop for c in calls) - ledger.start) / 60 if calls else 0.0,
        "calls": len(calls),
        "calls_by_kind": dict(Counter(call.kind for call in calls).most_common()),
        "calls_by_end": dict(Counter(call.end for call in calls).most_common()),
        "bad_inputs": len(bad),
        "faults": dict(Counter(fault.kind for fault in ledger.faults))
        | {
            "hang up": sum(call.end == "HUNG_UP" for call in calls),
            "1 ms deadline": sum(call.kind.endswith(" late") for call in calls),
        },
        "wrong_answers": len(ledger.wrong),
        "wrong": ledger.wrong[:1000],
        "notes": dict(ledger.notes),
        "latency_ms": {
            phase: {
                "all": _latency([c for c in calls if _counts(ledger, c, phase)]),
                **{
                    kind: _latency(
                        [c for c in calls if _counts(ledger, c, phase) and c.kind == kind]
                    )
                    for kind in sorted({c.kind for c in calls if _counts(ledger, c, phase)})
                },
            }
            for phase in (CALM, FAULTS)
        },
        "start_s": {"count": len(starts), "median": _rounded(float(np.median(starts)))},
        "processes": [_aged(samples) for samples in _by_process(ledger.samples)],
    }


def _counts(ledger: Ledger, call: Call, phase: str) -> bool:
    """Whether the time of a call tells how fast answers are."""
    answered = call.end == "OK" and not call.kind.startswith(("stream", "hang", "import"))
    return answered and ledger.phase_of(call.start) == phase


def _latency(calls: Sequence[Call]) -> dict[str, float]:
    if not calls:
        return {"count": 0}
    ms = [(call.stop - call.start) * 1000 for call in calls]
    p50, p99 = np.percentile(ms, (50, 99))
    return {"count": len(ms), "p50": _rounded(p50), "p99": _rounded(p99), "max": _rounded(max(ms))}


def _rounded(value: float) -> float:
    return round(float(value), 1)


def _by_process(samples: Sequence[Sample]) -> list[list[Sample]]:
    found: dict[int, list[Sample]] = {}
    for sample in samples:
        found.setdefault(sample.process, []).append(sample)
    return list(found.values())


def _aged(samples: Sequence[Sample]) -> dict[str, Any]:
    """How a process was after three minutes and at its end, each as the mean of ten seconds."""
    last = samples[-1]
    told: dict[str, Any] = {"age_s": _rounded(last.uptime_s), "end": _mean(samples[-10:])}
    if last.uptime_s >= _OLD_S:
        early = [s for s in samples if _EARLY_S <= s.uptime_s < _EARLY_S + 10]
        told["after_3_minutes"] = _mean(early)
        told["growth"] = {
            name: round(told["end"][name] / told["after_3_minutes"][name] - 1, 3)
            for name in ("rss_mb", "anonymous_mb", "descriptors")
        }
    return told


def _mean(samples: Sequence[Sample]) -> dict[str, float]:
    names = ("rss_mb", "anonymous_mb", "descriptors", "threads")
    return {n: _rounded(np.mean([getattr(s, n) for s in samples])) for n in names}


def text(told: Mapping[str, Any]) -> str:
    """The same for people."""
    lines = [
        f"{told['calls']:,} calls in {told['minutes']:.1f} minutes, "
        f"{told['bad_inputs']:,} of them bad input; {told['wrong_answers']} wrong answers",
        "faults: " + ", ".join(f"{count} x {kind}" for kind, count in told["faults"].items()),
        "calls: " + ", ".join(f"{kind} {n:,}" for kind, n in told["calls_by_kind"].items()),
        "ended: " + ", ".join(f"{end} {n:,}" for end, n in told["calls_by_end"].items()),
        "also: " + (", ".join(f"{n:,} x {what}" for what, n in told["notes"].items()) or "nothing"),
        f"starts: {told['start_s']['count']}, median {told['start_s']['median']} s until calls "
        "were answered",
        "",
        f"{'milliseconds of answered calls':32}{'p50':>10}{'p99':>10}{'max':>10}{'count':>10}",
    ]
    for phase, kinds in told["latency_ms"].items():
        for kind, one in kinds.items():
            if one["count"]:
                numbers = "".join(f"{one[name]:>10,.0f}" for name in ("p50", "p99", "max"))
                lines.append(f"{phase + ', ' + kind:32}{numbers}{one['count']:>10,}")
    lines += ["", "processes that lived longer than four minutes:"]
    for process in told["processes"]:
        if "growth" in process:
            early, end, growth = process["after_3_minutes"], process["end"], process["growth"]
            lines.append(
                f"  {process['age_s'] / 60:.1f} minutes: resident {early['rss_mb']:.0f} MB after 3,"
                f" {end['rss_mb']:.0f} at the end ({growth['rss_mb']:+.1%}); of its own "
                f"{early['anonymous_mb']:.0f}, {end['anonymous_mb']:.0f} "
                f"({growth['anonymous_mb']:+.1%}); descriptors {early['descriptors']:.0f}, "
                f"{end['descriptors']:.0f}; threads {early['threads']:.0f}, {end['threads']:.0f}"
            )
    lines += ["", *(f"WRONG: {one}" for one in told["wrong"])]
    return "\n".join(lines).rstrip() + "\n"


def plot(ledger: Ledger, path: Path) -> None:
    """Draw answer times, calls, memory and descriptors over the time. Needs matplotlib."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(4, 1, figsize=(12, 11), sharex=True)
    times, p50, p99, rate = _windows(ledger)
    axes[0].plot(times, p50, label="p50")
    axes[0].plot(times, p99, label="p99")
    axes[0].set(ylabel=f"ms of {_WINDOW_S:g} s", yscale="log")
    axes[1].plot(times, rate, color="tab:green", label="calls a second")
    minutes = [(s.time - ledger.start) / 60 for s in ledger.samples]
    axes[2].plot(minutes, [s.rss_mb for s in ledger.samples], ".", ms=2, label="resident, MB")
    own = [s.anonymous_mb for s in ledger.samples]
    axes[2].plot(minutes, own, ".", ms=2, label="of its own, MB")
    axes[3].plot(minutes, [s.descriptors for s in ledger.samples], ".", ms=2, label="descriptors")
    axes[3].plot(minutes, [s.threads for s in ledger.samples], ".", ms=2, label="threads")
    axes[2].set_ylim(bottom=0)
    axes[3].set(xlabel="minutes", ylim=(0, None))
    colours = {"kill": "tab:red", "terminate": "tab:orange", "stop": "tab:purple"}
    for panel in axes:
        for fault in ledger.faults:
            at = (fault.start - ledger.start) / 60
            panel.axvline(at, color=colours[fault.kind], alpha=0.35, linewidth=0.8)
        for name, start in ledger.phases:
            panel.axvline((start - ledger.start) / 60, color="black", linestyle=":", linewidth=0.8)
            if panel is axes[0]:
                place = ((start - ledger.start) / 60, 1.01)
                panel.annotate(name, place, xycoords=("data", "axes fraction"))
        panel.legend(loc="upper left")
    marks = ", ".join(f"{kind} {colour.removeprefix('tab:')}" for kind, colour in colours.items())
    figure.suptitle(f"{len(ledger.calls):,} calls, {len(ledger.wrong)} wrong answers ({marks})")
    figure.savefig(path, dpi=110, bbox_inches="tight")
    pyplot.close(figure)


def _windows(ledger: Ledger) -> tuple[list[float], list[float], list[float], list[float]]:
    """Minutes, and p50, p99 and calls a second of the calls that ended in each window."""
    found: dict[int, list[float]] = {}
    for call in ledger.calls:
        if call.end == "OK":
            place = int((call.stop - ledger.start) // _WINDOW_S)
            found.setdefault(place, []).append((call.stop - call.start) * 1000)
    places = sorted(found)
    return (
        [(place + 0.5) * _WINDOW_S / 60 for place in places],
        [float(np.percentile(found[place], 50)) for place in places],
        [float(np.percentile(found[place], 99)) for place in places],
        [len(found[place]) / _WINDOW_S for place in places],
    )
