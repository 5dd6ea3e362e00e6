"""One net and many threads; a process that was forked after a net was used."""

from __future__ import annotations

import copy
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import cnnspec
from cnnspec.compiler import Compiler
from cnnspec.errors import DataError
from cnnspec.runtime import threads
from cnnspec.runtime.network import Network

THREADS = 20
SPEC = "input 8x8x1\nconv 8 3x3 -> bn -> relu -> maxpool 2\nflatten -> dense 10\ntrain { optimizer sgd lr=0.1 }\n"

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")


def network(batch: int = 16, seed: int = 1) -> Network:
    made = Network(Compiler.from_text(SPEC).with_options(batch=batch), seed=seed, threads=2)
    made.compile()
    return made


def images(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((n, 8, 8, 1), np.float32)


def in_threads(count: int, work: Callable[[int], None]) -> None:
    """Run ``work(0)``, ``work(1)``, ... at once; raise the first error."""
    errors: list[BaseException] = []
    gate = threading.Barrier(count)

    def go(number: int) -> None:
        gate.wait()
        try:
            work(number)
        except BaseException as error:
            errors.append(error)

    started = [threading.Thread(target=go, args=(i,)) for i in range(count)]
    for one in started:
        one.start()
    for one in started:
        one.join()
    if errors:
        raise errors[0]


def test_twenty_threads_that_share_a_net_get_their_own_answers() -> None:
    net = cnnspec.parse(SPEC)
    batches = [images(1 + 7 * i, seed=i) for i in range(THREADS)]
    want = [net.predict(x) for x in batches]
    shared = cnnspec.parse(SPEC)  # nobody has used it before: the threads make its plans, too

    def ask(number: int) -> None:
        for _ in range(30):
            assert np.array_equal(shared.predict(batches[number]), want[number])

    in_threads(THREADS, ask)


def test_a_wrong_batch_in_one_thread_stops_no_other() -> None:
    net, x = network(), images(40)
    want = net.predict(x)

    def ask(number: int) -> None:
        for _ in range(20):
            if number % 2:
                with pytest.raises(DataError, match="does not fit"):
                    net.predict(x[:, :7])
            else:
                assert np.array_equal(net.predict(x), want)

    in_threads(THREADS, ask)
    assert np.array_equal(net.predict(x), want)


def test_a_prediction_is_of_one_set_of_weights() -> None:
    """Others replace the weights meanwhile; 300 samples take many runs of the plan."""
    net, x = network(), images(300)
    states = [network(seed=seed).parameters() for seed in (1, 2)]
    wants = []
    for state in states:
        net.load_parameters(state)
        wants.append(net.predict(x))

    def work(number: int) -> None:
        for k in range(20):
            if number < 3:
                net.load_parameters(states[k % 2])
            else:
                got = net.predict(x)
                assert any(np.array_equal(got, want) for want in wants)

    in_threads(8, work)


def test_a_prediction_of_a_net_is_of_one_set_of_weights() -> None:
    """Also where it is longer than the batches that the net works on."""
    net, x = cnnspec.parse(SPEC), images(300)
    states = [network(seed=seed).parameters() for seed in (1, 2)]
    wants = [net.set_weights(state).predict(x) for state in states]

    def work(number: int) -> None:
        for k in range(20):
            if number < 3:
                net.set_weights(states[k % 2])
            else:
                got = net.predict(x)
                assert any(np.array_equal(got, want) for want in wants)

    in_threads(8, work)


def test_copies_of_a_net_have_its_weights_and_no_lock_of_it() -> None:
    net, x = cnnspec.parse(SPEC), images(10)
    net.set_weights(network(seed=5).parameters())
    want = net.predict(x)
    with net.turn:
        for copied in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
            in_threads(1, lambda _, copied=copied: np.testing.assert_array_equal(copied.predict(x), want))


def test_one_thread_trains_while_others_predict() -> None:
    """Training ends as it does alone, and each prediction is of the weights between two steps."""
    x, y = images(16), np.arange(16, dtype=np.int32) % 10
    alone = network()
    wants = [alone.predict(x)]
    for _ in range(30):
        alone.train_step(x, y, lr=0.1)
        wants.append(alone.predict(x))
    shared = network()

    def work(number: int) -> None:
        for _ in range(30):
            if number == 0:
                shared.train_step(x, y, lr=0.1)
            else:
                got = shared.predict(x)
                assert any(np.array_equal(got, want) for want in wants)

    in_threads(6, work)
    for name, value in alone.parameters().items():
        assert np.array_equal(shared.parameters()[name], value), name


def test_nets_of_their_own_in_threads_train_as_they_do_alone() -> None:
    x, y = images(16), np.arange(16, dtype=np.int32) % 10
    ends: dict[int, np.ndarray] = {}

    def work(number: int) -> None:
        net = network()
        for _ in range(10):
            net.train_step(x, y, lr=0.1)
        ends[number] = net.predict(x)

    work(-1)
    in_threads(6, work)
    assert all(np.array_equal(end, ends[-1]) for end in ends.values())


# ---- fork -----------------------------------------------------------------------------------------
def in_child(work: Callable[[], bool]) -> int:
    """Fork; return the child's exit code, 0 where the work returned True."""
    pid = os.fork()
    if pid == 0:
        code = 9
        try:
            code = 0 if work() else 1
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@needs_fork
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_predicts_and_trains_as_its_parent() -> None:
    net, x, y = network(), images(40), np.arange(16, dtype=np.int32) % 10
    net.train_step(x[:16], y, lr=0.1)
    want, before = net.predict(x), net.parameters()

    def work() -> bool:
        same = np.array_equal(net.predict(x), want)
        net.train_step(x[:16], y, lr=0.1)
        fresh = network()
        note = threads.choose(2).note
        return same and fresh.inference.threading.count == 1 and "forked" in note

    def grandchild() -> bool:
        return in_child(lambda: np.array_equal(net.predict(x), want)) == 0

    assert in_child(work) == 0
    assert in_child(grandchild) == 0
    net.train_step(x[:16], y, lr=0.1)
    assert threads.choose(2).count == 2, "the parent keeps its threads"
    assert any(not np.array_equal(net.parameters()[name], value) for name, value in before.items())


_NET = cnnspec.parse(SPEC)


def _predict(x: np.ndarray) -> np.ndarray:
    return _NET.predict(x)


@needs_fork
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_pool_of_forked_processes_predicts() -> None:
    batches = [images(5, seed=i) for i in range(8)]
    want = [_predict(x) for x in batches]
    with multiprocessing.get_context("fork").Pool(2) as pool:
        got = pool.map(_predict, batches)
    assert all(np.array_equal(a, b) for a, b in zip(got, want, strict=True))


def test_a_pool_of_spawned_processes_predicts_with_a_net_that_is_sent_to_them() -> None:
    net, x = cnnspec.parse(SPEC), images(5)
    net.set_weights(network(seed=5).parameters())
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert np.array_equal(pool.apply(net.predict, (x,)), net.predict(x))


@needs_fork
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_while_other_threads_predict() -> None:
    """The child has a copy of a lock whose holder is not there."""
    net, x = network(), images(200)
    want = net.predict(x)
    over = threading.Event()

    def work(number: int) -> None:
        if number:
            while not over.is_set():
                net.predict(x)
            return
        try:
            codes = [in_child(lambda: np.array_equal(net.predict(x), want)) for _ in range(10)]
        finally:
            over.set()
        assert codes == [0] * 10

    in_threads(4, work)


# ---- signals --------------------------------------------------------------------------------------
SIGNALLED = """
import os, signal, sys
import cnnspec
from cnnspec.runtime.events import Reporter
class Sends(Reporter):
    def on_epoch(self, row):
        if row["epoch"] == 2:
            os.kill(os.getpid(), signal.SIGTERM)
if sys.argv[1] == "own":
    signal.signal(signal.SIGTERM, lambda *_: print("heard", flush=True))
net = cnnspec.load("specs/digits.cnn")
before = net.weights()
result = net.train(epochs=9, reporter=Sends(), out=sys.argv[2])
after = net.weights()
print(result.status, len(result.history), any((after[name] != value).any() for name, value in before.items()))
"""


@pytest.mark.parametrize("handler", ["own", "none"])
def test_a_signal_that_ends_training_in_python_takes_its_course_afterwards(tmp_path: Path, handler: str) -> None:
    """Training saves first; then the program's own handler is called, or the process ends as it does without one."""
    command = [sys.executable, "-c", SIGNALLED, handler, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    if handler == "own":
        assert (done.returncode, done.stdout) == (0, "heard\ninterrupted 2 True\n"), done.stderr
    else:
        assert (done.returncode, done.stdout) == (-signal.SIGTERM, "")
    assert len(list(tmp_path.glob("digits-*/last.safetensors"))) == 1
