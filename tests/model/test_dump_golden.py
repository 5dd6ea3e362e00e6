"""The printed stages: tests/cases/ast, tests/cases/model and tests/cases/summary."""

from __future__ import annotations

import json

import pytest
from golden import cases

from cnnspec.compiler import Compiler
from cnnspec.model.text import print_model
from cnnspec.syntax.text import print_ast


@pytest.mark.parametrize("path", cases("ast"))
def test_ast(path, golden):
    golden(path, lambda text: print_ast(Compiler.from_text(text).ast))


@pytest.mark.parametrize("path", cases("model"))
def test_model(path, golden):
    golden(path, lambda text: print_model(Compiler.from_text(text).model))


@pytest.mark.parametrize("path", cases("summary"))
def test_summary(path, golden):
    golden(path, lambda text: json.dumps(Compiler.from_text(text).summary.to_json(), indent=1))
