"""Weights and the state of training on disk: safetensors, with one JSON text as metadata.

Parameters stand under their own names (``stem.conv.weight``, layouts HWIO and [F_in, F_out]), optimizer state
under ``optimizer/NAME``. Bare weights are the same file without a training state.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError, did_you_mean
from ..model.model import Model
from ..reading import check_regular, check_room, parse_json
from .files import write_atomically
from .identity import net_lines, sha256_of_lines, shape_text

VERSION = 1  # of the file's content; newer ones are refused
_KEY = "cnnspec"
_OPTIMIZER = "optimizer/"


@dataclass
class Progress:
    """Where training stands. All of it is restored by ``--resume``.

    Attributes
    ----------
    epoch : the epoch under way, from 1; ``step`` of its steps are done.
    loss_sum, correct, images : sums over those steps.
    seconds : time spent in them, and in all steps before this session of the epoch.
    best : {"metric", "value", "epoch"} of the best epoch, or None.
    history : one row for each finished epoch.
    seed : the run's seed.
    settings : what steers training, as texts (identity.train_settings).
    data : the fingerprint of the data.
    """

    seed: int
    epoch: int = 1
    step: int = 0
    loss_sum: float = 0.0
    correct: int = 0
    images: int = 0
    seconds: float = 0.0
    best: dict[str, Any] | None = None
    history: list[dict[str, Any]] = field(default_factory=list)
    settings: dict[str, str] = field(default_factory=dict)
    data: str = ""


@dataclass(frozen=True)
class Checkpoint:
    """The content of a file: arrays by name, and the progress where training may go on from it."""

    path: Path
    parameters: dict[str, np.ndarray]
    optimizer: dict[str, np.ndarray]
    progress: Progress | None
    net: tuple[str, ...]  # identity.net_lines of the spec it belongs to


def save_checkpoint(
    path: Path,
    model: Model,
    parameters: Mapping[str, np.ndarray],
    optimizer: Mapping[str, np.ndarray] | None = None,
    progress: Progress | None = None,
    *,
    data: Mapping[str, Any] | None = None,
    best: Mapping[str, Any] | None = None,
) -> None:
    """Write weights, and with ``optimizer`` and ``progress`` all that training needs to go on.

    Parameters
    ----------
    data : what they were trained on (trained.TrainedOn.as_dict), so that weights alone can be used as in the run.
    best : {"metric", "value", "epoch"} of the weights of the best epoch.

    Raises
    ------
    MachineError
        When the disk is full or the folder read-only; the previous file is kept.
    """
    from safetensors.numpy import save

    tensors = dict(parameters)
    tensors.update({_OPTIMIZER + name: value for name, value in (optimizer or {}).items()})
    # safetensors writes the memory of a transposed or strided array as it lies, which is another array.
    tensors = {name: np.ascontiguousarray(value).reshape(np.shape(value)) for name, value in tensors.items()}
    lines = net_lines(model)
    content = {
        "version": VERSION,
        "net": list(lines),
        "net_sha256": sha256_of_lines(lines),
        "progress": asdict(progress) if progress is not None else None,
        "data": data,
        "best": best,
    }
    # One key, because the order of several would vary from call to call.
    metadata = {_KEY: json.dumps(content, sort_keys=True)}
    write_atomically(Path(path), save(tensors, metadata))


def load_checkpoint(path: Path | str, model: Model | None = None) -> Checkpoint:
    """Read a file of :func:`save_checkpoint` and, with a model, check that it belongs to that net.

    Raises
    ------
    DataError
        When the file is missing, cut short, no safetensors file, from a newer version, or of another spec;
        names the first layer that differs, and a file that can be used instead where there is one.
    """
    path = Path(path)
    tensors, content = _read(path)
    _check_version(path, content)
    net = tuple(map(str, content.get("net", ())))
    if model is not None:
        _check_net(path, net, model)
    parameters = {name: value for name, value in tensors.items() if not name.startswith(_OPTIMIZER)}
    optimizer = {name[len(_OPTIMIZER) :]: value for name, value in tensors.items() if name.startswith(_OPTIMIZER)}
    if model is not None:
        check_parameters(path, parameters, model)
    state = content.get("progress")
    progress = None
    if state is not None:
        known = {f.name for f in fields(Progress)}
        progress = Progress(**{key: value for key, value in state.items() if key in known})
    return Checkpoint(path, parameters, optimizer, progress, net)


def save_weights(
    path: Path | str,
    model: Model,
    parameters: Mapping[str, np.ndarray],
    data: Mapping[str, Any] | None = None,
) -> None:
    """Write bare weights, readable by anything that reads safetensors; ``data`` as in :func:`save_checkpoint`."""
    save_checkpoint(Path(path), model, parameters, data=data)


def load_weights(path: Path | str, model: Model, *, any_net: bool = False) -> dict[str, np.ndarray]:
    """Return the parameters of a checkpoint, of bare weights, or of another tool's safetensors file.

    Names and shapes must fit. A file of cnnspec must also be of the very same net, since equal shapes with
    another activation would compute nonsense; ``any_net`` waives that.
    """
    path = Path(path)
    tensors, content = _read(path, own=False)
    if content and not any_net:
        _check_version(path, content)
        _check_net(path, tuple(map(str, content.get("net", ()))), model)
    parameters = {name: value for name, value in tensors.items() if not name.startswith(_OPTIMIZER)}
    check_parameters(path, parameters, model)
    return {name: parameters[name].astype(np.float32, copy=False) for name in model.params}


def read_content(path: Path | str) -> dict[str, Any]:
    """Return what a file of :func:`save_checkpoint` says of its weights; nothing for another tool's file.

    Raises
    ------
    DataError
        When the file is missing or damaged.
    """
    return _read(Path(path), own=False, arrays=False)[1]


def _read(path: Path, own: bool = True, arrays: bool = True) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    from safetensors import SafetensorError, safe_open

    size = check_regular(path, field="weights", missing="the checkpoint does not exist")
    check_room(size, path=path, field="weights")
    try:
        with safe_open(str(path), framework="np") as opened:
            metadata = opened.metadata() or {}
            tensors = {name: opened.get_tensor(name) for name in opened.keys() if arrays}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, TypeError, KeyError) as error:
        raise _unreadable(path, str(error)) from None
    if not own and _KEY not in metadata:
        return tensors, {}
    try:
        content = parse_json(metadata[_KEY])
        assert isinstance(content, dict)
    except (KeyError, ValueError, AssertionError):
        raise DataError(
            "this safetensors file was not written by cnnspec",
            path=path,
            field="metadata",
            expected=f"an entry {_KEY!r}",
            found=", ".join(sorted(metadata)) or "no metadata",
        ) from None
    return tensors, content


def _unreadable(path: Path, reason: str) -> DataError:
    """Tell a file cut short from one of another kind, and name a neighbour that can be used."""
    size = path.stat().st_size
    with open(path, "rb") as stream:
        head = stream.read(9)
    header = int.from_bytes(head[:8], "little")
    is_safetensors = len(head) == 9 and head[8:9] == b"{" and header < 1 << 28
    usable = [
        other
        for name in ("last.safetensors", "best.safetensors")
        if (other := path.with_name(name)) != path and other.is_file() and _is_whole(other)
    ]
    if usable:
        only = "" if usable[0].name.startswith("last") else " (weights for eval and predict, not for --resume)"
        hint = f"use {usable[0]}{only}"
    else:
        hint = "no other checkpoint lies beside it; get or copy the file again, or train anew"
    if is_safetensors or size < 9:
        return DataError(
            "the checkpoint is cut short or damaged",
            path=path,
            expected="a whole safetensors file",
            found=f"{size:,} bytes; {reason}",
            hint=hint,
        )
    return DataError(
        "this is not a safetensors file",
        path=path,
        expected="weights or a checkpoint of cnnspec",
        found=f"{size:,} bytes that begin with {head[:8]!r}",
        hint=hint,
    )


def _is_whole(path: Path) -> bool:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="np"):
            return True
    except (SafetensorError, OSError):
        return False


def _check_version(path: Path, content: Mapping[str, Any]) -> None:
    version = content.get("version")
    if not isinstance(version, int) or version > VERSION:
        raise DataError(
            "the file was written by a newer cnnspec",
            path=path,
            field="version",
            expected=f"{VERSION} or older",
            found=str(version),
            hint="update cnnspec",
        )


def _check_net(path: Path, net: tuple[str, ...], model: Model) -> None:
    wanted = net_lines(model)
    if net == wanted:
        return
    message = f"the checkpoint belongs to another spec than {model.source.name}"
    for ours, theirs in zip(wanted, net, strict=False):
        if ours != theirs:
            name = ours.split(":")[0]
            raise DataError(message, path=path, field=f"layer {name}", expected=ours, found=theirs)
    longer = wanted if len(wanted) > len(net) else net
    extra = longer[min(len(wanted), len(net))]
    raise DataError(
        message,
        path=path,
        field=f"layer {extra.split(':')[0]}",
        expected=extra if longer is wanted else "no further layer",
        found="no further layer" if longer is wanted else extra,
    )


def check_parameters(path: Path | None, parameters: Mapping[str, np.ndarray], model: Model) -> None:
    """Raise DataError unless the arrays have the names and shapes of a net's parameters, and hold floats."""
    for name, param in model.params.items():
        if name not in parameters:
            near = did_you_mean(name, parameters)
            raise DataError(
                "a parameter is missing; the weights belong to another spec",
                path=path,
                field=name,
                expected=shape_text(param.shape),
                found=f"no such tensor (there is {near})" if near else "no such tensor",
            )
        value = parameters[name]
        if value.shape != param.shape:
            raise DataError(
                "a parameter has another shape; the weights belong to another spec",
                path=path,
                field=name,
                expected=shape_text(param.shape),
                found=shape_text(value.shape),
            )
        if value.dtype.kind != "f":
            raise DataError(
                "a parameter has the wrong dtype",
                path=path,
                field=name,
                expected="f32",
                found=str(value.dtype),
            )
    surplus = [name for name in parameters if name not in model.params]
    if surplus:
        raise DataError(
            "there is a parameter that the spec does not have",
            path=path,
            field=surplus[0],
            expected=f"the {len(model.params)} parameters of {model.source.name}",
            found=f"{len(parameters)} parameters",
        )
