"""``cnnspec cache``: the kernels that were compiled for this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..errors import MachineError
from ..options import Options
from ..text import count, size, some, to_json
from . import render
from .new import TEMPLATES, template
from .target import exact_option, open_target


@click.group(name="cache")
def command() -> None:
    """Show, fill or clear the store of compiled kernels.

    Where the installed wheel has no machine code for this processor, a kernel is compiled when a net first needs it,
    and kept for this machine and version in a folder of your user cache (CNNSPEC_CACHE names another). Other nets
    find it there, and compile what is new to them: layers of another kind, size or width. Clearing it is safe: the
    next command that needs kernels compiles them again.
    """


@command.command(name="info")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def info(as_json: bool) -> None:
    """Show where the compiled kernels are and how much room they take."""
    from ..kernels import cache
    from ..kernels.shipped import shipped

    wheel = shipped()
    found: dict[str, Any] = cache.info()
    if as_json:
        code = {"level": wheel.level.name, "kernels": wheel.kernels} if wheel.level else None
        render.show(to_json({"wheel": code, **found}))
        return
    render.say(f"wheel     {wheel.words()}")
    if found["folder"] is None:
        render.say("folder    none: numba is not installed, so nothing is compiled")
        return
    render.say(f"folder    {found['folder']}")
    render.say(f"kernels   {found['kernels']}")
    render.say(f"size      {size(found['bytes'])}, all versions {size(found['bytes_of_all_versions'])}")
    render.say(f"writable  {'yes' if found['writable'] else 'no: what is missing is compiled in each process'}")


@command.command(name="build", short_help="Compile the kernels of specs beforehand.")
@click.argument("targets", metavar="[SPEC|RUN]...", nargs=-1, type=click.Path(path_type=Path))
@exact_option
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def build(targets: tuple[Path, ...], options: Options, as_json: bool) -> None:
    """Compile the kernels of each SPEC now, so that nobody waits for them later: before a class, in an image.

    All that train, eval and predict need and the wheel lacks is compiled. Without a SPEC, the kernels of the
    templates of `cnnspec new` are.

    \b
      cnnspec cache build
      cnnspec cache build net.cnn specs/*.cnn
    """
    from ..compiler import Compiler
    from ..kernels import cache
    from ..kernels.load import are_at_hand
    from ..runtime.beforehand import kernels_of
    from ..runtime.heard import load_kernels
    from .progress import CompileView

    if targets:
        compilers = [open_target(path, options=options).compiler for path in targets]
    else:
        compilers = [Compiler.from_text(template(name), options=options) for name in TEMPLATES]
    names = list(dict.fromkeys(name for compiler in compilers for name in kernels_of(compiler)))
    if not are_at_hand(names) and cache.has_compiler() and cache.use_cache() != str(cache.cache_dir()):
        raise MachineError(
            "kernels cannot be kept in this folder",
            path=cache.cache_dir(),
            hint="CNNSPEC_CACHE=DIR names a folder that is yours and that you may write to",
        )
    compiled = 0

    def progress(done: int, total: int, left: float) -> None:
        nonlocal compiled
        compiled = done
        view(done, total, left)

    with CompileView() as view:
        load_kernels(names, progress)
    if as_json:
        render.show(to_json({"folder": cache.info()["folder"], "kernels": len(names), "compiled": compiled}))
        return
    were = "all of them were there" if not compiled else f"{count(compiled)} of them compiled now"
    render.say(f"{some(len(names), 'kernel')} of {some(len(compilers), 'net')}: {were}")


@command.command(name="clear")
def clear() -> None:
    """Remove the compiled kernels of every version."""
    from ..kernels import cache

    freed = cache.clear()
    render.say(f"removed {size(freed)} from {cache.cache_root()}" if freed else "the cache was empty")
