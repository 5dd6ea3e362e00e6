"""``use``: declarations of other files, read downwards only, bounded, told of at their own places."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cnnspec.compiler import Compiler
from cnnspec.errors import SpecError
from cnnspec.mend import mend
from cnnspec.model.text import print_model
from cnnspec.syntax.uses import MAX_FILES

NET = 'use "blocks.cnn"\ninput 8x8x1\nb 4\nconv 4 3x3\nflatten -> dense 10\n'
DECLARATIONS = "a used file holds blocks, params, defaults and filters"
BLOCKS = "block b(c) { conv c 3x3 -> relu }\n"


def lay_out(folder: Path, **files: str) -> Path:
    """Write files, ``lib__blocks`` as lib/blocks.cnn, and return the path of net.cnn."""
    for name, text in {"net": NET, **files}.items():
        path = folder / f"{name.replace('__', '/')}.cnn"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder / "net.cnn"


def errors(path: Path) -> list[tuple[str, int, str]]:
    with pytest.raises(SpecError) as caught:
        Compiler.from_path(path).model  # noqa: B018
    return [(Path(d.span.source.name).name, d.span.line, d.message) for d in caught.value.diagnostics]


def test_it_is_the_same_net_as_one_text(tmp_path: Path) -> None:
    blocks = 'use "sub/more.cnn"\nparam width = 2\nblock b(c) { conv c*width 3x3 -> act }\n'
    path = lay_out(tmp_path, blocks=blocks, sub__more="block act { relu }\n")
    alone = Compiler.from_text(
        "param width = 2\nblock act { relu }\nblock b(c) { conv c*width 3x3 -> act }\n" + NET.partition("\n")[2]
    )
    compiler = Compiler.from_path(path)
    assert [(layer.name, layer.op) for layer in compiler.model.layers] == [
        (layer.name, layer.op) for layer in alone.model.layers
    ]
    assert [name for name, _ in compiler.model.used] == ["blocks.cnn", "sub/more.cnn"]
    assert Compiler.from_path(path, {"width": "1"}).summary.params < compiler.summary.params
    assert "b.conv" in print_model(compiler.model)


def test_defaults_hold_in_their_file(tmp_path: Path) -> None:
    path = lay_out(tmp_path, blocks=f"defaults conv bias=no\n{BLOCKS}")
    assert [layer.op.bias for layer in Compiler.from_path(path).model.layers if layer.op.name == "conv"] == [
        False,
        True,
    ]


def test_what_is_used_twice_is_read_once(tmp_path: Path) -> None:
    path = lay_out(tmp_path, net='use "other.cnn"\n' + NET, other='use "./blocks.cnn"\n', blocks=BLOCKS)
    assert len(Compiler.from_path(path).model.used) == 2


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({"blocks": "block b(c) { cnov c 3x3 }"}, ("blocks.cnn", 1, "unknown layer `cnov`")),
        ({"blocks": "\nblock b(c) { conv c }"}, ("blocks.cnn", 2, "conv needs its size: rows x columns of a filter")),
        ({"blocks": BLOCKS + "relu ->\n"}, ("blocks.cnn", 3, "an arrow leads to nothing")),
        ({"blocks": BLOCKS + "relu\n"}, ("blocks.cnn", 2, DECLARATIONS)),
        ({"blocks": "input 8x8x1\n" + BLOCKS}, ("blocks.cnn", 1, DECLARATIONS)),
        ({"blocks": BLOCKS + "train { epochs 1 }"}, ("blocks.cnn", 2, DECLARATIONS)),
        ({"blocks": 'use "blocks.cnn"\n' + BLOCKS}, ("blocks.cnn", 1, "`blocks.cnn` uses itself")),
        ({"blocks": 'use "a.cnn"\n' + BLOCKS, "a": 'use "blocks.cnn"'}, ("a.cnn", 1, "`blocks.cnn` uses itself")),
        ({"blocks": 'use "net.cnn"\n' + BLOCKS}, ("blocks.cnn", 1, "`net.cnn` uses itself")),
        ({"block": BLOCKS}, ("net.cnn", 1, "`blocks.cnn` cannot be used: there is no such file")),
        ({"blocks": BLOCKS, "net": "block b(c) { tanh }\n" + NET}, ("blocks.cnn", 1, "the block `b` is written twice")),
    ],
)  # fmt: skip
def test_errors_stand_at_their_own_places(tmp_path: Path, files: dict[str, str], found: tuple[str, int, str]) -> None:
    assert errors(lay_out(tmp_path, **files)) == [found]


def test_a_clash_shows_both_places(tmp_path: Path) -> None:
    path = lay_out(tmp_path, blocks=BLOCKS, net="block b { tanh }\n" + NET)
    with pytest.raises(SpecError, match=r"first written here \(.*net\.cnn:1:7\)"):
        Compiler.from_path(path).model  # noqa: B018


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("../blocks.cnn", "a used file lies in the folder of the file that uses it, or below"),
        ("sub/../blocks.cnn", "a used file lies in the folder of the file that uses it, or below"),
        ("/etc/blocks.cnn", "a used file lies in the folder of the file that uses it, or below"),
        ("C:/blocks.cnn", "a used file lies in the folder of the file that uses it, or below"),
        ("~/blocks.cnn", "a used file lies in the folder of the file that uses it, or below"),
        ("sub\\blocks.cnn", "the parts of a path are separated by /"),
        ("blocks", "a used file is a spec, and its name ends in .cnn"),
        ("passwd.txt", "a used file is a spec, and its name ends in .cnn"),
        ("./Spec.cnn", "spec.cnn is the name that a run gives to its copy of the spec"),
        ("", "`use` names a file"),
        ("link.cnn", "`link.cnn` cannot be used: it is a link that leads out of the folder"),
        ("out/blocks.cnn", "`out/blocks.cnn` cannot be used: it is a link that leads out of the folder"),
        ("pipe.cnn", "`pipe.cnn` cannot be used: this is not a regular file"),
        ("folder.cnn", "`folder.cnn` cannot be used: this is not a regular file"),
        ("big.cnn", "`big.cnn` cannot be used: the file is too large to be what it should be"),
        ("loop.cnn", "`loop.cnn` cannot be used: "),
    ],
)
def test_only_files_below_are_read(tmp_path: Path, written: str, message: str) -> None:
    here, out = tmp_path / "here", tmp_path / "out"
    lay_out(out, blocks=BLOCKS)
    path = lay_out(here, net=NET.replace("blocks.cnn", written), blocks=BLOCKS)
    (here / "link.cnn").symlink_to(out / "blocks.cnn")
    (here / "out").symlink_to(out)
    (here / "loop.cnn").symlink_to("loop.cnn")
    (here / "folder.cnn").mkdir()
    os.mkfifo(here / "pipe.cnn")
    with (here / "big.cnn").open("wb") as big:
        big.truncate(50_000_000)
    [(name, line, said)] = errors(path)
    assert (name, line) == ("net.cnn", 1)
    assert said.startswith(message)


def test_a_spec_that_is_no_file_uses_none() -> None:
    with pytest.raises(SpecError, match="a spec that is no file has no folder to read from"):
        Compiler.from_text(NET).model  # noqa: B018


def test_all_files_together_are_bounded(tmp_path: Path) -> None:
    many = {f"f{i}": f"block b{i} {{ relu }}\n" for i in range(MAX_FILES + 1)}
    path = lay_out(
        tmp_path,
        net="".join(f'use "{name}.cnn"\n' for name in many) + NET.partition("\n")[2].replace("b 4\n", ""),
        **many,
    )
    assert errors(path) == [("net.cnn", MAX_FILES + 1, f"a spec uses at most {MAX_FILES} files")]
    large = "".join(f"param p{i} = 1\n" for i in range(14_000))
    path = lay_out(
        tmp_path,
        blocks=f'use "more.cnn"\n{large}{BLOCKS}',
        more=large.replace("p", "q").replace("qaram", "param"),
        net=NET,
    )
    [(name, line, said)] = errors(path)
    assert (name, line) == ("net.cnn" if "blocks" in said else "blocks.cnn", 1)
    assert said.endswith("a spec and its files have at most 100,000 words, numbers and signs")


def test_mends_are_those_of_the_spec_itself(tmp_path: Path) -> None:
    path = lay_out(tmp_path, blocks="block b(c) { cnov c 3x3 }\n", net=NET.replace("dense", "dnese"))
    compiler = Compiler.from_path(path)
    mended = mend(compiler.source)
    assert "dense 10" in mended.source.text
    assert [Path(d.span.source.name).name for d in mended.remaining] == ["blocks.cnn"]
    assert (tmp_path / "blocks.cnn").read_text() == "block b(c) { cnov c 3x3 }\n"


def test_what_was_read_stays(tmp_path: Path) -> None:
    path = lay_out(tmp_path, blocks=BLOCKS)
    source = Compiler.from_path(path).source
    before = Compiler(source).model.params
    (tmp_path / "blocks.cnn").unlink()
    assert Compiler(source).model.params == before


def test_a_file_of_blocks_alone_says_who_judges_it(tmp_path: Path) -> None:
    lay_out(tmp_path, blocks=BLOCKS)
    with pytest.raises(SpecError, match=r'judged by a spec that says  use "blocks\.cnn"'):
        Compiler.from_path(tmp_path / "blocks.cnn").model  # noqa: B018
