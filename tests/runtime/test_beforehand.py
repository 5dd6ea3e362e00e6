"""Kernels that are compiled before anybody waits for them."""

from __future__ import annotations

from pathlib import Path

import pytest

from cnnspec.cli.new import TEMPLATES, template
from cnnspec.compiler import Compiler
from cnnspec.runtime.beforehand import kernels_of

SPECS = Path(__file__).resolve().parent.parent.parent / "specs"
LARGE = ("alexnet", "densenet121", "mnasnet", "regnety_400mf", "resnet18", "resnet34", "vgg16", "wide_resnet28_10")
NETS = {
    **{name: template(name) for name in TEMPLATES},
    **{path.stem: path.read_text() for path in SPECS.rglob("*.cnn") if path.stem not in LARGE},
    "mse": "input 9x9x3 -> conv 5 3x3 -> relu -> flatten -> dense 4\ntrain { loss mse\nbatch 7 }",
}


@pytest.mark.parametrize("name", NETS)
def test_no_number_of_pictures_needs_a_kernel_more(name: str) -> None:
    compiler = Compiler.from_text(NETS[name])
    kernels = set(kernels_of(compiler))
    for target in ("i32", "f32") if "mse" in NETS[name] else ("i32",):
        for n in (1, 2, 3, 7, 8, 9, 31, 64):
            assert set(compiler.with_options(target=target, batch=n).inference_plan.kernels) <= kernels
        assert set(compiler.with_options(target=target).plan.kernels) <= kernels
