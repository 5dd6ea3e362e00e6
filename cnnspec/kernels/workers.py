"""Kernels compiled by several processes at once, the dearest first.

The processes are fresh ones: a fork of a process with threads may hang, and what the compiler takes of memory, and its
changes to numba, end with them. They hear no Ctrl-C; they end when their input does, with this process or before.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import selectors
import subprocess
import sys
import tempfile
from collections import Counter, deque
from collections.abc import Generator, Mapping, Sequence
from typing import IO, Any

from ..by_type import import_modules
from ..errors import MachineError
from ..reading import address_limit, free_memory
from .effort import seconds_of
from .machine import available_cores

MOST = 8  # processes; a net has a few dozen kernels, and one takes two seconds
NBYTES = 320 << 20  # of memory that a process takes
WORTH = 2.0  # seconds of work that are worth another process, which needs half a second to begin

Compiled = Generator[tuple[str, bytes], None, None]  # names of kernels, and their object files


def processes_for(names: Sequence[str]) -> int:
    """Return how many processes compile these kernels: as many as there are cores, memory and work for.

    ``CNNSPEC_THREADS`` bounds them too. 0, this process, where one is enough and the compiler is loaded already.
    """
    asked = os.environ.get("CNNSPEC_THREADS", "")
    cores = min(available_cores(), int(asked)) if asked.isdecimal() else available_cores()
    free = free_memory()
    room = MOST if free is None else free // NBYTES
    work = math.ceil(sum(map(seconds_of, names)) / WORTH)
    count = max(1, min(cores, MOST, room, work, len(names)))
    return 0 if count == 1 and "numba" in sys.modules else count


def compile_kernels(
    names: Sequence[str], count: int, *, shared: bool = False, settings: Mapping[str, str] | None = None
) -> Compiled:
    """Yield each kernel's name and object file as soon as it is compiled, by ``count`` processes.

    Close it (``contextlib.closing``) when you are done: that ends the processes. Where ``count`` is 0, or none can be
    started, this process compiles.

    Parameters
    ----------
    shared : whether the code is for a shared library.
    settings : environment variables of the processes, beside those of this one.

    Raises
    ------
    KeyError
        For an unknown name.
    MachineError
        When a process ends before it is done, twice for one kernel: most often for want of memory.
    """
    left = dict.fromkeys(sorted(names, key=seconds_of, reverse=True))
    try:
        if not count:
            raise _CannotStart
        with contextlib.closing(_Pool([*left], count, shared, {**os.environ, **(settings or {})}).run()) as compiled:
            for name, code in compiled:
                del left[name]
                yield name, code
    except _CannotStart:
        assert not settings, "this process has other settings"
        yield from _compile_here([*left], shared)


def _compile_here(names: Sequence[str], shared: bool) -> Compiled:
    import_modules("cnnspec.kernels")  # fills the registry
    from .emit import emit

    for name in names:
        yield name, emit(name, shared=shared)


class _CannotStart(Exception):
    """No process is wanted, or the system starts none, or none of Python."""


class _Worker:
    """A process of worker.py: it gets one name at a time."""

    def __init__(self, shared: bool, environment: Mapping[str, str], errors: IO[bytes] | int) -> None:
        if os.name != "posix" or not sys.executable or getattr(sys, "frozen", False):
            raise _CannotStart
        code = f"import sys; sys.path[:] = {_search_path()!r}; from cnnspec.kernels.worker import main; main({shared})"
        read = write = -1
        try:
            read, write = os.pipe()  # for answers: what Python runs at its start may print
            self.process = subprocess.Popen(
                [sys.executable, *_flags(), "-c", code, str(write)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                pass_fds=(write,),
                cwd=os.sep,  # numba asks for the working folder, and that of this process may be gone
                env=dict(environment),
                start_new_session=True,  # Ctrl-C in a terminal goes to its whole session
            )
        except OSError as error:
            if read >= 0:
                os.close(read)
            raise _CannotStart from error
        finally:
            if write >= 0:
                os.close(write)
        assert self.process.stdin is not None
        self.requests, self.answers = self.process.stdin, os.fdopen(read, "rb")
        self.name = ""  # of the kernel that it compiles

    def give(self, name: str) -> None:
        self.name = name
        with contextlib.suppress(BrokenPipeError):  # it has ended: its answer will say so
            self.requests.write(name.encode() + b"\n")
            self.requests.flush()

    def answer(self) -> tuple[dict[str, Any], bytes]:
        """Return the head of the next answer, and the code that follows it; ({}, b"") where the process has ended."""
        try:
            head = json.loads(self.answers.readline())
            code = self.answers.read(head.get("bytes", 0))
            return (head, code) if len(code) == head.get("bytes", 0) else ({}, b"")
        except (ValueError, AttributeError):
            return {}, b""

    def end(self) -> int:
        """End the process and return its exit code."""
        self.process.kill()
        for stream in (self.requests, self.answers):
            with contextlib.suppress(OSError):
                stream.close()
        return self.process.wait()


def _flags() -> list[str]:
    """Return the flags by which this process hears no variables of Python's, and no user's own packages."""
    given = {"-I": sys.flags.isolated, "-E": sys.flags.ignore_environment, "-s": sys.flags.no_user_site}
    return [flag for flag, is_on in given.items() if is_on]


def _search_path() -> list[str]:
    """Return where modules are looked for, by whole paths; without the working folder where it has been removed."""
    paths = []
    for path in sys.path:
        with contextlib.suppress(OSError, TypeError):  # Python itself passes over what is no path
            paths.append(os.path.abspath(path))
    return paths


class _Pool:
    """Processes, the kernels that are left for them, and what became of those that ended early."""

    def __init__(self, names: Sequence[str], count: int, shared: bool, environment: Mapping[str, str]) -> None:
        self.ahead, self.left, self.count = deque(names), len(names), count
        self.shared, self.environment = shared, environment
        self.errors: IO[bytes] | None = None  # what the processes print
        self.ready = selectors.DefaultSelector()
        self.workers: list[_Worker] = []
        self.lost: Counter[str] = Counter()

    def run(self) -> Compiled:
        """Yield name and code of each kernel; end all processes when that is over."""
        with contextlib.ExitStack() as stack:
            stack.callback(self.ready.close)
            with contextlib.suppress(OSError):
                self.errors = stack.enter_context(tempfile.TemporaryFile())
            stack.callback(lambda: [worker.end() for worker in self.workers])
            self._start()
            with contextlib.suppress(_CannotStart):
                for _ in range(self.count - 1):
                    self._start()
            while self.left:
                for key, _ in self.ready.select():
                    yield from self._hear(key.data)

    def _start(self) -> None:
        worker = _Worker(self.shared, self.environment, self.errors or subprocess.DEVNULL)
        self.workers.append(worker)
        self.ready.register(worker.answers, selectors.EVENT_READ, worker)

    def _hear(self, worker: _Worker) -> Compiled:
        head, code = worker.answer()
        if "name" in head:
            self.left -= 1
            yield head["name"], code
        elif "ready" not in head:
            self._lose(worker, head)
            return
        if self.ahead:
            worker.give(self.ahead.popleft())
        else:
            self._dismiss(worker)

    def _dismiss(self, worker: _Worker) -> int:
        self.ready.unregister(worker.answers)
        self.workers.remove(worker)
        return worker.end()

    def _lose(self, worker: _Worker, head: Mapping[str, Any]) -> None:
        """Do without a process that has ended or given up: the others have more memory now."""
        if head.get("error") == "unknown":
            raise KeyError(head["words"])
        want = address_limit() or "memory" in head.get("words", "").lower()
        if head.get("error") == "start" and not want:
            raise MachineError(
                "the compiler of kernels does not start",
                field="numba",
                found=head["words"],
                hint="pip install --force-reinstall numba",
            )
        if head.get("error") == "failed":
            raise RuntimeError(f"the kernel {worker.name!r} does not compile: {head['words']}")
        code = self._dismiss(worker)
        if not (worker.name or self.workers or head or code < 0 or address_limit()):
            raise _CannotStart  # that was not Python
        self.lost[worker.name] += 1
        hopeless = self.lost[worker.name] > 1 if worker.name else not self.workers
        if hopeless:
            raise self._ended(worker.name, head.get("words", ""), code)
        if worker.name:
            self.ahead.appendleft(worker.name)
        if not self.workers:
            self._start()

    def _ended(self, name: str, words: str, code: int) -> MachineError:
        """Return the error for processes that end before they are done, with the words of the last one."""
        if not words and self.errors is not None:
            self.errors.seek(0)
            lines = self.errors.read(1 << 16).decode(errors="replace").strip().splitlines()
            words = lines[-1].strip() if lines else ""
        how = f"the compiler ended by signal {-code}" if code < 0 else f"the compiler ended with code {code}"
        return MachineError(
            "there is not enough memory to compile the kernels, or the compiler is broken",
            field=name,
            found=words or how,
            hint="raise the limit of memory (ulimit -v, or that of the container); CNNSPEC_THREADS=1 needs the least",
        )
