"""``data``, ``train`` and ``--set``: what is written, what is left out, what is changed from outside."""

from __future__ import annotations

import pytest

from cnnspec.compiler import Compiler
from cnnspec.errors import DataError, SpecError
from cnnspec.model.overrides import texts_of
from cnnspec.model.settings import SGD, Adam, AdamW, Constant, Cosine, CrossEntropy, Digits, Mnist, Npz, Step

NET = "input 8x8x1\nparam width = 1\nconv (16*width) 3x3 -> flatten -> dense classes\n"
SPEC = (
    NET
    + """
data {
  source digits
  split val=20%
  normalize mean=0.3 std=[0.4]
}
train {
  loss cross_entropy smooth=0.1
  optimizer sgd lr=0.1 nesterov=yes momentum=0.8
  schedule warmup 2 -> step 5 gamma=0.5
  epochs 7
  batch 16
  seed 3
  keep best
  stop patience=4 on=train.loss
}
"""
)


def model(text: str = SPEC, **settings: str):
    return Compiler.from_text(text, {k.replace("__", "."): v for k, v in settings.items()}).model


def test_what_is_written():
    m = model()
    assert m.classes == 10
    assert m.data.source == Digits()
    assert m.data.val == 0.2
    assert (m.data.normalize.mean, m.data.normalize.std) == ((0.3,), (0.4,))
    t = m.train
    assert t.loss == CrossEntropy(smooth=0.1)
    assert t.optimizer == SGD(lr=0.1, nesterov=True, momentum=0.8)
    assert (t.schedule, t.warmup_epochs) == (Step(5, gamma=0.5), 2)
    assert (t.epochs, t.batch, t.seed) == (7, 16, 3)
    assert t.keep.on == "val.accuracy"
    assert (t.stop.patience, t.stop.on) == (4, "train.loss")


@pytest.mark.parametrize("source", ['folders "pictures"', 'npz "a.npz"'])
def test_a_source_that_may_have_a_validation_set_of_its_own_is_judged_when_it_is_opened(source: str):
    m = model(f"{NET}classes 3\ndata {{ source {source} }}\ntrain {{\n keep best\n stop patience=3 on=val.loss\n}}")
    assert (m.train.keep.on, m.train.stop.on, m.data.val) == ("val.accuracy", "val.loss", 0)


@pytest.mark.parametrize(("shape", "source"), [("8x8x1", "digits"), ("224x224x3", "folders"), ("9x9x2", "npz")])
def test_a_source_is_suggested_whose_images_fit(shape: str, source: str):
    with pytest.raises(SpecError) as caught:
        model(f"input {shape} -> flatten -> dense 10\ndata {{ split val=10% }}")
    assert caught.value.diagnostics[0].hint.startswith(f"write  source {source}")


def test_levels_of_deep_pictures():
    net = "input 8x8x1 -> flatten -> dense classes\nclasses 3\n"
    source = model(net + 'data { source folders "x" black=-1024 white=3071 ground=black }').data.source
    assert (source.black, source.white, source.ground) == (-1024, 3071, "black")
    source = model(net + 'data { source folders "x" }').data.source
    assert (source.black, source.white, source.ground) == (None, None, "white")
    with pytest.raises(SpecError, match="white must be above"):
        model(net + 'data { source folders "x" black=10 white=10 }')


def test_what_is_left_out():
    m = model(NET + "classes 3")
    t = m.train
    assert (m.data, m.classes) == (None, 3)
    assert (t.loss, t.optimizer, t.schedule) == (CrossEntropy(), SGD(lr=0.05, momentum=0.9), Constant())
    assert (t.epochs, t.batch, t.seed, t.warmup_epochs, t.keep, t.stop) == (10, 64, 1, 0, None, None)


def test_set_changes_one_value():
    assert model(train__epochs="3").train.epochs == 3
    assert model(train__optimizer__lr="0.5").train.optimizer == SGD(lr=0.5, nesterov=True, momentum=0.8)
    assert model(train__loss__smooth="20%").train.loss == CrossEntropy(smooth=0.2)
    assert model(train__schedule__every="9").train.schedule == Step(9, gamma=0.5)
    assert model(train__stop__patience="9").train.stop.patience == 9
    assert model(data__split__val="5%").data.val == 0.05
    assert model(width="2").layers[0].out_shape == (8, 8, 32)


