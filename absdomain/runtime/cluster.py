"""Units of work on the workers of a dask cluster: the verdicts of one process, bit for bit, whoever dies on the way.

A worker computes with as many threads as the process that asks, one unit at a time. dask gives the unit of a worker
that died to another one. What is known is kept by the process that asks, so that it goes on when it is started again.
Work and results travel as pickles: whoever can reach the scheduler or a worker can run any code there.
"""

from __future__ import annotations

import logging
import pickle
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from functools import cached_property, partial, singledispatch
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

from absdomain.errors import check_type, needing
from absdomain.runtime.progress import say
from absdomain.runtime.units import HERE, Mapper, Tell, UnitFailed, Watch, quiet
from absdomain.runtime.worker import LOOK, Setting, unit

if TYPE_CHECKING:
    from distributed import Client, Future

U = TypeVar("U")
R = TypeVar("R")
_WAYS = 'give "tcp://HOST:8786" of a scheduler, a number of workers, or a client or cluster of dask'


@singledispatch
def opened(cluster: object, caller: str = "cluster") -> AbstractContextManager[Mapper]:
    """A mapper over the workers of a cluster, which is connected to at its first use, until the context ends.

    None: this process. A number: so many workers on this machine, which end with the context. A text: the address of
    a scheduler. A `distributed.Client`, which stays open, or a cluster of dask. A mapper: itself.

    Errors: MissingExtra without dask, TypeError for what is none of these, ValueError for less than one worker.
    """
    with needing("dask", caller):
        from distributed import Client
        from distributed.deploy.cluster import Cluster
    check_type(f"{caller}, cluster", cluster, (Client, Cluster), _WAYS)
    return Over(lambda: nullcontext(cluster) if isinstance(cluster, Client) else Client(cluster))


@opened.register
def _(cluster: None, caller: str = "cluster") -> AbstractContextManager[Mapper]:
    return nullcontext(HERE)


@opened.register
def _(cluster: Mapper, caller: str = "cluster") -> AbstractContextManager[Mapper]:
    return nullcontext(cluster)


@opened.register
def _(cluster: int, caller: str = "cluster") -> AbstractContextManager[Mapper]:
    with needing("dask", caller):
        import distributed  # noqa: F401
    if cluster < 1:
        raise ValueError(f"{caller}, cluster: {cluster} workers would do nothing; give at least 1")
    return Over(partial(_local, cluster))


@opened.register
def _(cluster: str, caller: str = "cluster") -> AbstractContextManager[Mapper]:
    with needing("dask", caller):
        from distributed import Client
    return Over(partial(Client, cluster))


