"""The door for messages of SweepService, as `service.rpc.convert` is for the others."""

import re
import secrets
import time

from copycatch.v1 import match_service_pb2, sweep_service_pb2
from service.matching.results import MatchKind, Verdict
from service.rpc.convert import MAX_BRANDS, POLICIES
from service.rpc.fields import Violations
from service.sweeps.filters import FindingFilter
from service.sweeps.recall import FORM as REMEMBERED
from service.sweeps.records import SweepSpec
from service.sweeps.target import Target

MAX_LOCATION_CHARS = 2_000
_FINDING = re.compile(r"((?:brands/[^/]*/)?sweeps/[^/]*)/findings/(0|[1-9][0-9]{0,14})")


def new_sweep(message: sweep_service_pb2.CreateSweepRequest, confined: bool) -> SweepSpec:
    """Return what is to be swept.

    Args:
        confined: whether the caller may make sweeps of its own brands only.
    """
    found = Violations()
    parent = ""
    if message.parent:
        parent = found.brand("parent", message.parent)
    elif confined:
        found.add(
            "parent",
            "is required of owners: name the brand that the sweep belongs to (--of)",
        )
    given = message.sweep
    forward = given.forward
    if not message.HasField("sweep"):
        found.add("sweep", "is required")
    elif given.WhichOneof("source") is None:
        found.add("sweep.forward", "is required, or sweep.retroactive: name what is to be swept")
    remembered = given.WhichOneof("source") == "retroactive"
    found.text(
        "sweep.forward.manifest",
        forward.manifest,
        MAX_LOCATION_CHARS,
        required=not found.any and not remembered,
    )
    forms = sweep_service_pb2.ForwardSource.Form
    form = REMEMBERED if remembered else ""
    if forward.form:
        if forward.form in forms.values():
            form = forms.Name(forward.form)
        else:
            found.add("sweep.forward.form", f"is {forward.form}, which this server does not know")
    if given.policy and given.policy not in POLICIES:
        found.add("sweep.policy", f"must be one of {', '.join(POLICIES)}")
    if message.sweep_id:
        found.id("sweep_id", message.sweep_id)
    own = message.sweep_id or _made_up()
    spec = SweepSpec(
        sweep=f"{parent}/{own}" if parent else own,
        manifest=forward.manifest,
        form=form,
        display_name=found.text("sweep.display_name", given.display_name, 200),
        target=_target(found, given.target, parent),
        policy=given.policy,
        thorough=given.thorough,
        request_id=found.request_id("request_id", message.request_id),
    )
    found.check()
    return spec


def filtered(message: sweep_service_pb2.FindingFilter) -> FindingFilter:
    """Return which findings to list; `listing_id` is looked at by the servicer."""
    found = Violations()
    verdicts, kinds = set(), set()
    for number in message.verdicts:
        try:
            verdicts.add(Verdict(match_service_pb2.Verdict.Name(number)))
        except ValueError:
            found.add("filter.verdicts", f"{number} is no verdict that can be asked for")
    for kind in message.kinds:
        try:
            kinds.add(MatchKind(match_service_pb2.MatchKind.Name(kind)))
        except ValueError:
            found.add("filter.kinds", f"{kind} is no kind that can be asked for")
    for i, name in enumerate(message.brands):
        found.brand(f"filter.brands[{i}]", name)
    for i, name in enumerate(message.families):
        found.original(f"filter.families[{i}]", name)
    found.check()
    return FindingFilter(
        verdicts=frozenset(verdicts),
        kinds=frozenset(kinds),
        brands=frozenset(message.brands),
        families=frozenset(message.families),
        sellers=frozenset(message.sellers),
        failed=message.failed,
        flagged=message.flagged,
    )


def finding(name: str) -> tuple[str, int]:
    """Return the sweep and the position in `sweeps/{sweep}/findings/{finding}`."""
    found = Violations()
    parts = _FINDING.fullmatch(name)
    if parts is None:
        found.add("name", f"must be sweeps/{{sweep}}/findings/{{finding}}, got {name[:200]!r}")
        found.check()
    assert parts is not None
    sweep = found.sweep("name", parts[1])
    found.check()
    return sweep, int(parts[2])


def _target(found: Violations, target: sweep_service_pb2.Target, parent: str) -> Target:
    """Return the originals to look for; of a brand's sweep, only its own."""
    for field in ("brands", "originals"):
        if len(getattr(target, field)) > MAX_BRANDS:
            found.add(f"sweep.target.{field}", f"at most {MAX_BRANDS} are allowed")
            return Target()
    if target.brands and target.originals:
        found.add("sweep.target.brands", "must be empty where originals are chosen")
    brands = {
        found.brand(f"sweep.target.brands[{i}]", name) for i, name in enumerate(target.brands)
    }
    for i, name in enumerate(target.originals):
        found.original(f"sweep.target.originals[{i}]", name)
    wanted = Target(frozenset(brands), frozenset(target.originals))
    if not parent:
        return wanted
    if not (wanted.brands or wanted.originals):
        return Target(frozenset({parent}))
    if not found.any and not wanted.only(parent):
        found.add("sweep.target", f"must lie in brands/{parent}, as the sweep does")
    return wanted


def _made_up() -> str:
    return f"s-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(3)}"