def test_set_changes_whole_statements():
    assert model(train__optimizer="adam lr=0.01").train.optimizer == Adam(lr=0.01)
    t = model(train__schedule="warmup 1 -> cosine to=0.1").train
    assert (t.schedule, t.warmup_epochs) == (Cosine(to=0.1), 1)
    text = SPEC.replace("dense classes", "dense 10")
    assert model(text, data__source='npz "a b.npz"').data.source == Npz("a b.npz")


def test_set_where_nothing_is_written():
    """A value changed without its statement changes the default of that statement, and no other value of it."""
    text = NET + "classes 3"
    assert model(text, train__optimizer__lr="0.5").train.optimizer == SGD(lr=0.5, momentum=0.9)
    assert model(text, train__optimizer="adamw").train.optimizer == AdamW()
    assert model(text, train__epochs="2").train.epochs == 2
    assert model(text.replace("8x8x1", "28x28x1").replace("classes 3", ""), data__source="mnist").data.source == Mnist()


def test_several_at_once():
    m = model(train__optimizer="adam", train__optimizer__lr="0.5", train__epochs="2")
    assert m.train.optimizer == Adam(lr=0.5)
    assert m.settings == (("train.optimizer", "adam"), ("train.optimizer.lr", "0.5"), ("train.epochs", "2"))


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("widht", "2", "did you mean `width`?"),
        ("on", "val.loss", "say which: train.keep.on, train.stop.on"),
        ("warmup", "3", 'write  --set "train.schedule=warmup 3 -> step 5 gamma=0.5"'),
        ("adam", "0.1", 'write  --set "train.optimizer=adam 0.1"'),
        ("train.epoch", "2", "did you mean `train.epochs`?"),
        ("train.epochs", "two", "unknown name `two`"),
        ("train.epochs", "-1", "no leading minus"),
        ("train.epochs", "", "needs a value"),
        ("train.epochs", "3 4", "one too many"),
        ("train.optimizer.rl", "0.1", "did you mean `lr`?"),
        ("train.optimizer.lr", "0.1 0.2", "takes one name and one value"),
        ("train.optimizer", "sdg", "did you mean `sgd`?"),
        ("width", "", "found the end of the file"),
        ("width", "1\nrelu", "takes one name and one value"),
        ("width", "}", "closes nothing"),
        ("train.epochs", "3\nseed 4", "takes one name and one value"),
    ],
)
def test_bad_set(name, value, words):
    with pytest.raises(SpecError) as caught:
        Compiler.from_text(SPEC, {name: value}).model  # noqa: B018
    assert words in str(caught.value), str(caught.value)
    assert "--set" in str(caught.value)


def test_expectations_of_cost_are_left_aside_where_the_net_is_changed():
    text = "input 8x8x1\nparam c = 4\nconv c 3x3\nexpect params == 40\n"
    assert len(model(text).expects) == 1
    assert model(text, c="8").layers[0].out_shape == (8, 8, 8)
    with pytest.raises(SpecError, match="expected params == 40, found 80"):
        model(text.replace("c = 4", "c = 8"))
    with pytest.raises(SpecError, match="expected params == 40, found 80"):
        model(text.replace("c = 4", "c = 8"), train__epochs="1")


@pytest.mark.parametrize(
    ("short", "full"),
    [
        ("lr", "train.optimizer.lr"),
        ("train.lr", "train.optimizer.lr"),
        ("optimizer.lr", "train.optimizer.lr"),
        ("learning_rate", "train.optimizer.lr"),
        ("epochs", "train.epochs"),
        ("batch", "train.batch"),
        ("val", "data.split.val"),
        ("schedule", "train.schedule"),
    ],
)
def test_a_short_name_of_set_means_the_one_setting_that_it_can_mean(short: str, full: str):
    value = {"train.schedule": "cosine", "data.split.val": "5%"}.get(full, "3")
    changed = Compiler.from_text(SPEC, {short: value}).model
    assert changed.settings == ((full, value),)
    assert (changed.train, changed.data) == (model(**{full: value}).train, model(**{full: value}).data)


def test_a_parameter_wins_over_a_short_name_and_the_later_of_two_names_over_the_earlier():
    text = SPEC.replace("param width", "param lr = 1\nparam width")
    assert model(text, lr="7").train.optimizer.lr == 0.1
    assert Compiler.from_text(SPEC, {"train.optimizer.lr": "1", "lr": "2"}).model.train.optimizer.lr == 2


