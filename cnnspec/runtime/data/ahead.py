"""Work that threads do ahead of who needs it, in order and in bounded number."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

from ..threads import available_cores

T = TypeVar("T")

THREADS = max(1, min(4, available_cores()))  # Pillow and kernels let others run while they work
NBYTES = 256 << 20  # of what is made ahead
PICTURES = 16  # that a thread takes at a time: fewer cost time, more cost evenness


def in_order(jobs: Iterable[Callable[[], T]], most: int) -> Generator[T, None, None]:
    """Yield the results of jobs in their order, while threads work on up to ``most`` of the next ones.

    The threads serve all jobs. An error is raised in its job's place. To close the generator drops what has not begun,
    and waits for what has.
    """
    coming: deque[Future[T]] = deque()
    left = iter(jobs)
    pool = ThreadPoolExecutor(THREADS, "cnnspec-ahead")
    try:
        while True:
            coming.extend(map(pool.submit, islice(left, most + 1 - len(coming))))
            if not coming:
                return
            yield coming.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
