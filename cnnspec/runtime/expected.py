"""When ``expect`` lines of trained metrics can be judged: after the training that the spec describes, no other."""

from __future__ import annotations

from ..compiler import Compiler
from ..errors import SpecError
from ..model.model import Model
from .identity import net_lines, train_settings
from .run_folder import RunFolder

STOPPED = "the training was stopped before its end"


def why_not_judged(model: Model, run: RunFolder | None = None) -> str:
    """Return why what the spec expects of training says nothing of this model, or "" where it does.

    ``expect test.accuracy >= 98%`` speaks of the net, data and training that the spec writes down. With ``--epochs 2``
    in place of 30 it would fail, and nothing would be wrong. A setting that was given the value of the spec, and
    another seed, change nothing here. A ``run`` whose weights are measured must have come to its end.
    """
    if run is not None and not run.manifest.get("result"):
        return STOPPED
    if not model.settings:
        return ""
    given = ", ".join(f"{name}={value}" for name, value in model.settings)
    try:
        written = Compiler(model.source).model
    except SpecError:  # the spec is whole only with what was set
        return f"the spec does not say {given}"
    before, now = train_settings(written), train_settings(model)
    changed = [
        f"{key if key.startswith('data') else f'train.{key}'} is {now.get(key, 'not set')} instead of "
        f"{before.get(key, 'not set')}"
        for key in before | now
        if before.get(key) != now.get(key) and key != "seed"  # any may be used
    ]
    if changed:
        return ", ".join(changed[:2]) + (", ..." if len(changed) > 2 else "")
    is_same = net_lines(written) == net_lines(model) and written.data == model.data
    return "" if is_same else f"the spec does not say {given}"
