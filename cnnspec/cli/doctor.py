"""``cnnspec doctor``: what this machine offers, what is missing, and whether a small net really trains."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

import click

from .. import __version__
from ..errors import CnnSpecError
from ..text import some, to_json
from . import render

OK, NOTE, BAD = "ok", "note", "BAD"
PROBE = """
input 8x8x1
conv 4 3x3 -> relu
maxpool 2
flatten
dense classes
data { source digits }
train {
  optimizer adam lr=0.01
  epochs 1
  batch 16
}
"""


@dataclass(frozen=True)
class Finding:
    """One line of the report: what was looked at, how it is, and what mends it."""

    topic: str
    state: str
    text: str
    advice: str = ""


@click.command(name="doctor")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def command(as_json: bool) -> int:
    """Check the machine and the installation, and train a small net for a moment.

    The exit code is 1 when something is found that keeps cnnspec from working.
    """
    findings: list[Finding] = []
    for check in CHECKS:
        for finding in guarded(check):
            findings.append(finding)
            if as_json:
                continue
            colour = {OK: "green", NOTE: "yellow", BAD: "bold red"}[finding.state]
            render.say(f"  {finding.topic:<10}  {finding.text}", colour, mark=f"{finding.state:<4}", hang=18)
            if finding.advice:
                render.say(f"{'':<18}{finding.advice}", hang=18)
    if as_json:
        render.show(to_json([asdict(f) for f in findings]))
    return 1 if any(f.state == BAD for f in findings) else 0


def guarded(check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """Run a check; what it cannot survive is its finding."""
    topic = (check.__doc__ or "").partition(":")[0].lower()
    try:
        yield from check()
    except CnnSpecError as error:
        yield Finding(topic, BAD, "; ".join(line.strip() for line in str(error).splitlines()))
    except Exception as error:
        yield Finding(topic, BAD, f"{type(error).__name__}: {error}")


def check_versions() -> Iterator[Finding]:
    """Versions: of Python and of what cnnspec computes with."""
    from ..kernels.cache import COMPILER
    from ..runtime.installation import PACKAGES, versions

    bits = "64-bit" if sys.maxsize > 2**32 else "32-bit"
    python = f"Python {platform.python_version()} ({bits}) on {platform.system()} {platform.machine()}"
    good = sys.version_info >= (3, 10) and bits == "64-bit"
    yield Finding("python", OK if good else BAD, python, "" if good else "Python 3.10 or newer, 64-bit")
    found = versions()
    missing = [name for name in PACKAGES if name not in found and name not in COMPILER]
    text = ", ".join(f"{name} {version}" for name, version in {"cnnspec": __version__, **found}.items())
    advice = f"missing: {', '.join(missing)}; pip install cnnspec" if missing else ""
    yield Finding("packages", BAD if missing else OK, text, advice)


def check_code() -> Iterator[Finding]:
    """Code: of kernels, that of the wheel or that which is compiled here."""
    from ..kernels.cache import has_compiler
    from ..kernels.shipped import FOLDER, shipped

    found = shipped()
    compiled = "compiled on this machine" if has_compiler() else "numba, which compiles them, is not installed"
    if found.level is not None:
        yield Finding("code", OK, f"{found.words()}, in {FOLDER}; others: {compiled}")
    elif has_compiler():
        state = NOTE if FOLDER.is_dir() else OK
        yield Finding("code", state, f"{compiled}, at the first use; the wheel has {found.words()}")
    else:
        advice = "pip install numba, or a wheel of cnnspec that has machine code for this processor"
        yield Finding("code", BAD, f"the wheel has {found.words()}; {compiled}", advice)


def check_processor() -> Iterator[Finding]:
    """Processor: its vector unit."""
    from ..kernels.cache import has_compiler
    from ..kernels.machine import running
    from ..kernels.shipped import shipped
    from ..runtime.installation import cpu_name

    if shipped().level is None and not has_compiler():
        yield Finding("processor", OK, cpu_name())
        return
    machine = running()
    lanes = machine.vector_bytes // 4
    yield Finding("processor", OK, f"{cpu_name()} ({machine.cpu})")
    fma = "with" if machine.fma else "without"
    state = OK if machine.fma else NOTE
    advice = "" if machine.fma else "training works, several times slower than on a processor with FMA"
    yield Finding("vectors", state, f"{machine.path}: {lanes} numbers at once, {fma} fused multiply-add", advice)


def check_threads() -> Iterator[Finding]:
    """Threads: how many, and by which library."""
    from ..runtime.threads import available_cores, choose

    threading = choose()
    text = f"{threading.count} of {available_cores()} cores, by {threading.layer}"
    yield Finding("threads", NOTE if threading.note else OK, text, threading.note)


def check_cache() -> Iterator[Finding]:
    """Cache: of compiled kernels, each of them whole, and of the grammar's table."""
    from ..kernels import cache
    from ..places import cache_root
    from ..sealed import read_sealed
    from ..text import size

    found: dict = cache.info()
    tables = sorted(cache_root().glob("grammar-*.table"))
    spoilt = cache.damaged() + [path.name for path in tables if read_sealed(path) is None]
    text = f"{found['kernels']} kernels, {size(found['bytes'])}, in {found['folder']}"
    if found["folder"] is None:
        yield Finding("cache", OK, f"no compiled kernels; the grammar in {cache_root()}")
    elif found["writable"]:
        yield Finding("cache", OK, text)
    else:
        advice = "what is missing there is compiled in each process; CNNSPEC_CACHE=DIR names a folder you may write to"
        yield Finding("cache", NOTE, f"cannot be written: {found['folder']}", advice)
    if spoilt:
        names = ", ".join(spoilt[:3]) + (", ..." if len(spoilt) > 3 else "")
        advice = "they are not used; each is made anew when it is needed. Damage may be a sign of a failing disk"
        yield Finding("cache", NOTE, f"{some(len(spoilt), 'file')} damaged or not yours alone: {names}", advice)


