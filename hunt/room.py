"""Commands run apart: in a forked child with bounded memory, whose death and silence are seen."""

from __future__ import annotations

import os
import re
import resource
import signal
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

HANG_SECONDS = 300  # of silence: far more than any case takes on a busy machine
PEAK_NBYTES = 1 << 30  # resident memory that no case may pass
MOST_OUTPUT = 20_000  # characters
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True)
class Outcome:
    """How a child ended: ``code`` is its exit status, negative for a signal, None for a hang."""

    code: int | None
    out: str
    err: str
    peak_nbytes: int

    def faults(self) -> list[str]:
        """Return what no command may do, whatever it was given."""
        found = []
        if self.code is None:
            found.append(f"hangs for {HANG_SECONDS} s")
        elif self.code < 0:
            found.append(f"dies of {signal.Signals(-self.code).name}")
        elif self.code not in (0, 1, 2):
            found.append(f"exits with {self.code}")
        text = self.out + self.err
        if "Traceback" in text:
            found.append("prints a traceback")
        if self.code in (1, 2) and not self.err.strip():
            found.append(f"exits with {self.code} and says nothing")
        if len(text) > MOST_OUTPUT:
            found.append(f"prints {len(text):,} characters")
        if CONTROL.search(text):
            found.append(f"prints a control character: {CONTROL.search(text)!r}")
        if self.peak_nbytes > PEAK_NBYTES:
            found.append(f"takes {self.peak_nbytes / 2**20:,.0f} MiB")
        return [f"{fault}\n    {self.err.strip()[-600:]}" for fault in found]


def fork(act: Callable[[], int], cwd: Path, env: Mapping[str, str] | None = None) -> Outcome:
    """Run ``act`` in a forked child, in a folder, with its output caught.

    The parent must not have started the threads of the kernels.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = os.fork()
        if child == 0:
            code = 70
            try:
                os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
                os.dup2(out.fileno(), 1)
                os.dup2(err.fileno(), 2)
                os.chdir(cwd)
                os.environ.update(env or {})
                resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
                code = act()
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        status, peak = _wait(child)
        out.seek(0)
        err.seek(0)
        return Outcome(
            None if status is None else os.waitstatus_to_exitcode(status),
            out.read(10 * MOST_OUTPUT).decode("utf-8", "replace"),
            err.read(10 * MOST_OUTPUT).decode("utf-8", "replace"),
            peak,
        )


def command(arguments: list[str], cwd: Path, env: Mapping[str, str] | None = None) -> Outcome:
    """Run one command line of cnnspec in a forked child."""
    from cnnspec.cli.main import run

    def act() -> int:
        import sys

        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        code = run(arguments)
        sys.stdout.flush()
        sys.stderr.flush()
        return code

    return fork(act, cwd, env)


def warm_up() -> None:
    """Import all that commands import, so that a forked child need not; start no thread."""
    import PIL.Image
    import safetensors.numpy  # noqa: F401

    import cnnspec.cli.eval
    import cnnspec.cli.predict
    import cnnspec.cli.train
    import cnnspec.runtime.data
    import cnnspec.runtime.network
    import cnnspec.runtime.train  # noqa: F401
    from cnnspec.syntax.grammar import build_parser

    PIL.Image.init()
    build_parser()


def _wait(child: int) -> tuple[int | None, int]:
    """Return the child's status (None where it hung and was killed) and its peak of resident memory in bytes."""
    limit = time.monotonic() + HANG_SECONDS
    pause = 0.001
    while True:
        pid, status, usage = os.wait4(child, os.WNOHANG)
        if pid:
            return status, usage.ru_maxrss * 1024
        if time.monotonic() > limit:
            os.kill(child, signal.SIGKILL)
            _, _, usage = os.wait4(child, 0)
            return None, usage.ru_maxrss * 1024
        time.sleep(pause)
        pause = min(0.02, pause * 1.5)