@contextmanager
def _local(workers: int) -> Iterator[Client]:
    """A client of so many workers on this machine, each a process with one thread for units."""
    import dask
    from distributed import Client, LocalCluster

    # A solver may keep a worker from giving signs of life for as long as it runs; a dead process here is seen at once.
    with (
        dask.config.set({"distributed.scheduler.worker-ttl": None}),
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            dashboard_address=None,
            silence_logs=logging.CRITICAL,
            preload="absdomain.runtime.worker",
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


class Over(Mapper):
    """Units on the workers of a cluster, one at a time on each; workers that come later are given units, too."""

    apart = True

    def __init__(self, connecting: Callable[[], AbstractContextManager[Client]]) -> None:
        self._connecting, self._held = connecting, ExitStack()

    def __enter__(self) -> Over:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.close()
        self.__dict__.pop("_client", None)

    @cached_property
    def _client(self) -> Client:
        return self._held.enter_context(self._connecting())

    def map(
        self, work: Callable[[U, Tell], R], units: Sequence[U], names: Sequence[str], watch: Watch = quiet
    ) -> Generator[tuple[int, R]]:
        """(place, work(units[place], tell)) as they become known; what is not yet known is given up when it is closed.

        Errors: what the work raises; UnitFailed, with its name, for a unit that more workers died of than the scheduler
        allows (`distributed.scheduler.allowed-failures`), or where the scheduler is gone; TypeError for work that
        cannot be pickled.
        """
        if units:
            yield from _Mapping.of(self._client, work, units, names, watch).results()


@dataclass(frozen=True, eq=False)
class _Mapping:
    """One map of a client: what waits, what is worked on, and what units have told."""

    client: Client
    topic: str
    shared: Future  # the work, which the scheduler can make again wherever a worker with it died
    setting: Setting
    units: Sequence[Any]
    names: Sequence[str]
    watch: Watch
    busy: dict[Future, tuple[int, str]] = field(default_factory=dict)  # -> (place, the worker that was given it)
    told: dict[int, tuple[float, str]] = field(default_factory=dict)  # place -> the last that its unit told

    @staticmethod
    def of(
        client: Client, work: Callable[[U, Tell], R], units: Sequence[U], names: Sequence[str], watch: Watch
    ) -> _Mapping:
        """The mapping, of which nothing has begun yet."""
        import dask

        topic = f"absdomain-{uuid4().hex}"
        with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 TiB"}):  # it goes there once
            shared = client.submit(pickle.loads, _pickled(work), key=f"{topic}-work", pure=False)
        return _Mapping(client, topic, shared, Setting.here(), units, names, watch)

    def results(self) -> Generator[tuple[int, Any]]:
        """(place, result) as they become known."""
        waiting = deque(range(len(self.units)))
        self.client.subscribe_topic(self.topic, lambda event: self.told.update({event[1][0]: tuple(event[1][1:])}))
        try:
            some = self._give(waiting, told=False)
            while waiting or self.busy:
                finished = [(self.busy.pop(future)[0], future) for future in self._finished()]
                found = [(place, self._result(future, place)) for place, future in finished]  # a worker may die with it
                some = self._give(waiting, told=not some)  # before anything is made of what was found
                for place, _ in self.busy.values():
                    self.watch(place, *self.told.get(place, (0.0, "")))
                yield from found
        finally:
            self.client.unsubscribe_topic(self.topic)
            self.client.cancel([*self.busy, self.shared])

    def _give(self, waiting: deque[int], *, told: bool) -> bool:
        """A unit to each worker that has none of ours, so that it is known of which one it died; whether there are any.

        Says where there is none, if that has not been `told`.
        """
        with self._reached():
            workers = self.client.nthreads()
        if not workers and not told:
            say("cluster: the scheduler has no workers; waiting for one")
        taken = {worker for _, worker in self.busy.values()}
        for worker in [worker for worker in workers if worker not in taken][: len(waiting)]:
            place = waiting.popleft()
            future = self.client.submit(
                unit, self.shared, self.units[place], self.setting, self.topic, place,
                key=f"{self.topic}-{self.names[place]}-{place}", pure=False, workers=[worker],
                allow_other_workers=True,
            )  # fmt: skip
            self.busy[future] = place, worker
        return bool(workers)

    def _finished(self) -> list[Future]:
        from distributed import wait

        if not self.busy:
            time.sleep(LOOK)
            return []
        with self._reached(), suppress(TimeoutError):
            return list(wait(list(self.busy), timeout=LOOK, return_when="FIRST_COMPLETED").done)
        return []

    @contextmanager
    def _reached(self) -> Iterator[None]:
        """UnitFailed where the scheduler is gone, or knows our units no longer."""
        from distributed import CancelledError

        try:
            yield
        except (CancelledError, OSError) as error:
            raise _gone(*(self.names[place] for place, _ in self.busy.values())) from error

    def _result(self, future: Future, place: int) -> Any:
        from distributed import CancelledError, KilledWorker

        try:
            return future.result()
        except CancelledError as error:
            raise _gone(self.names[place]) from error
        except KilledWorker as error:
            raise UnitFailed(
                f"{self.names[place]}: {error.allowed_failures + 1} workers died while they worked on it, the last "
                f"one at {error.last_worker.address}; most often memory is too small: give workers more, or units "
                "less (smaller batches), and start again to go on with what is missing"
            ) from error


def _gone(*names: str) -> UnitFailed:
    return UnitFailed(f"{', '.join(names)}: the scheduler is gone, or has given up; start again to go on")


def _pickled(work: object) -> bytes:
    """As cloudpickle writes it, which takes along what is defined in the main script. TypeError where it cannot."""
    import cloudpickle  # type: ignore[import-untyped]

    try:
        return bytes(cloudpickle.dumps(work))
    except Exception as error:
        raise TypeError(
            f"cluster: this cannot be sent to workers, for it does not pickle: {error}; a module whose weights are "
            "parametrized, for one, is sent when torch.nn.utils.parametrize.remove_parametrizations has been called"
        ) from error
