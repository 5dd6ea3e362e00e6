"""The folder of one run: spec, manifest, metrics and checkpoints, enough to judge, use and resume it."""

from __future__ import annotations

import json
import platform
import re
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

from ..errors import DataError
from ..model.model import Model
from ..reading import JSON_NBYTES, parse_json, read_text
from .files import append_line, cannot_write, write_atomically
from .identity import net_lines, sha256_of_lines, spec_sha256

SPEC, MANIFEST, METRICS = "spec.cnn", "manifest.json", "metrics.jsonl"
LAST, BEST = "last.safetensors", "best.safetensors"


@dataclass(frozen=True)
class RunFolder:
    """A run on disk."""

    path: Path

    @property
    def last(self) -> Path:
        """The newest checkpoint; training resumes from it."""
        return self.path / LAST

    @property
    def best(self) -> Path:
        """The weights of the best epoch, where the spec says ``keep best``."""
        return self.path / BEST

    @property
    def weights(self) -> Path:
        """The weights to use: the best where they are kept, else the last."""
        return self.best if self.best.is_file() else self.last

    @property
    def spec_path(self) -> Path:
        return self.path / SPEC

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """The content of manifest.json; DataError when it is missing or damaged."""
        file = self.path / MANIFEST
        try:
            content = parse_json(read_text(file, JSON_NBYTES, field="manifest"))
        except ValueError as error:
            raise DataError(f"the manifest cannot be read: {error}", path=file) from None
        if not isinstance(content, dict):
            raise DataError("the manifest is damaged", path=file, expected="a JSON object")
        return content

    @property
    def settings(self) -> tuple[tuple[str, str], ...]:
        """What ``--set`` changed when the run began."""
        return tuple((str(key), str(value)) for key, value in self.manifest.get("set", []))

    @property
    def exact(self) -> bool:
        """Whether the run keeps to direct algorithms: what goes on with it or uses its weights does so too."""
        return bool(self.manifest.get("exact", False))

    @property
    def base(self) -> Path:
        """The folder that relative paths of the spec start from."""
        return Path(self.manifest.get("base", "."))

    def write_history(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write metrics.jsonl anew, one line a finished epoch."""
        text = "".join(json.dumps(row) + "\n" for row in rows)
        write_atomically(self.path / METRICS, text.encode())

    def add_row(self, row: Mapping[str, Any]) -> None:
        """Append the line of one epoch to metrics.jsonl."""
        append_line(self.path / METRICS, json.dumps(row))

    def history(self) -> list[dict[str, Any]]:
        """Return the rows of metrics.jsonl."""
        file = self.path / METRICS
        if not file.exists():
            return []
        try:
            return [parse_json(line) for line in read_text(file, JSON_NBYTES, field="metrics").splitlines()]
        except ValueError as error:
            raise DataError(f"the metrics cannot be read: {error}", path=file) from None

    def update_manifest(self, **entries: Any) -> None:
        """Add entries to manifest.json, such as the test metrics at the end of a run."""
        self.manifest.update(entries)
        write_atomically(self.path / MANIFEST, _json(self.manifest))


def new_run_folder(
    out: Path | str,
    model: Model,
    *,
    data_sha256: str,
    class_names: Sequence[str] = (),
    data: Mapping[str, Any] | None = None,
    threads: int | None = None,
    exact: bool = False,
) -> RunFolder:
    """Make ``OUT/NAME-YYYYmmdd-HHMMSS`` with the spec and the manifest in it.

    ``data`` is what else is to be remembered of the data: its name, scale and brightness (trained.TrainedOn).

    Raises
    ------
    MachineError
        When the folder cannot be made or written.
    """
    stem = re.sub(r"[^A-Za-z0-9_.-]+", "-", Path(_name_of(model)).stem).strip("-.") or "spec"
    name = f"{stem}-{time.strftime('%Y%m%d-%H%M%S')}"
    path, number = Path(out) / name, 1
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            try:
                path.mkdir()
                break
            except FileExistsError:
                number += 1
                path = Path(out) / f"{name}-{number}"
    except OSError as error:
        raise cannot_write(path, error, 0) from None
    folder = RunFolder(path)
    write_atomically(folder.spec_path, model.source.text.encode())
    write_atomically(path / MANIFEST, _json(_manifest(model, data_sha256, class_names, data or {}, threads, exact)))
    return folder


def check_writable(folder: Path | str) -> None:
    """Raise MachineError where no file can be written in a folder, or in the nearest one above that is there.

    Asked before kernels are compiled, so that nobody waits for a run that cannot be kept. Leaves nothing behind.
    """
    folder = Path(folder)
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise cannot_write(folder, error, 0) from None


def open_run_folder(path: Path | str) -> RunFolder:
    """Return an existing run folder; DataError names what is missing in a folder that is none."""
    path = Path(path)
    if not path.is_dir():
        raise DataError("the run folder does not exist", path=path, expected="a folder that `train` has written")
    for name in (SPEC, MANIFEST):
        if not (path / name).exists():
            there = sorted(p.name for p in path.iterdir())[:8]
            raise DataError(
                "this is not a run folder",
                path=path,
                expected=f"{SPEC}, {MANIFEST} and {LAST}",
                found=f"no {name}; there is {', '.join(there) or 'nothing'}",
            )
    return RunFolder(path)


def run_of(path: Path | str) -> tuple[RunFolder, Path]:
    """Return (run folder, weights to use) for a run folder or a .safetensors file inside one."""
    path = Path(path)
    if path.suffix == ".safetensors":
        if not path.is_file():
            raise DataError("the checkpoint does not exist", path=path)
        return open_run_folder(path.parent), path
    folder = open_run_folder(path)
    if not folder.weights.is_file():
        raise DataError("the run has no checkpoint yet", path=path, expected=LAST)
    return folder, folder.weights


def base_of(model: Model) -> Path:
    """Return the folder of the spec's file, or the current one where the spec is no file.

    A spec that lies in a run folder has the base of that run.
    """
    file, run = Path(model.source.name), run_around(model)
    if run is not None:
        return run.base
    return file.resolve().parent if file.is_file() else Path.cwd()


def run_around(model: Model) -> RunFolder | None:
    """Return the run whose copy of the spec this is: training anew from a run starts where that run started."""
    file = Path(model.source.name)
    return RunFolder(file.parent) if file.name == SPEC and (file.parent / MANIFEST).is_file() else None


def _name_of(model: Model) -> str:
    """Return the name of the spec's file, as it was before a run copied it."""
    run = run_around(model)
    return str(run.manifest.get("spec", model.source.name)) if run is not None else model.source.name


def _manifest(
    model: Model,
    data_sha256: str,
    class_names: Sequence[str],
    data: Mapping[str, Any],
    threads: int | None,
    exact: bool,
) -> dict[str, Any]:
    return {
        "spec": _name_of(model),
        "base": str(base_of(model)),
        "set": [list(pair) for pair in model.settings],
        "seed": model.train.seed,
        "spec_sha256": spec_sha256(model),
        "net_sha256": sha256_of_lines(net_lines(model)),
        "data_sha256": data_sha256,
        "class_names": list(class_names),
        "data": dict(data),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "threads": threads,
        "exact": exact,
        "machine": {"cpu": cpu_name(), "system": platform.platform()},
        "versions": {"python": platform.python_version(), **versions()},
    }


def versions() -> dict[str, str]:
    """Return the installed versions of cnnspec and of what it computes with, without importing them."""
    found = {}
    for package in ("cnnspec", "numpy", "numba", "llvmlite", "safetensors", "pillow"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "unknown"
    return found


def cpu_name() -> str:
    """Return the processor's name as the system gives it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _json(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, indent=2) + "\n").encode()
