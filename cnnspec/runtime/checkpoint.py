"""Weights and the state of training on disk: safetensors, with one JSON text as metadata.

Parameters stand under their own names (``stem.conv.weight``, layouts HWIO and [F_in, F_out]), optimizer state
under ``optimizer/NAME``. Bare weights are the same file without a training state.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError, did_you_mean
from ..ir.fields import dims
from ..model.model import Model
from .identity import net_lines, sha256_of_lines
from .state import Progress, progress_of
from .tensors import KEY, PROOF, instead_of, read_tensors, write_tensors

VERSION = 2  # of the file's content; newer ones are refused. Version 1 had no SHA-256
_OPTIMIZER = "optimizer/"
STEPS = "steps"  # the optimizer's count


@dataclass(frozen=True)
class Checkpoint:
    """The content of a file: arrays by name, and the progress where training may go on from it."""

    parameters: dict[str, np.ndarray]
    optimizer: dict[str, np.ndarray]
    progress: Progress | None


def save_checkpoint(
    path: Path | str,
    model: Model,
    parameters: Mapping[str, np.ndarray],
    optimizer: Mapping[str, np.ndarray] | None = None,
    progress: Progress | None = None,
    *,
    data: Mapping[str, Any] | None = None,
    best: Mapping[str, Any] | None = None,
) -> None:
    """Write bare weights, or with ``optimizer`` and ``progress`` all that training needs to go on.

    Parameters
    ----------
    data : what they were trained on (trained.TrainedOn.as_dict), so that weights alone can be used as in the run.
    best : {"metric", "value", "epoch"} of the weights of the best epoch.

    MachineError as :func:`write_atomically`.
    """
    tensors = dict(parameters)
    tensors.update({_OPTIMIZER + name: value for name, value in (optimizer or {}).items()})
    lines = net_lines(model)
    content = {
        "version": VERSION,
        "net": list(lines),
        "net_sha256": sha256_of_lines(lines),
        "progress": asdict(progress) if progress is not None else None,
        "data": data,
        "best": best,
    }
    write_tensors(Path(path), tensors, content)


def load_checkpoint(path: Path | str, model: Model) -> Checkpoint:
    """Read a file of :func:`save_checkpoint` that belongs to the net of a model.

    Raises
    ------
    DataError
        As :func:`read_tensors`; when the file is from a newer version, or of another spec: names the first layer that
        differs.
    """
    path = Path(path)
    tensors, content, metadata = read_tensors(path)
    if content is None:
        raise DataError(
            "this safetensors file was not written by cnnspec",
            path=path,
            field="metadata",
            expected=f"an entry {KEY!r}",
            found=", ".join(metadata) or "no metadata",
        )
    _check_net(path, content, model)
    parameters = _parameters(path, tensors, model)
    optimizer = {name[len(_OPTIMIZER) :]: value for name, value in tensors.items() if name.startswith(_OPTIMIZER)}
    for name, value in optimizer.items():
        optimizer[name] = (_count if name.partition("@")[0] == STEPS else _float32)(path, name, value)
    state = content.get("progress")
    return Checkpoint(parameters, optimizer, progress_of(path, state) if state is not None else None)


def load_weights(path: Path | str, model: Model) -> dict[str, np.ndarray]:
    """Return the parameters of a checkpoint, of bare weights, or of another tool's safetensors file.

    Names and shapes must fit. A file of cnnspec must also be of the very same net, since equal shapes with
    another activation would compute nonsense.
    """
    path = Path(path)
    tensors, content, _ = read_tensors(path)
    if content is not None:
        _check_net(path, content, model)
    return _parameters(path, tensors, model)


def _parameters(path: Path, tensors: Mapping[str, np.ndarray], model: Model) -> dict[str, np.ndarray]:
    parameters = {name: value for name, value in tensors.items() if not name.startswith(_OPTIMIZER)}
    check_parameters(path, parameters, model)
    return {name: _float32(path, name, parameters[name]) for name in model.params}


def _float32(path: Path, name: str, value: np.ndarray) -> np.ndarray:
    """Return floats as float32; DataError where they are none, or too large for it."""
    with np.errstate(over="ignore"):
        narrow = value.astype(np.float32, copy=False) if value.dtype.kind == "f" else None
    if narrow is None or (narrow is not value and (np.isfinite(value) & ~np.isfinite(narrow)).any()):
        raise DataError(
            "a tensor does not fit float32",
            path=path,
            field=name,
            expected="floats up to 3.4e38",
            found=str(value.dtype) if narrow is None else f"{value.flat[np.nanargmax(np.abs(value))]:.3g}",
        )
    return narrow


def _count(path: Path, name: str, value: np.ndarray) -> np.ndarray:
    """Return the number of steps an optimizer has taken; DataError where it is none."""
    if value.dtype.kind not in "iu" or value.shape != () or not 0 <= int(value) < 2**53:
        raise DataError(
            "the optimizer's count of steps is none",
            path=path,
            field=name,
            expected="one whole number, at least 0",
            found=f"{value.dtype} {dims(value.shape)}" if value.shape else str(value),
        )
    return value


def _net_of(path: Path, content: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the lines of the net that our text names; DataError where the text is from a newer cnnspec or damaged."""
    version, net = content.get("version"), content.get("net")
    if type(version) is int and version > VERSION:
        raise DataError(
            "the file was written by a newer cnnspec",
            path=path,
            field="version",
            expected=f"{VERSION} or older",
            found=str(version),
            hint="update cnnspec",
        )
    if type(version) is not int or version < 1:
        name, expected, shown = "version", "a whole number from 1", repr(version)
    elif not isinstance(net, list) or not all(isinstance(line, str) for line in net):
        name, expected, shown = "net", "a list of lines", repr(net)
    elif version > 1 and PROOF not in content:
        name, expected, shown = PROOF, "the SHA-256 of the content", "nothing"
    else:
        return tuple(net)
    raise DataError(
        "the text that cnnspec keeps in this file is damaged",
        path=path,
        field=f"metadata {name}",
        expected=expected,
        found=shown[:60],
        hint=instead_of(path),
    )


