"""``cnnspec lint``: what it prints, and how it ends."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cnnspec.model.linting import rules
from cnnspec.text import columns

Run = Callable[..., Any]
NET = "input 8x8x1\nconv 4 3x3 -> bn\n"


def test_findings_and_where_to_read_on(cli: Run, tmp_path: Path) -> None:
    (tmp_path / "net.cnn").write_text(NET)
    result = cli("lint", "net.cnn")
    assert result.code == 1
    assert result.err.startswith("warning[bias-before-bn]: the bias of conv does nothing")
    assert "net.cnn:2:1" in result.err
    assert result.out == "\n1 finding. Why: cnnspec help bias-before-bn\n"
    why = cli("help", "bias-before-bn")
    assert why.code == 0
    assert "Ioffe & Szegedy 2015" in " ".join(why.out.split())


def test_a_quiet_spec_ends_well_and_counts_what_is_off(cli: Run, tmp_path: Path) -> None:
    (tmp_path / "net.cnn").write_text(NET.replace("-> bn", "-> bn  # lint: off"))
    result = cli("lint", "net.cnn")
    assert (result.code, result.err) == (0, "")
    assert result.out == "ok     net.cnn: no rule finds anything, 1 finding turned off by comments\n"


def test_errors_come_first_and_a_stale_expectation_is_none(cli: Run, tmp_path: Path) -> None:
    (tmp_path / "net.cnn").write_text(NET + "expect params == 1\n")
    assert "expect" not in cli("lint", "net.cnn").err
    (tmp_path / "net.cnn").write_text(NET + "conf 4\n")
    result = cli("lint", "net.cnn")
    assert result.code == 1
    assert "error[unknown-layer]" in result.err
    assert "bias" not in result.err
    found = json.loads(cli("lint", "net.cnn", "--json").out)
    assert (found["ok"], [d["code"] for d in found["diagnostics"]]) == (False, ["unknown-layer"])
    assert cli("lint", "nosuch.cnn").code == 1
    assert cli("lint").code == 2


def test_json(cli: Run, tmp_path: Path) -> None:
    (tmp_path / "net.cnn").write_text(NET + "conv 4 3x3 -> bn  # lint: off\n")
    result = cli("lint", "net.cnn", "--json")
    found = json.loads(result.out)
    assert (result.code, result.err, found["ok"], found["silenced"]) == (1, "", False, 1)
    [one] = found["diagnostics"]
    assert (one["code"], one["severity"], one["line"], one["column"]) == ("bias-before-bn", "warning", 2, 1)


def test_the_list_has_every_rule_in_eighty_columns(cli: Run) -> None:
    result = cli("lint", "--list")
    assert result.code == 0
    assert re.findall(r"^([a-z-]+)  ", result.out, re.MULTILINE) == [rule.name for rule in rules()]
    assert max(map(columns, result.out.splitlines())) <= 80
    as_json = json.loads(cli("lint", "--list", "--json").out)
    assert as_json == [{"name": rule.name, "doc": rule.doc} for rule in rules()]


def test_a_run_is_linted_as_it_was_trained(cli: Run, room: Path) -> None:
    assert cli("lint", "run").code == 0
    result = cli("lint", "run", "--set", "train.optimizer.lr=1")
    assert (result.code, "warning[learning-rate]" in result.err) == (1, True)
