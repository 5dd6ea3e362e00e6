"""The arguments that commands share: the first, a .cnn file or a run folder, and common options."""

from __future__ import annotations

import glob
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import DataError, did_you_mean
from ..options import DEFAULT, Options
from ..text import listed

if TYPE_CHECKING:
    from ..compiler import Compiler
    from ..model.model import Model
    from ..runtime.data import Dataset
    from ..runtime.network import Network
    from ..runtime.run_folder import RunFolder
    from ..runtime.trained import WeightsUsed

# the options that commands share; ``exact_option`` hands the command its ``options``
set_option = click.option(
    "--set", "sets", multiple=True, metavar="KEY=VALUE",
    help="Change a `param` or a setting: width=0.5, train.batch=32. May be repeated.",
)  # fmt: skip
threads_option = click.option(
    "--threads", type=click.IntRange(1), metavar="N", help="Threads of the kernels; one for each core unless said."
)
exact_option = click.option(
    "--exact", "options", is_flag=True, callback=lambda _, __, on: Options(exact=on),
    help="Compute convolutions directly and in the order of the spec, without Winograd's algorithm, which is faster "
    "and rounds a little more.",
)  # fmt: skip
weights_option = click.option(
    "--weights", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
    help="Weights to use; those of the run unless said.",
)  # fmt: skip
json_option = click.option("--json", "as_json", is_flag=True, help="Print as JSON.")


def pairs(sets: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Return ``KEY=VALUE`` texts as pairs."""
    found = []
    for text in sets:
        key, equals, value = text.partition("=")
        if not equals or not key.strip() or not value.strip():
            raise click.BadParameter(f"{text!r} is not KEY=VALUE, such as train.epochs=5", param_hint="'--set'")
        found.append((key.strip(), value.strip()))
    return tuple(found)


@dataclass(frozen=True)
class Target:
    """The first argument of a command, opened.

    Attributes
    ----------
    compiler : the spec on its road; ``model`` is its checked form.
    run : the run folder, None for a plain spec.
    weights : the file that was named, where that was one, else None.
    """

    compiler: Compiler
    run: RunFolder | None = None
    weights: Path | None = None

    @property
    def model(self) -> Model:
        return self.compiler.model

    def open_data(self) -> Dataset:
        """Open the data of the spec; relative paths start from the folder of the spec that was trained."""
        from ..runtime.data import data_of

        return data_of(self.model, self.run.base if self.run is not None else None)

    def weights_used(self, named: Path | None) -> WeightsUsed:
        """Return which weights to use, those named or else those of the run, and what they were trained on."""
        from ..runtime.trained import weights_used

        file = named or self.weights or (self.run.weights if self.run is not None else None)
        if file is None:
            raise no_run(Path(self.model.source.name), "a spec alone has no weights")
        return weights_used(file)

    def open_network(
        self, weights: Path, *, batch: int | None = None, threads: int | None, target: str = "i32"
    ) -> Network:
        """Return a network with the weights of a file."""
        from ..runtime.checkpoint import load_weights
        from ..runtime.network import Network
        from .progress import CompileView

        compiler = self.compiler.with_options(batch=batch, target=target)
        network = Network(compiler, parameters=load_weights(weights, self.model), threads=threads)
        with CompileView() as view:
            network.compile(view, training=False)
        return network


def no_run(path: Path, message: str) -> click.UsageError:
    """Return the error for a command that needs a run, with a run of this spec where one is near."""
    runs = newest_runs(Path("runs"), named=f"{glob.escape(path.stem)}-*")
    near = f"; the latest of {path.name} is {runs[0]}" if runs else f"; make one: cnnspec train {path}"
    return click.UsageError(message + near)


def open_target(path: Path, sets: tuple[str, ...] = (), options: Options = DEFAULT) -> Target:
    """Open a .cnn file, a run folder, or a .safetensors file in one.

    A run that was trained ``exact`` is used so, whatever the options.

    Raises
    ------
    SpecError
        When the spec is wrong.
    DataError
        When there is no such file or folder.
    """
    from ..compiler import Compiler

    changes = dict(pairs(sets))
    if path.suffix == ".safetensors" or path.is_dir():
        from ..runtime.run_folder import open_run_folder

        weights = path if path.suffix == ".safetensors" else None
        if weights is not None and not weights.exists():
            there = sorted(p.name for p in weights.parent.glob("*.safetensors"))
            hint = f"here are: {listed(there)}" if there else runs_hint(weights.parent)
            raise DataError("the file does not exist", path=path, hint=hint)
        run = open_run_folder(path.parent if weights else path)
        return Target(run.compiler(changes, options), run, weights)
    if path.suffix == "" and not path.exists():
        hint = runs_hint(path)
        if hint and not path.with_name(path.name + ".cnn").is_file():
            raise DataError("there is no such run or spec", path=path, hint=hint)
    return Target(Compiler.from_path(path, changes, options))


def runs_hint(path: Path) -> str:
    """Return which run may have been meant by a path that leads nowhere: a near one, else the newest; "" if none is."""
    newest = newest_runs(path.parent, path.parent / "runs", Path("runs"))
    names = [run.name for run in newest]
    began = next((name for name in names if name.startswith(path.name)), None)
    near = began or did_you_mean(path.name, names)
    if near is not None:
        return f"did you mean {newest[names.index(near)]}?"
    return f"the newest runs: {', '.join(map(str, newest[:3]))}" if newest else ""


def newest_runs(*folders: Path, named: str = "*") -> list[Path]:
    """Return the runs in folders, the newest first; of a folder with very many of them some."""
    found: dict[Path, float] = {}
    for folder in folders:
        with suppress(OSError):
            for manifest in islice(folder.glob(f"{named}/manifest.json"), 2000):
                found[manifest.parent] = manifest.stat().st_mtime
    return sorted(found, key=lambda run: found[run], reverse=True)
