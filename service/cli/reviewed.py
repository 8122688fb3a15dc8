"""Asks a server about a marketplace's reviewed pairs.

The originals are those that the server holds, given by name or found by their picture: a
picture that is registered is answered as EXACT. Every listing is asked about once, whatever
the number of its pairs, and answers come with the scores below the review threshold.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from copycatch.v1 import match_service_pb2 as match_pb2
from copycatch.v1 import originals_service_pb2 as originals_pb2
from service.cli import output
from service.cli.checks import check_pictures
from service.cli.client import Client
from service.cli.failure import CommandError, describe
from service.evaluation.answers import Answer, Asked
from service.evaluation.messages import answer_of
from service.evaluation.pairs import LabelledPair

MATCHES = 50
"""Matches asked for, the most that a server answers."""


@dataclass(frozen=True, slots=True)
class Reviewed:
    """A listing with its pairs and what was answered.

    Attributes:
        listing: its file.
        pairs: its rows.
        named: resource names of the original of each row; none where it names no original, and
            several where its picture is registered more than once.
        answers: with resource names, best first.
        verdict: by the server's policy.
        error: why it could not be checked, empty when it was.
    """

    listing: Path
    pairs: tuple[LabelledPair, ...]
    named: tuple[frozenset[str], ...]
    answers: tuple[Answer, ...]
    verdict: str
    error: str

    @property
    def own(self) -> frozenset[str]:
        """The originals that it was made from."""
        return frozenset().union(
            *(names for pair, names in zip(self.pairs, self.named, strict=True) if pair.is_copy)
        )

    @property
    def others(self) -> frozenset[str]:
        """The originals that it was reviewed against and not made from."""
        return frozenset().union(
            *(names for pair, names in zip(self.pairs, self.named, strict=True) if not pair.is_copy)
        )

    @property
    def copies_nothing(self) -> bool:
        """Whether a row says that it copies nothing at all that is registered."""
        return any(pair.original is None for pair in self.pairs)

    @property
    def group(self) -> str:
        """Whose witness it is: the group of its rows, else its original, else itself."""
        for pair, names in zip(self.pairs, self.named, strict=True):
            if pair.group or names:
                return pair.group or min(names)
        return str(self.listing)

    def as_asked(self) -> Asked:
        """Return it as it is measured.

        Where it was made from several originals, or from one that is registered several times,
        the best of them counts, under the first of their names.
        """
        kinds = [pair for pair in self.pairs if pair.is_copy] or list(self.pairs)
        own = min(self.own, default="")
        mine = [answer for answer in self.answers if answer.original in self.own]
        answers = [a for a in self.answers if a.original not in self.own or a is mine[0]]
        return Asked(
            path=str(self.listing),
            role=kinds[0].label,
            original=own,
            edits=kinds[0].edits,
            fidelity=kinds[0].fidelity,
            group=self.group,
            verdict=self.verdict,
            answers=tuple(_renamed(a, own) if mine and a is mine[0] else a for a in answers),
            error=self.error,
        )


def ask(
    client: Client, pairs: Sequence[LabelledPair], *, thorough: bool, quiet: bool
) -> list[Reviewed]:
    """Ask about every listing of the pairs, in the order of the file.

    Raises:
        CommandError: an original is not registered, or a call failed.
    """
    rows: dict[Path, list[LabelledPair]] = {}
    for pair in pairs:
        rows.setdefault(pair.listing, []).append(pair)
    with output.progress(quiet=quiet) as bar:
        originals = list(dict.fromkeys(p.original for p in pairs if p.original is not None))
        task = bar.add_task("looking up originals", total=len(originals))
        names = resolve(client, originals, lambda: bar.advance(task))
        config = match_pb2.MatchConfig(max_matches=MATCHES, min_score=0.0, thorough=thorough)
        task = bar.add_task("checking listings", total=len(rows))
        results: dict[Path, match_pb2.ImageResult] = {}
        for path, result in check_pictures(client, list(rows), config):
            results[path] = result
            bar.advance(task)
    return [_reviewed(path, some, names, results[path]) for path, some in rows.items()]


def resolve(
    client: Client, originals: Sequence[Path | str], progress: Callable[[], None]
) -> dict[Path | str, frozenset[str]]:
    """Return the resource names of originals that are given by name or by picture.

    Raises:
        CommandError: the server does not hold one.
    """
    names: dict[Path | str, frozenset[str]] = {}
    for name in [one for one in originals if isinstance(one, str)]:
        _see_registered(client, name)
        names[name] = frozenset({name})
        progress()
    unknown: list[str] = []
    files = [one for one in originals if isinstance(one, Path)]
    config = match_pb2.MatchConfig(max_matches=MATCHES)
    for path, result in check_pictures(client, files, config) if files else ():
        exact = [m.original for m in result.matches if m.kind == match_pb2.EXACT]
        names[path] = frozenset(exact)
        if not exact:
            why = f" ({describe(result.error)})" if result.HasField("error") else ""
            unknown.append(f"{path}{why}")
        progress()
    if unknown:
        more = f" and {len(unknown) - 3} more" if len(unknown) > 3 else ""
        raise CommandError(
            f"{', '.join(sorted(unknown)[:3])}{more}: not registered at {client.target}",
            "register the originals first, or give their folder with --local DIR",
        )
    return names


def _see_registered(client: Client, name: str) -> None:
    """See that the server holds an original of this resource name."""
    try:
        client.call(client.originals.GetOriginal, originals_pb2.GetOriginalRequest(name=name))
    except CommandError as error:
        if error.reason != "ORIGINAL_NOT_FOUND":
            raise
        remedy = (
            f"see `copycatch originals list --brand {name.split('/')[1]}`; with --local DIR write "
            "the path of its picture in the labels instead"
        )
        raise CommandError(error.thing, remedy, error.reason) from error


def _reviewed(
    path: Path,
    rows: Sequence[LabelledPair],
    names: dict[Path | str, frozenset[str]],
    result: match_pb2.ImageResult,
) -> Reviewed:
    failed = result.HasField("error")
    return Reviewed(
        listing=path,
        pairs=tuple(rows),
        named=tuple(frozenset() if r.original is None else names[r.original] for r in rows),
        answers=tuple(answer_of(match, match.original) for match in result.matches),
        verdict="" if failed else match_pb2.Verdict.Name(result.verdict),
        error=describe(result.error) if failed else "",
    )


def _renamed(answer: Answer, name: str) -> Answer:
    return Answer(name, answer.score, answer.verdict, answer.kind, answer.edits, answer.verified)