def _check_net(path: Path, content: Mapping[str, Any], model: Model) -> None:
    net, wanted = _net_of(path, content), net_lines(model)
    if net == wanted:
        return
    no_more = "no further layer"
    ours, theirs = next(pair for pair in zip_longest(wanted, net, fillvalue=no_more) if pair[0] != pair[1])
    raise DataError(
        f"the checkpoint belongs to another spec than {model.source.name}",
        path=path,
        field=f"layer {(theirs if ours is no_more else ours).split(':')[0]}",
        expected=ours,
        found=theirs,
    )


def check_parameters(path: Path | None, parameters: Mapping[str, np.ndarray], model: Model) -> None:
    """Raise DataError unless the arrays have the names and shapes of a net's parameters, and hold floats."""
    for name, param in model.params.items():
        value, expected = parameters.get(name), dims(param.shape)
        if value is None:
            near = did_you_mean(name, parameters)
            message = "a parameter is missing; the weights belong to another spec"
            found = f"no such tensor (there is {near})" if near else "no such tensor"
        elif value.shape != param.shape:
            message, found = "a parameter has another shape; the weights belong to another spec", dims(value.shape)
        elif value.dtype.kind != "f":
            message, expected, found = "a parameter has the wrong dtype", "f32", str(value.dtype)
        else:
            continue
        raise DataError(message, path=path, field=name, expected=expected, found=found)
    surplus = [name for name in parameters if name not in model.params]
    if surplus:
        raise DataError(
            "there is a parameter that the spec does not have",
            path=path,
            field=surplus[0],
            expected=f"the {len(model.params)} parameters of {model.source.name}",
            found=f"{len(parameters)} parameters",
        )