@pytest.mark.parametrize("names", [("lr", "optimizer"), ("optimizer", "lr"), ("train.optimizer.lr", "train.optimizer")])
def test_a_whole_statement_does_not_undo_a_key_of_it_that_was_given_before(names):
    values = {name: "adam" if name.endswith("optimizer") else "0.5" for name in names}
    assert Compiler.from_text(SPEC, values).model.train.optimizer == Adam(lr=0.5)


def test_a_change_of_data_that_the_spec_does_not_have_is_refused():
    with pytest.raises(SpecError) as caught:
        model(NET + "classes 3", data__split__val="20%")
    found = caught.value.diagnostics[0]
    assert "no data section" in found.message and "validation=(x_val, y_val)" in found.hint


@pytest.mark.parametrize("value", [None, float("nan"), float("-inf")])
def test_a_setting_without_a_value_is_refused_by_its_name(value):
    with pytest.raises(DataError, match="lr"):
        texts_of({"lr": value})


def test_a_warmup_that_is_longer_than_a_short_try_is_cut_and_told():
    changed = model(train__epochs="1")
    assert (changed.train.epochs, changed.train.warmup_epochs) == (1, 2)  # a resumed run has the warmup of the spec
    [told] = changed.warnings
    assert (told.severity, told.code) == ("warning", "range")
    assert "warmup of 2 epochs" in told.message
    for text in (SPEC.replace("epochs 7", "epochs 1"), SPEC):
        with pytest.raises(SpecError, match="warmup"):
            model(text, train__epochs="1", train__schedule="warmup 2 -> cosine")


BATCH_NORM = "input 8x8x1\n{net} -> dense 10\ndata {{ source digits }}\ntrain {{ batch {batch} }}\n"


@pytest.mark.parametrize(
    ("net", "batch", "refused"),
    [
        ("flatten -> dense 8 -> bn", 1, True),
        ("conv 4 3x3 -> avgpool global -> bn -> flatten", 1, True),
        ("avgpool global -> conv 4 1x1 -> bn -> flatten", 1, True),
        ("flatten -> dense 8 -> bn", 2, False),
        ("conv 4 3x3 -> bn -> flatten", 1, False),
        ("flatten -> dense 8 -> bn", 64, False),
    ],
)
def test_batch_norm_over_one_value_a_channel(net: str, batch: int, refused: bool):
    text = BATCH_NORM.format(net=net, batch=batch)
    if not refused:
        assert model(text).train.batch == batch
        return
    with pytest.raises(SpecError) as caught:
        model(text)
    assert [d.code for d in caught.value.diagnostics] == ["batch"]


@pytest.mark.parametrize("end", ["sigmoid", "relu", "tanh", "relu6", "leaky_relu", "relu -> dropout 0.1"])
def test_an_activation_before_cross_entropy_is_told(end: str):
    text = f"input 8x8x1\nflatten -> dense 10 -> {end}\ndata {{ source digits }}\n"
    [told] = model(text).warnings
    assert (told.code, told.severity) == ("softmax", "warning")
    assert told.message.startswith(f"the net ends in {end.split()[0]}")
    assert model(text + "train { loss mse }\n").warnings == ()
    assert model("input 8x8x1\nconv 8 3x3 -> relu\n").warnings == ()  # no task: a piece of a net


def test_a_mean_in_pixels_is_told_with_the_numbers_that_were_meant():
    [told] = model(SPEC.replace("mean=0.3 std=[0.4]", "mean=127 std=64")).warnings
    assert told.hint == "write  normalize mean=0.498 std=0.251"
    assert model(SPEC.replace("mean=0.3 std=[0.4]", "mean=1 std=[1]")).warnings == ()
    npz = SPEC.replace("source digits", 'source npz "a.npz"').replace("mean=0.3 std=[0.4]", "mean=127 std=64")
    assert model(npz + "classes 10").warnings == ()  # its numbers need not be pixels


@pytest.mark.parametrize(("shape", "meant"), [("1x28x28", "28x28x1"), ("3x224x224", "224x224x3")])
def test_channels_first_is_told(shape: str, meant: str):
    [told] = model(f"input {shape}\nconv 8 3x3\n").warnings
    assert told.hint == f"was  input {meant}  meant?"
    assert model(f"input {meant}\nconv 8 3x3\n").warnings == ()
    assert model("input 3x3x3\nconv 8 3x3\n").warnings == ()
