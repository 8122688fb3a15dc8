"""The server's side of its helpers: starts them, gives each a picture at a time, answers them."""

import io
import logging
import os
import queue
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import closing, nullcontext, suppress
from functools import partial
from multiprocessing.connection import Connection
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from index.catalogue import Catalogue
from models.batcher import Batcher, DeadlineExpired
from service.helpers.desk import Desk
from service.helpers.wire import Ask, Done, Failed, FromHelper, Setup, Task, Tell

log = logging.getLogger(__name__)

_STOP_S, _LOOK_S = 10.0, 0.5


class HelperLost(RuntimeError):
    """The process that looked at the picture died, twice, or did not go on; the picture may be why.

    Attributes:
        why: what became of the process.
        died: whether it ended by itself, so that another one may fare better.
    """

    reason: ClassVar[str] = "HELPER_LOST"

    def __init__(self, why: str, died: bool = True) -> None:
        self.why, self.died = why, died
        super().__init__(f"the process that looked at the picture was lost: {why}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.why, self.died)


class Process:
    """One helper. Belongs to one thread at a time."""

    def __init__(self) -> None:
        """Start it; `ready` waits until it has loaded."""
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._program = subprocess.Popen(
                # Without the folder that the server happens to run in: it may have a `service` too.
                [sys.executable, "-P", "-m", "service.helpers.process", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        self._connection = Connection(os.dup(self._socket.fileno()))
        self._told = False
        self._waits = True
        self._asked_s: float | None = None
        self._given_up = ""

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._program.pid

    @property
    def alive(self) -> bool:
        """Whether the process runs. For any thread."""
        return self._program.poll() is None

    @property
    def waits(self) -> bool:
        """Whether it waits for a task, or to be told what it needs to know; if not, it is lost."""
        return self._waits

    def ready(self, setup: Setup) -> None:
        """Tell it what it needs to know, once, and wait until it can take tasks.

        Raises:
            HelperLost: it died meanwhile.
        """
        if self._told:
            return
        self._told, self._waits = True, False
        try:
            self._connection.send(setup)
            told = self._hear()
        except (EOFError, OSError) as error:
            raise self._lost() from error
        if isinstance(told, Failed):
            raise told.error
        self._waits = True

    def run(self, task: Task, desk: Desk) -> Any:
        """Have a task done, and answer its questions meanwhile.

        Raises:
            HelperLost: the process died, or was given up; it must be replaced.
            whatever the task raises.
        """
        self._waits = False
        try:
            self._connection.send(task)
            while not isinstance(said := self._hear(), Done | Failed):
                self._reply(said, desk)
        except (EOFError, OSError) as error:
            raise self._lost() from error
        self._waits = True
        if isinstance(said, Failed):
            raise said.error
        return said.value

    def give_up_after(self, limit_s: float) -> None:
        """Kill it when it was last heard of so long ago, and is waited for. For any thread."""
        since_s = self._asked_s
        if since_s is not None and time.monotonic() - since_s > limit_s:
            self._given_up = f"it gave no sign for {limit_s:g} s"
            self._program.kill()

    def _hear(self) -> FromHelper:
        self._asked_s = time.monotonic()
        try:
            said: FromHelper = self._connection.recv()
            return said
        finally:
            self._asked_s = None

    def _reply(self, said: Ask | Tell, desk: Desk) -> None:
        answer: Done | Failed
        try:
            answer = Done(desk.answer(said))
        except Exception as error:
            if isinstance(said, Tell):
                raise  # nobody waits to hear of it
            answer = Failed.by(error)
        if isinstance(said, Ask):
            self._connection.send(answer)

    def _lost(self) -> HelperLost:
        if self._given_up:
            return HelperLost(self._given_up, died=False)
        try:
            code = self._program.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            return HelperLost("it closed its connection")
        ended = f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
        return HelperLost(f"it {ended}")

    def end(self) -> None:
        """Have it end when it is through with what it does. For any thread."""
        with suppress(OSError):  # it has ended
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self, left_s: float = 0.0) -> None:
        """Wait for its end, then kill it; one that was told nothing yet is killed at once."""
        try:
            self._program.wait(left_s if self._told else 0.0)
        except subprocess.TimeoutExpired:
            self._program.kill()
            self._program.wait()
        self._connection.close()
        self._socket.close()


class Helpers:
    """The helpers of a server. After `begin` any thread may call any method.

    Attributes:
        setup: what they were told first.
        lost: how many were lost and replaced.

    Args:
        count: how many, from 1 on.
        limit_s: seconds without a sign of life after which a helper is given up; 0 is for ever.
    """

    setup: Setup

    def __init__(self, count: int, limit_s: float = 0.0) -> None:
        """Start them; `begin` waits until they have loaded."""
        self._free: queue.LifoQueue[Process] = queue.LifoQueue()
        self._all = [Process() for _ in range(count)]
        self._lock = threading.Lock()
        self.lost = 0
        # What may wait leaves one to those who may not.
        self._aside = threading.BoundedSemaphore(max(1, count - 1))
        for each in self._all:
            self._free.put(each)
        self._ending = threading.Event()
        if limit_s:
            watch = partial(self._watch, limit_s)
            threading.Thread(target=watch, name="copycatch-helpers", daemon=True).start()

    def begin(self, setup: Setup, catalogue: Catalogue, encoders: Mapping[str, Batcher]) -> None:
        """Wait until all can take tasks, and have done one: a first look takes twice as long.

        Args:
            setup: what they are told first.
            catalogue, encoders: what they may ask for; the encoders by kind of vector.

        Raises:
            HelperLost: one died meanwhile.
        """
        self.setup, self._catalogue, self._encoders = setup, catalogue, encoders
        self._prepared = frozenset(space for space, how in setup.encoders.items() if how[1])
        warm_up = Task("compare", (*_pair(), False))
        for each in self._all:
            each.ready(setup)
            with closing(self._desk()) as desk:
                each.run(warm_up, desk)

    @property
    def pids(self) -> tuple[int, ...]:
        """Of the processes."""
        with self._lock:
            return tuple(each.pid for each in self._all)

    @property
    def alive(self) -> int:
        """How many run. One that died while it waited is replaced when it is given a task."""
        with self._lock:
            return sum(each.alive for each in self._all)

    def run(self, task: Task, deadline: float | None = None, *, aside: bool = False) -> Any:
        """Have a free helper do a task; one that died is replaced, and its task tried once more.

        Args:
            deadline: `time.monotonic()` after which no helper begins.
            aside: leave a helper to others, and wait for that.

        Raises:
            DeadlineExpired: no helper was free in time.
            HelperLost: the task brought two processes down, or took too long.
            whatever the task raises.
        """
        with self._aside if aside else nullcontext():
            try:
                return self._run(task, deadline)
            except HelperLost as lost:
                if not lost.died:
                    raise
                log.warning("a helper was lost, its picture is tried with another: %s", lost.why)
                return self._run(task, deadline)

    def _run(self, task: Task, deadline: float | None) -> Any:
        helper = self._take(deadline)
        try:
            helper.ready(self.setup)
            with closing(self._desk()) as desk:
                return helper.run(task, desk)
        finally:
            # One that is not through with its task would take the next answer for an old one.
            self._free.put(helper if helper.waits else self._replaced(helper))

    def _desk(self) -> Desk:
        return Desk(self._catalogue, self._encoders, self._prepared)

    def _take(self, deadline: float | None) -> Process:
        left_s = None if deadline is None else max(0.0, deadline - time.monotonic())
        try:
            return self._free.get(timeout=left_s)
        except queue.Empty:
            assert deadline is not None
            raise DeadlineExpired(time.monotonic() - deadline) from None

    def _replaced(self, lost: Process) -> Process:
        with self._lock:
            if self._ending.is_set():
                return lost
            lost.close()
            self.lost += 1
            fresh = Process()
            self._all[self._all.index(lost)] = fresh
        return fresh

    def _watch(self, limit_s: float) -> None:
        """Give up helpers that hang."""
        while not self._ending.wait(min(_LOOK_S, limit_s)):
            with self._lock:
                every = list(self._all)
            for each in every:
                each.give_up_after(limit_s)

    def close(self) -> None:
        """End all of them; a second call changes nothing."""
        with self._lock:
            self._ending.set()
        for each in self._all:
            each.end()
        ends = time.monotonic() + _STOP_S
        for each in self._all:
            each.close(max(0.0, ends - time.monotonic()))


def _pair() -> tuple[bytes, bytes]:
    """A picture with something on it everywhere, and a copy of it."""
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (24, 32, 3), np.uint8))
    picture = coarse.resize((640, 480), Image.Resampling.BICUBIC)
    coded = []
    for each in (picture.resize((480, 360)), picture):
        stream = io.BytesIO()
        each.save(stream, "PNG")
        coded.append(stream.getvalue())
    return coded[0], coded[1]
