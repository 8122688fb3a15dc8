"""The engine of one machine: threads of this process, in the slow lane.

They share the encoders and the live indexes with the calls: nothing is loaded twice, and a
sweep sees the originals and rights of the moment.
"""

import threading
import time
from collections.abc import Callable, Sequence

from index.disk import StoreClosed
from models.batcher import BatcherStopped
from service.sweeps.board import Board, Job
from service.sweeps.partition import Inspector, Interrupted

Turn = Callable[[Callable[[], bool]], None]


class LocalEngine:
    """Does what is on the board. Belongs to one board.

    Args:
        inspector: looks at listings.
        threads: chunks in work at a time.
    """

    def __init__(self, inspector: Inspector, threads: int) -> None:
        self._inspector = inspector
        self._threads = [
            threading.Thread(target=self._work, name=f"copycatch-sweep-{n}", daemon=True)
            for n in range(threads)
        ]

    def start(self, board: Board, turn: Turn) -> None:
        """Begin; `turn` waits for the machine."""
        self._board, self._turn = board, turn
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Wait for the picture that is in work; the board must be closed."""
        for thread in self._threads:
            if thread.is_alive():
                thread.join()

    def _work(self) -> None:
        while jobs := self._board.take(1):
            self.do(jobs)

    def do(self, jobs: Sequence[Job]) -> None:
        """Do what was taken from the board, on the calling thread."""
        for job in jobs:
            try:
                self._do(job)
            except Interrupted:
                self._board.give_back([job])
            except (BatcherStopped, StoreClosed):  # the server stops
                self._board.close()
            except Exception as error:
                self._board.fail(job.sweep, error)

    def _do(self, job: Job) -> None:
        began, spec = time.monotonic(), job.sweep.spec
        waited = 0.0

        def turn() -> None:
            nonlocal waited
            asked = time.monotonic()
            self._turn(lambda: not self._board.wanted(job.sweep))
            waited += time.monotonic() - asked

        options = spec.target.options(spec.policy, spec.thorough)
        made = self._inspector.inspect(job.listings, spec.target, options, spec.sweep, turn)
        self._board.hand_in(job, made, time.monotonic() - began - waited)
