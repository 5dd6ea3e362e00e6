"""The benchmark's own arithmetic: what peers are given, when they agree, and what the tables say."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from cnnspec.compiler import Compiler
from cnnspec.ir.graph import Op

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    return lambda name: importlib.import_module(f"benchmarks.{name}")


def result(**seconds):
    contenders = {name.replace("_", " "): {"seconds": s, "variant": ""} for name, s in seconds.items()}
    return {"measure": "training", "net": "lenet", "batch": 64, "threads": 2, "contenders": contenders}


def test_a_dense_layer_behind_flatten_computes_the_same_from_channels_first(bench, tmp_path):
    exchange = bench("exchange")
    model = Compiler.from_text("input 4x5x3\nrelu\nflatten\nrelu\ndense 6\ndense 2\n").model
    exchange.write_net(model, tmp_path)
    net = json.loads((tmp_path / "net.json").read_text())
    ours, peers = np.load(tmp_path / "ours.npz"), np.load(tmp_path / "peers.npz")
    x = np.random.default_rng(0).random((4, 5, 3), np.float32)
    first, second = (layer["params"]["weight"] for layer in net["layers"] if layer["kind"] == "dense")
    h = x.ravel() @ ours[first]
    np.testing.assert_allclose(peers[first] @ x.transpose(2, 0, 1).ravel(), h, rtol=1e-5)
    np.testing.assert_allclose(peers[second] @ h, h @ ours[second], rtol=1e-5)


def test_filters_are_given_as_output_input_rows_columns(bench, tmp_path):
    model = Compiler.from_text("input 8x8x4\nconv 6 3x5 groups=2\ndepthwise 3x3\nflatten\ndense 2\n").model
    bench("exchange").write_net(model, tmp_path)
    ours, peers = np.load(tmp_path / "ours.npz"), np.load(tmp_path / "peers.npz")
    conv, depthwise = (name for name in ours.files if ours[name].ndim > 2)
    assert peers[conv].shape == (6, 2, 3, 5) and peers[depthwise].shape == (6, 1, 3, 3)
    assert peers[conv][4, 1, 2, 3] == ours[conv][2, 3, 1, 4]
    assert peers[depthwise][4, 0, 2, 1] == ours[depthwise][2, 1, 4]


def test_a_layer_that_mixes_channels_of_a_flat_image_is_refused(bench, tmp_path):
    model = Compiler.from_text("input 4x4x3\nflatten\nbn\ndense 2\n").model
    with pytest.raises(NotImplementedError, match="bn between flatten and dense"):
        bench("exchange").write_net(model, tmp_path)


def test_outputs_that_are_flat_images_are_turned_as_peers_hold_them(bench):
    parity = bench("parity")
    model = Compiler.from_text("input 4x5x3\nconv 2 1x1\nflatten\n").model
    y = np.arange(2 * 4 * 5 * 2, dtype=np.float32).reshape(2, 4, 5, 2)
    gradient = np.arange(6, dtype=np.float32).reshape(1, 1, 3, 2)
    turned = parity.as_peers_hold(model, {"y": y.reshape(2, -1), "conv.weight": gradient})
    assert np.array_equal(turned["y"].reshape(2, 2, 4, 5), y.transpose(0, 3, 1, 2))
    assert turned["conv.weight"].shape == (2, 3, 1, 1) and turned["conv.weight"][1, 2, 0, 0] == gradient[0, 0, 2, 1]


def test_every_net_of_the_parity_script_is_a_checked_spec_that_has_what_is_shown(bench):
    parity = bench("parity")
    for case in parity.SUMS:
        model = parity.model_of(case)
        assert set(case.shows) <= {"y", *model.params}, case.title
    error = parity.Error.of(np.array([1.0, 2.5], np.float32), np.array([1.0, 2.0]), 2.0)
    assert error.most == 0.25 and error.rms == pytest.approx(0.25 / np.sqrt(2))


def test_the_nets_of_the_zoo_that_name_torchvision_are_compared_with_it(bench):
    texts = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "specs" / "zoo").glob("*.cnn")}
    named = {name: re.findall(r"# torchvision, (\w+)$", text, re.MULTILINE) for name, text in texts.items()}
    expected = {name: [other] for name, other in bench("zoo").THEIRS.items()}
    assert {name: found for name, found in named.items() if found} == expected


def test_every_layer_of_the_benchmark_has_a_twin_and_another_is_named(bench):
    exports, nets = bench("exchange").EXPORTS, bench("nets")
    ops = {type(layer.op) for name in nets.NETS for layer in nets.load_model(name).layers}
    assert {cls for cls in ops if cls not in exports} == set()
    with pytest.raises(NotImplementedError, match="strange has no twin among the peers' layers"):
        exports.of(type("Strange", (Op,), {"name": "strange"})())


@pytest.mark.parametrize(
    "found, agrees",
    [([1.0, 2.0], True), ([1.0, 2.0 + 1e-4], True), ([1.0, 2.1], False), ([1.0, np.nan], False), ([1.0], False)],
)
def test_contenders_agree_within_what_is_allowed(bench, found, agrees):
    reference = bench("duel").Reference(np.array([1.0, 2.0]), np.array([1e-4, 1e-4]))
    assert (reference.judge(found)[1] == "") is agrees


def test_the_error_that_is_not_allowed_is_named_though_another_is_larger(bench):
    reference = bench("duel").Reference(np.array([1.0, 1.0]), np.array([1e-2, 1e-6]))
    assert reference.judge([1.005, 1.00001]) == (
        pytest.approx(0.005),
        "1.0e-05 (sample or step 2), 1.0e-06 is allowed",
    )


def test_the_ratio_is_that_of_medians_against_the_best_peer(bench):
    q = bench("report").ratio(
        result(cnnspec=[1, 2, 9], PyTorch_eager=[6, 8, 7], PyTorch_compile=[5, 6, 6], other=[1, 1, 1]), "PyTorch"
    )
    assert q.peer == "PyTorch compile"
    assert q.value == 3.0
    assert (q.low, q.high) == (6 / 9, 5.0)


def test_the_table_holds_rates_and_the_geometric_mean(bench):
    report = bench("report")
    second = {**result(cnnspec=[1.0], PyTorch_eager=[8.0]), "net": "resnet20"}
    (table,) = report.tables([result(cnnspec=[0.5], PyTorch_eager=[1.0]), second])
    assert table.rows[0][2:6] == ("128", "64.0", "PyTorch eager", "**2.00**")
    assert table.rows[2][0] == "geometric mean" and table.rows[2][5] == "**4.00**"


def test_threads_are_powers_of_two_and_all_of_them(bench):
    assert [bench("__main__").counts(n) for n in (1, 2, 6, 16)] == [[1], [1, 2], [1, 2, 4, 6], [1, 2, 4, 8, 16]]


def test_gains_from_threads_are_over_one(bench):
    measured = {1: (8, 16), 2: (4, 10), 4: (2, 8)}  # seconds of ours and of the peer
    results = [{**result(cnnspec=[ours], PyTorch_eager=[peer]), "threads": n} for n, (ours, peer) in measured.items()]
    rows = bench("report").threads(results[::-1]).rows
    assert [(row[2], row[4], row[6], row[7]) for row in rows] == [
        ("1", "1.00", "1.00", "2.00"), ("2", "2.00", "1.60", "2.50"), ("4", "4.00", "2.00", "4.00"),
    ]  # fmt: skip
    assert bench("report").threads(results[1:]) is None


def test_a_report_goes_between_its_markers_and_nowhere_else(bench):
    put = bench("report").put_between_markers
    text = "a\n<!-- results begin -->\nold\n<!-- results end -->\nz\n"
    assert put(text, "new\n") == "a\n<!-- results begin -->\nnew\n<!-- results end -->\nz\n"
    with pytest.raises(ValueError, match="fashion begin"):
        put(text, "new", "fashion")


def test_the_chart_is_an_svg_with_a_bar_for_each_net(bench):
    root = ElementTree.fromstring(bench("report").chart([result(cnnspec=[0.5], PyTorch_eager=[1.0])]))
    assert [t.text for t in root.iter("{http://www.w3.org/2000/svg}text")][-1] == "2.00"


def test_every_net_of_the_benchmark_is_a_checked_spec(bench):
    nets = bench("nets")
    for name in nets.NETS:
        assert nets.load_model(name).train.optimizer.momentum == 0.9


def measured(seconds, flops, nbytes):
    return {"seconds": seconds, "flops": flops, "bytes": nbytes, "kernel": "conv2d.16"}


def test_a_roofline_names_the_limit_that_a_layer_is_nearer(bench):
    roof = {"net": "lenet", "batch": 64, "threads": 2, "peak_flops_per_second": 2e11, "peak_bytes_per_second": 4e10}
    layers = [
        {"name": "conv", "forward": measured(1e-3, 1e8, 1e7), "backward": measured(2e-3, 2e8, 1e7)},
        {"name": "pool", "forward": measured(1e-3, 0, 3e7)},
    ]
    rows = bench("roofline").table({**roof, "layers": layers}).rows
    assert rows[0] == ("conv", "forward", "1.000", "100", "50 %", "10", "10.0", "multiply 50 %", "conv2d.16")
    assert rows[2] == ("pool", "forward", "1.000", "", "", "30", "30.0", "memory 75 %", "conv2d.16")
    assert [row[:7] for row in rows[3:]] == [
        ("**all**", "forward", "2.000", "50", "25 %", "40", "20.0"),
        ("**all**", "backward", "2.000", "100", "50 %", "10", "5.0"),
    ]


def test_rooflines_alone_need_no_peers_and_leave_the_readme_alone(bench, monkeypatch, tmp_path):
    main, setting = bench("__main__"), bench("setting")
    monkeypatch.setattr(main, "HERE", tmp_path)
    for module in (main, setting):
        monkeypatch.setattr(module, "peers_python", lambda folder: pytest.fail("the peers were asked for"))
    few = ("--nets", "lenet", "--rounds", "1", "--seconds", "0.01", "--threads", "1")
    monkeypatch.setattr("sys.argv", ["x", "--only", "roofline", "--publish", *few])
    assert main.main() == 0
    page = (tmp_path / "ROOFLINE.md").read_text(encoding="utf-8")
    assert "### LeNet" in page and "| conv2 " in page
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["ROOFLINE.md"]
    (kept,) = (tmp_path / "results").iterdir()
    assert json.loads(kept.read_text())["rooflines"][0]["layers"][0]["forward"]["bytes"] > 0
