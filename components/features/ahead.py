"""Work done ahead of the one who waits for it, such as opening pictures for a model."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing import current_process
from typing import Any, TypeVar

Item, Result = TypeVar("Item"), TypeVar("Result")


def ahead(
    work: Callable[[Item], Result], items: Iterable[Item], readers: int, depth: int
) -> Iterator[Result]:
    """`work` of each item, in their order, by `readers` threads that keep up to `depth` results ready; by 0
    of them, when asked for.

    Decoding and resizing let go of the interpreter (two threads are twice as fast as one), no picture is
    copied from one process to another, and threads are there at once, even for a batch of a few pictures.

    Raises:
        Whatever `work` raises, at the item's turn; what has not begun by then is dropped.
    """
    if not readers:
        yield from map(work, items)
        return
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(readers, thread_name_prefix="reader") as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > depth:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def ahead_in_processes(
    work: Callable[[Item], Result], items: Sequence[Item], readers: int, depth: int
) -> Iterator[Result]:
    """`ahead` by forked processes: what a GPU takes where threads would wait for each other's interpreter.

    The workers are those of PyTorch's `DataLoader`, which end with this process, whatever ends it. A process
    that may not have any (a worker of Dask) has threads instead.
    """
    if not readers or current_process().daemon:
        yield from ahead(work, items, readers, depth)
        return
    from torch import Generator
    from torch.utils.data import DataLoader

    loader = DataLoader(
        _Attempts(work, items),
        batch_size=None,
        collate_fn=_as_it_is,
        num_workers=readers,
        prefetch_factor=-(-depth // readers) + 1,
        multiprocessing_context="fork",
        generator=Generator(),  # or it would draw on everybody's random numbers
    )
    for result, error in loader:
        if error is not None:
            raise error
        yield result


class _Attempts:
    """A data set of results. What `work` raises is one too: `DataLoader` would make another error of it."""

    def __init__(self, work: Callable[[Any], Any], items: Sequence[Any]):
        self.work, self.items = work, items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> tuple[Any, Exception | None]:
        try:
            return self.work(self.items[index]), None
        except Exception as error:
            return None, error


def _as_it_is(result: Any) -> Any:
    """Arrays stay arrays: tensors would come by /dev/shm, of which a container has 64 MB."""
    return result
