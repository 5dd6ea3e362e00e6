"""Laws of reading: what layout changes and what it does not, and where nodes say they stand."""

from __future__ import annotations

import dataclasses
import shutil

import pytest
from golden import example_specs
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnspec.compiler import Compiler
from cnnspec.errors import SpecError
from cnnspec.sealed import read_sealed
from cnnspec.source import Source, Span
from cnnspec.syntax import ast, grammar
from cnnspec.syntax.grammar import build_parser, grammar_path
from cnnspec.syntax.parser import parse
from cnnspec.syntax.text import print_ast, print_expr
from cnnspec.syntax.words import RESERVED


def read(text: str) -> ast.Spec:
    spec, errors = parse(Source("<text>", text))
    assert not errors, errors
    return spec


def statements(text: str) -> tuple[ast.Statement, ...]:
    return read(text).statements


def walk(node: object):
    """Yield every node below a node, with its parent."""
    for f in dataclasses.fields(node):
        value = getattr(node, f.name)
        for child in value if isinstance(value, tuple) else (value,):
            for part in child if isinstance(child, tuple) else (child,):
                if isinstance(part, ast.Node):
                    yield node, part
                    yield from walk(part)


@pytest.mark.parametrize("path", example_specs())
def test_layout_does_not_matter(path):
    """Line ends of Windows, trailing spaces, blank lines, comments and indentation change no meaning."""
    text = path.read_text(encoding="utf-8")
    plain = statements(text)
    assert statements(text.replace("\n", "\r\n")) == plain
    assert statements(text.replace("\n", "  \n\n # more -> { [ \n\t ")) == plain
    assert statements(text.replace("\n", "   # why?\n")) == plain
    assert statements(text.replace(" -> ", "\n  ->   ")) == plain
    assert statements(text.replace(" -> ", " ->  # so\n\n ")) == plain


@pytest.mark.parametrize("path", example_specs())
def test_every_node_stands_inside_its_parent(path):
    spec = Compiler.from_path(path).ast
    found = 0
    for parent, child in walk(spec):
        if isinstance(parent, ast.Node):
            assert parent.span.start <= child.span.start <= child.span.end <= parent.span.end
        assert child.span.text.strip() == child.span.text != ""
        found += 1
    assert found > 20


@pytest.mark.parametrize("path", example_specs())
def test_reading_twice_prints_the_same(path):
    assert print_ast(Compiler.from_path(path).ast) == print_ast(Compiler.from_path(path).ast)


def test_equality_sees_meaning_not_place():
    assert statements("conv 6 3x3") == statements("\n\n   conv   6 3x3")
    assert statements("conv 6 3x3") != statements("conv 7 3x3")
    assert statements("conv 6 3x3") != statements("conv 6 bias=no")
    assert hash(statements("a: relu")) == hash(statements(" a:  relu"))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("64", 64),
        ("0.5", 0.5),
        ("5e-4", 0.0005),
        ("3k", 3000),
        ("1.82G", 1_820_000_000),
        ("0.5M", 500_000),
        ("10%", 0.1),
        ("89.5%", 0.895),
        ("2.", 2.0),
        ("1e3", 1000.0),
    ],
)
def test_numbers(text, value):
    (flow,) = statements(f"x {text}")
    number = flow.steps[0].arguments[0].value
    assert number.value == value
    assert isinstance(number.value, type(value))


@given(st.decimals(min_value=0, max_value=10**6, places=3, allow_nan=False))
@settings(max_examples=60)
def test_decimal_numbers_are_read_as_python_reads_them(number):
    (flow,) = statements(f"x {number:f}")
    assert flow.steps[0].arguments[0].value.value == float(number)


def test_words_of_sections_are_plain_words_elsewhere():
    (flow,) = statements("dense classes data=train expect")
    assert [a.key for a in flow.steps[0].arguments] == ["", "data", ""]


@pytest.mark.parametrize("word", sorted(RESERVED))
def test_reserved_words_cannot_be_names(word):
    for text in (f"{word}: relu", f"block {word} {{ relu }}", f"param {word} = 1", f"block b({word}) {{ relu }}"):
        _, errors = parse(Source("<text>", text))
        assert errors, text
        assert errors[0].code in ("reserved", "later", "syntax"), text


def test_the_nodes_of_an_expression():
    (flow,) = statements('x (a - 2*b // -c) [1, 2] t="no # comment"')
    group, items, text = (a.value for a in flow.steps[0].arguments)
    assert isinstance(group.inner, ast.Arithmetic)
    assert [op for op, _ in group.inner.rest] == ["-"]
    assert [op for op, _ in group.inner.rest[0][1].rest] == ["*", "//"]
    assert [i.value for i in items.items] == [1, 2]
    assert text.value == "no # comment"


