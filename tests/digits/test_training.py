import dataclasses
import itertools

import numpy as np
import pytest
import torch
from torch.nn import functional

from digits import training
from digits.dataset import Labelled
from digits.training import (
    DeviceError,
    DivergedError,
    accuracy,
    build,
    calibrate,
    fit,
    make_optimizer,
    prepare,
    score,
    select_device,
)
from digits.weights import serialize
from tests.synthetic import digits

TRAIN, VALIDATION = digits(640, seed=1), digits(100, seed=2)


@pytest.fixture
def train(model_params, train_params):
    """Trains with some params changed; returns the model and the records."""

    def run(data: Labelled = TRAIN, **changes):
        params = dataclasses.replace(train_params, **changes)
        model = build(model_params, params, torch.from_numpy(data.images), 60.0, 80.0)
        return model, list(fit(model, data, VALIDATION, params))

    return run


def test_loss_falls_and_the_classes_are_learned(train):
    model, records = train()
    assert records[-1].loss < 0.7 * records[0].loss
    assert accuracy(model, *map(torch.from_numpy, VALIDATION)) > 0.9


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": "adamw", "learning_rate": 0.01},
        {"schedule": "cosine"},
        {"precision": "bfloat16"},
        {"momentum": 0.0, "learning_rate": 0.3},
        {"shift": 0, "whitening": False, "label_smoothing": 0.0},
        {"batch_size": 64, "epochs": 3},
    ],
)
def test_every_recipe_learns(train, changes):
    model, _ = train(**changes)
    assert accuracy(model, *map(torch.from_numpy, VALIDATION)) > 0.9


def test_same_seed_gives_the_same_bytes_and_another_seed_others(train):
    first, again, other = (serialize(train(seed=seed)[0], {}) for seed in (0, 0, 1))
    assert first == again
    assert first != other


def test_seed_draws_the_first_weights_and_the_order_of_the_images(model_params, train_params):
    def trained(first: int, order: int) -> bytes:
        params = [dataclasses.replace(train_params, seed=seed) for seed in (first, order)]
        model = build(model_params, params[0], torch.from_numpy(TRAIN.images), 60.0, 80.0)
        list(fit(model, TRAIN, VALIDATION, params[1]))
        return serialize(model, {})

    assert len({trained(0, 0), trained(0, 1), trained(1, 0)}) == 3


def test_trained_model_is_ready_for_use(train):
    assert not train()[0].training


def test_records_count_the_steps(train):
    _, records = train(epochs=2, validations=2)  # 40 steps an epoch
    assert [record.step for record in records] == [20, 40, 60, 80]
    assert {record.steps for record in records} == {80}
    assert all(record.validation_accuracy is not None for record in records)


def test_validation_happens_as_often_as_asked(train):
    _, records = train(validations=1)
    assert [(record.step, record.validation_accuracy is not None) for record in records] == [(20, False), (40, True)]


def test_curve_is_measured_on_some_images_of_every_part_and_its_end_on_all(train, monkeypatch):
    scored = []
    monkeypatch.setattr(training, "_WATCHED", 20)
    monkeypatch.setattr(training, "score", lambda model, pixels: scored.append(pixels) or score(model, pixels))
    model, records = train(validations=2)
    everything = prepare(model, torch.from_numpy(VALIDATION.images))
    assert [len(pixels) for pixels in scored] == [20, 100]
    assert torch.equal(scored[0], everything[::5])
    assert torch.equal(scored[1], everything)
    assert records[-1].validation_accuracy == accuracy(model, *map(torch.from_numpy, VALIDATION))


def test_rate_follows_the_schedule(train):
    _, records = train(schedule="constant", warmup=0.0)
    assert [record.learning_rate for record in records] == [0.05, 0.05]
    _, records = train(warmup=0.5)
    assert [record.learning_rate for record in records] == pytest.approx([0.05 * 19 / 20, 0.05 / 20])


def test_last_incomplete_batch_is_left_out(train):
    _, records = train(data=TRAIN.take(np.arange(630)))
    assert records[-1].steps == 630 // 16


def test_batch_larger_than_the_data_is_one_step(train):
    _, records = train(batch_size=30_000)
    assert [record.step for record in records] == [1]


def test_every_image_is_used_once_an_epoch(model_params, train_params, monkeypatch):
    params = dataclasses.replace(train_params, shift=0)
    model = build(model_params, params, torch.from_numpy(TRAIN.images), 60.0, 80.0)
    seen = []
    model.blocks.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]) if module.training else None)
    list(fit(model, TRAIN, VALIDATION, params))
    shown = sorted(image.numpy().tobytes() for image in torch.cat(seen))
    assert shown == sorted(image.numpy().tobytes() for image in prepare(model, torch.from_numpy(TRAIN.images)))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_diverged_loss_names_the_learning_rate(model_params, train_params, value):
    model = build(model_params, train_params, torch.from_numpy(TRAIN.images), 60.0, 80.0)
    with torch.no_grad():
        model.classify.weight.fill_(value)
    with pytest.raises(
        DivergedError, match=r"^the loss became nan at step 20 of 40; lower train.learning_rate \(0.05\)"
    ):
        list(fit(model, TRAIN, VALIDATION, train_params))


