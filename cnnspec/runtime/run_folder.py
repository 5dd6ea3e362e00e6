"""The folder of one run: spec, manifest, metrics and checkpoints, enough to judge, use and resume it."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import platform
import re
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from ..compiler import Compiler
from ..drafts import PART, is_left_behind, part_name, remove_left_behind
from ..errors import DataError
from ..model.model import Model
from ..options import Options
from ..reading import JSON_NBYTES, parse_json, read_text
from ..text import shorten
from .files import append_line, cannot_write, write_atomically
from .identity import net_lines, sha256_of_lines, spec_sha256
from .installation import cpu_name, versions
from .run_lock import LOCK, RunLock

SPEC, MANIFEST, METRICS = "spec.cnn", "manifest.json", "metrics.jsonl"
LAST, BEST = "last.safetensors", "best.safetensors"
FILES = (SPEC, MANIFEST, METRICS, LAST, BEST, LOCK)


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


# what the manifest's entries are, where it has them
_ENTRIES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "set": ("pairs of texts", lambda v: isinstance(v, list) and all(_are_texts(p) and len(p) == 2 for p in v)),
    "exact": ("true or false", lambda v: isinstance(v, bool)),
    "base": ("a folder", lambda v: isinstance(v, str) and "\0" not in v),
    "spec": ("the name of a spec", lambda v: isinstance(v, str)),
    "class_names": ("a list of texts", _are_texts),
    "data_sha256": ("a text", lambda v: isinstance(v, str)),
    "data": ("an object", lambda v: isinstance(v, dict)),
    "result": ("an object, or null", lambda v: v is None or isinstance(v, dict)),
}


@dataclass(frozen=True)
class RunFolder:
    """A run on disk.

    A new run has a draft first: ``wanted`` is the path that it will have, and ``held`` takes its lock then.
    """

    path: Path
    wanted: Path | None = None
    held: ExitStack | None = None

    def settle(self) -> RunFolder:
        """Give a new run its name, or the next one that is free, and return it under that; others stay as they are.

        MachineError where the folder cannot be written.
        """
        if self.wanted is None:
            return self
        path, number = self.wanted, 1
        while not self._move(path):
            number += 1
            path = self.wanted.with_name(f"{self.wanted.name}-{number}")
        if self.held is not None:  # not before: some systems move no folder with an open file in it
            self.held.enter_context(RunLock(path))
        return RunFolder(path)

    def _move(self, path: Path) -> bool:
        """Move a draft to a path, as a folder or file by file; return False where something is there."""
        if path.exists():  # the system would move it over an empty folder
            return False
        try:
            os.rename(self.path, path)
            return True
        except OSError as error:
            if error.errno in (errno.EEXIST, errno.ENOTEMPTY):
                return False
        try:
            path.mkdir()
            for name in (*FILES, *self._used()):
                (path / name).parent.mkdir(parents=True, exist_ok=True)
                with contextlib.suppress(FileNotFoundError):
                    os.replace(self.path / name, path / name)
        except FileExistsError:
            return False
        except OSError as error:
            raise cannot_write(path, error, 0) from None
        self._remove_folders()
        return True

    def clear_up(self) -> None:
        """Remove the parts of files that a killed training has left; nobody else may be training the run."""
        for name in FILES:
            remove_left_behind(self.path, name, of_any=True)

    def discard(self) -> None:
        """Remove the draft of a run that has not come to a checkpoint of its own; any other folder stays."""
        if self.wanted is None or not self.path.is_dir():
            return
        self.clear_up()
        for name in (*FILES, *self._used()):
            (self.path / name).unlink(missing_ok=True)
        self._remove_folders()

    def keep(self, path: str, text: str) -> None:
        """Keep a file that the spec uses where ``spec.cnn`` finds it."""
        file = self.path / path
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(file, error, 0) from None
        write_atomically(file, text.encode())

    def _used(self) -> list[str]:
        """Return the files of a draft that its spec uses, by their paths in it."""
        return [str(p.relative_to(self.path)) for p in self.path.rglob("*.cnn") if p != self.spec_path]

    def _remove_folders(self) -> None:
        """Remove an empty draft, and the empty folders in it."""
        below = sorted((p for p in self.path.rglob("*") if p.is_dir() and not p.is_symlink()), reverse=True)
        for folder in (*below, self.path):
            with contextlib.suppress(OSError):
                folder.rmdir()

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
        for name, (expected, fits) in _ENTRIES.items():
            if name in content and not fits(content[name]):
                shown = shorten(json.dumps(content[name]), 60)
                raise DataError("the manifest is damaged", path=file, field=name, expected=expected, found=shown)
        return content

    @property
    def settings(self) -> tuple[tuple[str, str], ...]:
        """The settings that ``--set`` changed when the run began."""
        return tuple((key, value) for key, value in self.manifest.get("set", []))

    @property
    def trained_on(self) -> dict[str, Any]:
        """The record of the data, as trained.TrainedOn.from_dict reads it."""
        names, sha256 = self.manifest.get("class_names"), self.manifest.get("data_sha256", "")
        return {**self.manifest.get("data", {}), "class_names": names, "sha256": sha256}

    @property
    def exact(self) -> bool:
        """Whether the run keeps to direct algorithms: what goes on with it or uses its weights does so too."""
        return self.manifest.get("exact", False) is True

    def compiler(self, changes: Mapping[str, str], options: Options) -> Compiler:
        """Return the spec of the run on its road, with what was set when it began. ``changes`` overrule these."""
        options = replace(options, exact=options.exact or self.exact)
        return Compiler.from_path(self.spec_path, {**dict(self.settings), **changes}, options)

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
    trained_on: Mapping[str, Any],
    *,
    held: ExitStack | None = None,
    **entries: Any,
) -> RunFolder:
    """Make a draft of the folder ``OUT/NAME-YYYYmmdd-HHMMSS`` with the spec and the manifest in it.

    The run has its name when it has a checkpoint (:meth:`RunFolder.settle`): each folder of that name can be resumed.

    Parameters
    ----------
    trained_on : the data, as trained.TrainedOn.as_dict has it.
    held : removes the draft where the run comes to nothing, and keeps its lock (:class:`RunLock`) where it does not.
    entries : what else the manifest says: ``threads``, ``exact``.

    Raises
    ------
    MachineError
        When the folder cannot be made or written.
    """
    stem = re.sub(r"[^A-Za-z0-9_.-]+", "-", Path(_name_of(model)).stem).strip("-.") or "spec"
    wanted = Path(out) / f"{stem}-{time.strftime('%Y%m%d-%H%M%S')}"
    draft = wanted.with_name(part_name(wanted.name))
    try:
        wanted.parent.mkdir(parents=True, exist_ok=True)
        _clear_up(wanted.parent)
        draft.mkdir()
    except OSError as error:
        raise cannot_write(wanted, error, 0) from None
    folder = RunFolder(draft, wanted, held)
    if held is not None:
        held.callback(folder.discard)
    write_atomically(folder.spec_path, model.source.text.encode())
    for path, source in model.used:
        folder.keep(path, source.text)
    write_atomically(draft / MANIFEST, _json({**_manifest(model, trained_on), **entries}))
    return folder


def _clear_up(out: Path) -> None:
    """Remove the drafts of runs that were killed before their first checkpoint."""
    for draft in out.glob(f".*{PART}"):
        if draft.is_dir() and is_left_behind(draft.name):
            RunFolder(draft, draft).discard()


def check_writable(folder: Path | str) -> None:
    """Raise MachineError where no file can be written in a folder, or in the nearest one above that is there.

    Asked before kernels are compiled, so that nobody waits for a run that cannot be kept. Leaves nothing behind.
    """
    folder = Path(folder)
    there = next(place for place in (folder, *folder.absolute().parents) if os.path.lexists(place))
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
            runs = sorted(p.parent for p in path.glob(f"*/{MANIFEST}"))
            raise DataError(
                "this is not a run folder",
                path=path,
                expected=f"{SPEC}, {MANIFEST} and {LAST}",
                found=f"no {name}; there is {', '.join(there) or 'nothing'}",
                hint=f"name one of the runs in it: {', '.join(map(str, runs[-3:]))}" if runs else "",
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


def _manifest(model: Model, trained_on: Mapping[str, Any]) -> dict[str, Any]:
    data = {key: value for key, value in trained_on.items() if key not in ("sha256", "class_names")}
    return {
        "spec": _name_of(model),
        "base": str(base_of(model)),
        "set": [list(pair) for pair in model.settings],
        "seed": model.train.seed,
        "spec_sha256": spec_sha256(model),
        "net_sha256": sha256_of_lines(net_lines(model)),
        "data_sha256": trained_on["sha256"],
        "class_names": trained_on["class_names"],
        "data": data,
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "machine": {"cpu": cpu_name(), "system": platform.platform()},
        "versions": {"python": platform.python_version(), **versions()},
    }


def _json(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, indent=2) + "\n").encode()
