"""Every example spec is a test: it has no error, and its expectations hold."""

from __future__ import annotations

import subprocess
import sys

import pytest
from golden import ZOO, example_specs

from cnnspec.compiler import Compiler


@pytest.mark.parametrize("path", example_specs())
def test_example_has_no_error_and_says_what_it_expects(path):
    model = Compiler.from_path(path).model
    assert any(e.metric == "params" for e in model.expects)


@pytest.mark.parametrize("path", example_specs())
def test_columns_add_up_to_totals(path):
    summary = Compiler.from_path(path).summary
    said = summary.to_json()
    for key in ("params", "macs", "activation_bytes"):
        assert sum(row[key] for row in said["layers"]) == said[key]
    assert [row["line"] for row in said["layers"]] == [row.line for row in summary.rows]


def test_width_changes_mobilenet():
    half = Compiler.from_path(ZOO / "mobilenetv2.cnn", {"width": "0.5"}).summary
    assert half.params == 1_968_680  # 1.97 M, as the authors of ports to other frameworks say
    assert half.rows[0].out_shape == (112, 112, 16)


def test_summary_of_resnet18_loads_no_arrays():
    """The road to a summary stays free of numpy and numba, which would cost a second."""
    code = (
        "import sys; from cnnspec.compiler import Compiler; "
        f"print(Compiler.from_path({str(ZOO / 'resnet18.cnn')!r}).summary.params); "
        "heavy = {'numpy', 'numba', 'llvmlite', 'rich', 'PIL'}; "
        "print(sorted({m.split('.')[0] for m in sys.modules} & heavy))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.splitlines() == ["11689512", "[]"]