def test_the_table_kept_on_disk_gives_the_same_parser(tmp_path, monkeypatch):
    """Built, written, read back: the same tree; a spoilt file is built anew."""
    monkeypatch.setenv("CNNSPEC_CACHE", str(tmp_path))
    text = "a: conv (1 +\n 2) 3x3\n -> relu { | x | y }\n"
    trees = []
    for _ in range(2):
        build_parser.cache_clear()
        trees.append(build_parser().parse(text))
    (kept,) = tmp_path.glob("grammar-*.table")
    assert trees[0] == trees[1]
    whole = kept.read_text()
    changed = whole.replace('"value": "block"', '"value": "blokc"')  # another language, in well-formed JSON
    assert changed != whole
    for spoilt in ("", "{}", "[]", '{"data": {}, "memo": {}}', whole[:5000], changed):
        kept.write_text(spoilt)
        build_parser.cache_clear()
        assert build_parser().parse(text) == trees[0]
        assert read_sealed(kept) is not None, "written anew"
    build_parser.cache_clear()


def test_a_table_beside_the_grammar_is_read_and_none_is_kept(tmp_path, monkeypatch):
    """As a wheel has it, whoever owns the files; a spoilt one is left alone, and one is built for the user."""
    text = "a: conv (1 +\n 2) 3x3\n -> relu { | x | y }\n"
    tree = build_parser().parse(text)
    beside, cache = tmp_path / "grammar", tmp_path / "cache"
    beside.mkdir()
    shutil.copy(grammar_path(), beside)
    monkeypatch.setattr(grammar, "grammar_path", lambda: beside / "cnn.lark")
    monkeypatch.setenv("CNNSPEC_CACHE", str(cache))
    grammar.write_table(beside)
    (table,) = beside.glob("*.table")
    table.chmod(0o666)
    monkeypatch.setattr(grammar, "_build", lambda: pytest.fail("built"))
    build_parser.cache_clear()
    assert build_parser().parse(text) == tree and not cache.exists()
    monkeypatch.undo()
    monkeypatch.setattr(grammar, "grammar_path", lambda: beside / "cnn.lark")
    monkeypatch.setenv("CNNSPEC_CACHE", str(cache))
    table.write_text(table.read_text()[:-9])
    build_parser.cache_clear()
    assert build_parser().parse(text) == tree and len(list(cache.iterdir())) == 1
    build_parser.cache_clear()


def test_a_cache_folder_that_cannot_be_written_is_done_without(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("CNNSPEC_CACHE", str(tmp_path / "file"))
    build_parser.cache_clear()
    assert build_parser().parse("relu\n")
    build_parser.cache_clear()


def test_the_grammar_names_no_layer():
    from cnnspec.ops import LAYERS

    rules = [line.split("//")[0] for line in grammar_path().read_text(encoding="utf-8").splitlines()]
    words = {word for line in rules for word in line.replace('"', " ").split()}
    assert not words & set(LAYERS)


def test_errors_of_syntax_and_meaning_come_together():
    with pytest.raises(SpecError) as caught:
        Compiler.from_text("input 8x8x1\nrelu ->\n}\nreul").model  # noqa: B018
    assert [d.span.line for d in caught.value.diagnostics] == [3, 4]


def test_spans_join():
    source = Source("<text>", "ab\ncd")
    joined = Span(source, 1, 2).to(Span(source, 3, 4))
    assert (joined.text, joined.line, joined.column) == ("b\nc", 1, 2)


def test_filters_are_rows_of_numbers_and_bars_are_channels() -> None:
    spec, errors = parse(Source("x", "filter v {\n 1 0 -1/2  # first\n\n 2% - 3 4\n}\nfilter g { | 0.3 | 0.6\n0.7 }"))
    assert not errors
    one, two = spec.statements
    assert isinstance(one, ast.FilterStatement) and isinstance(two, ast.FilterStatement)
    shown = [[[[print_expr(n) for n in row.numbers] for row in p.rows] for p in f.planes] for f in (one, two)]
    assert shown == [[[["1", "0", "-(1 / 2)"], ["0.02", "-3", "4"]]], [[["0.3"]], [["0.6"], ["0.7"]]]]
    assert (one.barred, two.barred) == (False, True)
    assert one.planes[0].rows[1].span.text == "2% - 3 4"
    assert two.planes[1].span.text == "| 0.6\n0.7"


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("filter f { 1, 0, -1 }", ", 0, -1", "separated by spaces"),
        ("filter f {\n [1 0]\n}", "[", "holds numbers"),
        ("filter f { a 0 }", "a", "holds numbers"),
        ("filter f { -1 .5 }", ".5", "begins with a digit"),
        ("filter f { 1 | 2 }", "|", "begins with a bar"),
        ("filter f = [1]", "=", "a name and rows"),
        ("filter f(3) { 1 }", "f(", "a name and rows"),
        ("filter for { 1 }", "for", "reserved word"),
        ("filter f { 1 0\nconv 8 3x3", "conv", "holds numbers"),
    ],
)
def test_what_is_no_filter_is_told_once(text: str, place: str, message: str) -> None:
    spec, errors = parse(Source("x", f"{text}\nrelu"))
    [error] = errors
    assert message in error.message
    assert text.index(place) == error.span.start
    assert isinstance(spec.statements[0], ast.Broken)
    if message == "separated by spaces":
        assert error.fix is not None
        assert error.fix.replacement == " 0 -1 "
