"""The zoo: every net counts what its spec says, what is published, and what the table of its README says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from golden import ZOO

from cnnspec.compiler import Compiler

NETS = {path.stem: path for path in sorted(ZOO.glob("*.cnn"))}
PUBLISHED = {  # parameters, and multiply-adds in G to three places: num_params and _ops of torchvision's weights
    "alexnet": (61_100_840, 0.714),
    "vgg16": (138_357_544, 15.47),
    "resnet18": (11_689_512, 1.814),
    "resnet34": (21_797_672, 3.664),
    "densenet121": (7_978_856, 2.834),
    "mobilenetv2": (3_504_872, 0.301),
    "mnasnet": (4_383_312, 0.314),
    "regnety_400mf": (4_344_144, 0.402),
}
COUNTED = {"lenet5": 61_706, "wide_resnet28_10": 36_479_194, "resnet20": 272_474}


@pytest.fixture(params=NETS, ids=str)
def path(request: pytest.FixtureRequest) -> Path:
    return NETS[request.param]


def test_a_net_says_both_counts_to_the_unit_and_has_a_page_and_a_title(path: Path) -> None:
    model = Compiler.from_path(path).model  # an expectation that fails is an error
    assert {(e.metric, e.relation) for e in model.expects} >= {("params", "=="), ("macs", "==")}
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 60
    assert max(map(len, lines)) <= 100
    assert re.fullmatch(r"# \S.{10,50}", lines[0])


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_figures(name: str) -> None:
    summary = Compiler.from_path(NETS[name]).summary.to_json()
    params, billions = PUBLISHED[name]
    assert summary["params"] == params
    assert abs(summary["macs"] / 1e9 - billions) <= 0.0005
    assert f"# {billions} G: torchvision, " in NETS[name].read_text(encoding="utf-8")


@pytest.mark.parametrize("name", COUNTED)
def test_counted_parameters(name: str) -> None:
    assert Compiler.from_path(NETS[name]).summary.params == COUNTED[name]


def test_the_table_of_the_readme_is_that_of_the_nets() -> None:
    rows = []
    for line in (ZOO / "README.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("| ["):
            rows.append(line.split(" | ")[:4])
    nets = {name: Compiler.from_path(path) for name, path in NETS.items()}
    params = {name: compiler.summary.params for name, compiler in nets.items()}
    assert rows == [
        [
            f"| [{name}]({name}.cnn)",
            "x".join(map(str, nets[name].model.input_shape)),
            f"{params[name]:,}",
            f"{nets[name].summary.to_json()['macs']:,}",
        ]
        for name in sorted(params, key=params.__getitem__)
    ]