def test_cuda_without_a_cuda_device_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceError, match=r"train\.device: no CUDA device found; use `auto` or `cpu`"):
        select_device("cuda")


@pytest.mark.parametrize(
    ("name", "available", "device"),
    [("auto", False, "cpu"), ("auto", True, "cuda"), ("cpu", True, "cpu"), ("cuda", True, "cuda")],
)
def test_device_is_the_one_asked_for(monkeypatch, name, available, device):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
    assert select_device(name) == torch.device(device)


def test_whitening_takes_the_place_of_random_filters(model_params, train_params):
    pixels = torch.from_numpy(TRAIN.images)
    plain, whitened = (
        build(model_params, dataclasses.replace(train_params, whitening=choice), pixels, 60.0, 80.0)
        for choice in (False, True)
    )
    half = model_params.channels[0] // 2
    first = whitened.blocks[0].weight
    torch.testing.assert_close(first[half:], -first[:half])
    assert not torch.equal(first, plain.blocks[0].weight)
    assert torch.equal(whitened.classify.weight, plain.classify.weight)


def test_decay_and_rate_are_set_for_each_group(model_params, train_params):
    params = dataclasses.replace(train_params, classifier_rate=0.5)
    model = build(model_params, params, torch.from_numpy(TRAIN.images), 60.0, 80.0)
    convolutions, last, others = make_optimizer(model, params).param_groups
    assert [group["weight_decay"] for group in (convolutions, last, others)] == [0.0005, 0.0005, 0]
    assert [group["lr"] for group in (convolutions, last, others)] == [0.05, 0.025, 0.05]
    assert [parameter.ndim for parameter in convolutions["params"]] == [4, 4]
    assert {parameter.ndim for parameter in others["params"]} == {1}
    grouped = itertools.chain(convolutions["params"], last["params"], others["params"])
    assert {id(parameter) for parameter in grouped} == {id(parameter) for parameter in model.parameters()}


def test_scores_do_not_depend_on_batches_or_mode(train):
    model, _ = train()
    images = torch.from_numpy(digits(1500).images)
    model.train()
    scores = score(model, prepare(model, images))
    assert model.training
    torch.testing.assert_close(scores[1000:], score(model.eval(), prepare(model, images[1000:])), atol=1e-5, rtol=1e-5)


def cross_entropy(model) -> float:
    scores = score(model, prepare(model, torch.from_numpy(VALIDATION.images))).double()
    return functional.cross_entropy(scores, torch.from_numpy(VALIDATION.labels).long()).item()


@pytest.mark.parametrize("factor", [0.1, 8.0])
def test_calibration_lowers_the_loss_and_keeps_the_winners(train, factor):
    model, _ = train()
    with torch.no_grad():
        model.classify.weight *= factor
        model.classify.bias *= factor
    before, winners = cross_entropy(model), score(model, prepare(model, torch.from_numpy(VALIDATION.images))).argmax(1)
    temperature = calibrate(model, VALIDATION)
    assert model.temperature.item() == pytest.approx(temperature)
    assert cross_entropy(model) < before
    assert torch.equal(score(model, prepare(model, torch.from_numpy(VALIDATION.images))).argmax(1), winners)


def test_calibrated_temperature_is_the_best(train):
    model, _ = train()
    best = calibrate(model, VALIDATION)
    least = cross_entropy(model)
    for factor in (0.9, 1.1):
        model.temperature.fill_(best * factor)
        assert cross_entropy(model) > least


def test_calibrating_twice_changes_nothing(train):
    model, _ = train()
    assert calibrate(model, VALIDATION) == calibrate(model, VALIDATION)


def test_temperature_stays_within_its_bounds(train):
    model, _ = train()
    scores = score(model, prepare(model, torch.from_numpy(VALIDATION.images)))
    right, wrong = (order.numpy().astype(np.uint8) for order in (scores.argmax(1), scores.argmin(1)))
    model.classify.weight.data *= 10
    model.classify.bias.data *= 10
    assert calibrate(model, Labelled(VALIDATION.images, wrong)) == pytest.approx(20)
    model.classify.weight.data /= 1000
    model.classify.bias.data /= 1000
    assert calibrate(model, Labelled(VALIDATION.images, right)) == pytest.approx(0.05)
