"""Registers many pictures over one stream, resumably.

Resuming needs no journal. The server lists what a brand has with the SHA-256 of each, so a
picture that is there under its id with the same bytes is not even sent; one that is sent
all the same is answered `ALREADY_PRESENT`. What the server says is there is there.
"""

import hashlib
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from queue import SimpleQueue

from google.rpc import status_pb2

from copycatch.v1 import brands_service_pb2 as brands_pb2
from copycatch.v1 import originals_service_pb2 as originals_pb2
from service.cli.client import Client
from service.cli.failure import CommandError, describe, reason_of, refused_unseen, unreadable
from service.cli.sources import Broken, Item

Outcome = originals_pb2.ImportOriginalsResponse.Outcome
PAGE_SIZE = 1000


@dataclass(frozen=True, slots=True)
class Done:
    """What has become of one picture.

    Attributes:
        name: how the source calls it.
        outcome: `CREATED`, `ALREADY_PRESENT` or `FAILED`.
        original: resource name; empty when it failed.
        reason: reason of the failure, in UPPER_SNAKE.
        message: the failure in words, with the remedy.
        state: of the original, `ACTIVE` or `DISPUTED`; empty when it failed, or when it was
            there and not even sent.
    """

    name: str
    outcome: str
    original: str = ""
    reason: str = ""
    message: str = ""
    state: str = ""


@dataclass(slots=True)
class Tally:
    """Counts of a run, and its failures."""

    created: int = 0
    present: int = 0
    disputed: int = 0
    failures: list[Done] = field(default_factory=list)

    def add(self, done: Done) -> None:
        """Count one picture."""
        self.disputed += done.state == "DISPUTED"
        if done.outcome == "CREATED":
            self.created += 1
        elif done.outcome == "ALREADY_PRESENT":
            self.present += 1
        else:
            self.failures.append(done)


def list_originals(client: Client, brand: str) -> Iterator[originals_pb2.Original]:
    """Yield all originals of a brand, ordered by id.

    Raises:
        CommandError: the brand does not exist, or the server does not answer.
    """
    request = originals_pb2.ListOriginalsRequest(parent=f"brands/{brand}", page_size=PAGE_SIZE)
    while True:
        page = client.call(client.originals.ListOriginals, request)
        yield from page.originals
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token


def list_brands(client: Client) -> Iterator[brands_pb2.Brand]:
    """Yield all brands, ordered by id."""
    request = brands_pb2.ListBrandsRequest(page_size=PAGE_SIZE)
    while True:
        page = client.call(client.brands.ListBrands, request)
        yield from page.brands
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token


class Ingest:
    """One run: draws items, leaves out what is there, sends the rest, tells of each."""

    def __init__(self, client: Client, *, create_brands: bool, on_brand: Callable[[str], None]):
        """Prepare a run.

        Args:
            client: connection to the server.
            create_brands: create a brand that does not exist.
            on_brand: told of each brand that was created.
        """
        self._client = client
        self._create_brands = create_brands
        self._on_brand = on_brand
        self._max_bytes = client.info().limits.max_image_bytes
        self._known: dict[str, dict[str, str]] = {}
        self._results: SimpleQueue[Done | Exception | None] = SimpleQueue()

    def run(self, items: Iterable[Item | Broken]) -> Iterator[Done]:
        """Register the items; yields in the order in which they are done.

        Raises:
            CommandError: the connection broke, the source did, or a brand does not exist
                and may not be created. What was yielded before is registered, and a
                second run goes on from there.
        """
        threading.Thread(target=self._pump, args=(items,), daemon=True).start()
        while (result := self._results.get()) is not None:
            if isinstance(result, Exception):
                raise result
            yield result

    def _pump(self, items: Iterable[Item | Broken]) -> None:
        """Run the stream; puts what comes of it into the queue, and None at the end."""
        requests = self._requests(items)
        try:
            for answer in self._client.stream(self._client.originals.ImportOriginals, requests):
                self._results.put(_from_response(answer))
        except Exception as error:  # belongs to the caller of `run`
            self._results.put(error)
        self._results.put(None)

    def _requests(
        self, items: Iterable[Item | Broken]
    ) -> Iterator[originals_pb2.ImportOriginalsRequest]:
        """Draw the items that have to be sent. Runs in a thread of grpc's."""
        for item in items:
            if isinstance(item, Broken):
                self._results.put(Done(item.name, "FAILED", "", "UNREADABLE", item.message))
                continue
            if refusal := refused_unseen(item.size, self._max_bytes):
                self._refuse(item.name, refusal)
                continue
            try:
                data = item.read()
            except OSError as error:
                self._refuse(item.name, unreadable(error))
                continue
            name = f"brands/{item.brand}/originals/{item.original}"
            digest = self._originals_of(item.brand).get(item.original)
            if digest is not None and digest == hashlib.sha256(data).hexdigest():
                self._results.put(Done(item.name, "ALREADY_PRESENT", name))
                continue
            yield originals_pb2.ImportOriginalsRequest(
                item_id=item.name,
                request=originals_pb2.CreateOriginalRequest(
                    parent=f"brands/{item.brand}",
                    original_id=item.original,
                    original=originals_pb2.Original(
                        display_name=item.display_name[:200],
                        image=data,
                        annotations=dict(item.annotations),
                    ),
                ),
            )

    def _refuse(self, name: str, status: status_pb2.Status) -> None:
        """Fail an item that is not sent."""
        self._results.put(Done(name, "FAILED", "", reason_of(status), describe(status)))

    def _originals_of(self, brand: str) -> dict[str, str]:
        """Return id -> SHA-256 of what a brand has, creating the brand when that is wanted."""
        if brand not in self._known:
            try:
                self._known[brand] = {
                    original.name.rpartition("/")[2]: original.sha256
                    for original in list_originals(self._client, brand)
                }
            except CommandError as error:
                if error.reason != "BRAND_NOT_FOUND":
                    raise
                if not self._create_brands:
                    remedy = (
                        f"create it with `copycatch brands create {brand}`, or add --create-brand"
                    )
                    raise CommandError(error.thing, remedy, error.reason) from error
                self._client.call(
                    self._client.brands.CreateBrand,
                    brands_pb2.CreateBrandRequest(brand=brands_pb2.Brand(), brand_id=brand),
                )
                self._on_brand(brand)
                self._known[brand] = {}
        return self._known[brand]


def _from_response(response: originals_pb2.ImportOriginalsResponse) -> Done:
    """Translate one answer of the stream."""
    outcome = Outcome.Name(response.outcome)
    if response.WhichOneof("result") == "error":
        reason = reason_of(response.error)
        return Done(response.item_id, "FAILED", "", reason, describe(response.error))
    state = originals_pb2.Original.State.Name(response.original.state)
    return Done(response.item_id, outcome, response.original.name, state=state)