def check_data() -> Iterator[Finding]:
    """Data: what is there without a path in the spec."""
    from ..compiler import Compiler
    from ..runtime.data import open_data

    yield Finding("data", OK, "digits: built in")
    model = Compiler.from_text("input 28x28x1\nflatten -> dense 10\ndata { source fashion_mnist }\n").model
    try:
        opened = open_data(model.data, model.input_shape, 10)
        yield Finding("data", OK, f"fashion_mnist: {len(opened.train):,} training images")
    except CnnSpecError as error:
        yield Finding("data", NOTE, "fashion_mnist: not found", getattr(error, "hint", ""))


def check_training() -> Iterator[Finding]:
    """Training: an epoch of a small net on the digits."""
    from ..compiler import Compiler
    from ..runtime.events import Reporter
    from ..runtime.train import train
    from .progress import CompileView

    class Waiting(Reporter):
        def on_compile(self, done: int, total: int, left: float) -> None:
            view(done, total, left)

    model = Compiler.from_text(PROBE).model
    with CompileView() as view:
        result = train(model, out=None, reporter=Waiting())
    loss = result.history[-1]["train.loss"]
    good = loss < 2.0
    text = f"an epoch of a small net: loss {loss:.2f} in {result.history[-1]['seconds']:.2f} s"
    yield Finding("training", OK if good else BAD, text, "" if good else "it should fall below 2; please report it")


def check_terminal() -> Iterator[Finding]:
    """Terminal: whether live lines and colours appear."""
    colours = "no colours (NO_COLOR)" if os.environ.get("NO_COLOR") else "colours"
    text = "plain lines" if render.is_plain() else f"live lines, {colours}, {render.width()} columns"
    yield Finding("terminal", OK, text)


CHECKS = (
    check_versions,
    check_code,
    check_processor,
    check_threads,
    check_cache,
    check_data,
    check_terminal,
    check_training,
)
