"""Work done ahead of the one who waits for it, such as opening pictures for a model."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item, Result = TypeVar("Item"), TypeVar("Result")


def ahead(
    work: Callable[[Item], Result], items: Iterable[Item], readers: int, depth: int
) -> Iterator[Result]:
    """`work` of each item, in their order, by `readers` threads that keep up to `depth` results ready; by 0
    of them, when asked for.

    Threads, not processes: decoding and resizing let go of the interpreter (two threads are twice as fast as
    one), no picture is copied from one process to another, a task on a cluster may have no processes of its
    own, and threads are there at once, even for a batch of a few pictures.

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
