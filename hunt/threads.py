"""Threads: many predict with one net, others train meanwhile, a fork follows; each must get its own answer."""

from __future__ import annotations

import threading
from pathlib import Path

from . import room
from .tally import Tally

SPEC = """\
input 8x8x1
conv 8 3x3 -> bn -> relu -> maxpool 2
flatten -> dense 10
data { source digits }
train { epochs 2 }
"""


def hunt(count: int, rounds: int, folder: Path) -> Tally:
    """Ask one net from ``count`` threads ``rounds`` times each, in a process of its own; then from forked children."""
    tally = Tally("threads", 3)
    for name, act in (("threads", _many_threads), ("training beside", _training_beside), ("fork", _fork)):
        outcome = room.fork(lambda act=act: act(count, rounds), folder)  # type: ignore[misc]
        faults = [fault for fault in outcome.faults() if "MiB" not in fault]
        tally.add(name, *(f"{name}: {fault}" for fault in faults))
    return tally


def _many_threads(count: int, rounds: int) -> int:
    import numpy as np

    import cnnspec

    net = cnnspec.parse(SPEC)
    xs = [np.random.default_rng(i).random((1 + i * 7 % 64, 8, 8, 1), np.float32) for i in range(count)]
    wanted = [net.predict(x) for x in xs]
    wrong = [0] * count
    raised: list[str] = []

    def ask(i: int) -> None:
        try:
            for _ in range(rounds):
                wrong[i] += not np.array_equal(net.predict(xs[i]), wanted[i])
        except Exception as error:
            raised.append(f"{type(error).__name__}: {error}")

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if any(wrong) or raised:
        import sys

        print(f"{sum(wrong)} of {count * rounds} answers are another thread's; {raised[:3]}", file=sys.stderr)
        return 3
    return 0


def _training_beside(count: int, rounds: int) -> int:
    import sys

    import numpy as np

    import cnnspec

    x = np.random.default_rng(0).random((32, 8, 8, 1), np.float32)
    results: list[bytes] = []

    def train() -> None:
        net = cnnspec.parse(SPEC)
        net.train()
        results.append(b"".join(w.tobytes() for w in net.weights().values()))

    other = cnnspec.parse(SPEC)
    wanted = other.predict(x)
    threads = [threading.Thread(target=train) for _ in range(2)]
    for thread in threads:
        thread.start()
    wrong = sum(not np.array_equal(other.predict(x), wanted) for _ in range(rounds))
    for thread in threads:
        thread.join()
    if wrong or len(results) != 2 or results[0] != results[1]:
        print(f"{wrong} wrong answers beside a training; {len(results)} trainings ended", file=sys.stderr)
        return 3
    return 0


def _fork(count: int, rounds: int) -> int:
    import os
    import sys

    import numpy as np

    import cnnspec

    net = cnnspec.parse(SPEC)
    x = np.random.default_rng(0).random((64, 8, 8, 1), np.float32)
    wanted = net.predict(x)
    for _ in range(3):
        child = os.fork()
        if child == 0:
            code = 5
            try:
                code = 0 if np.array_equal(net.predict(x), wanted) else 4
            except cnnspec.CnnSpecError as error:  # saying so at once is allowed
                print(error, file=sys.stderr)
                code = 0
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        if status:
            print(f"a forked child ends with {os.waitstatus_to_exitcode(status)}", file=sys.stderr)
            return 3
    return 0 if np.array_equal(net.predict(x), wanted) else 3
