import numpy as np
import pytest
import torch
import yaml
from torch import nn

from benchmarks import accuracy, choices, pipeline, retraining, speed
from digits.dataset import Labelled, describe
from digits.model import parameter_count
from digits.storage import read_json, write_arrays, write_json
from stages.preprocess import STATISTICS, TRAIN, VALIDATION
from tests.benchmarks.measured import ROOT


def test_the_rival_s_network_is_that_of_its_description():
    network = speed.ExampleNet()
    assert parameter_count(network) == 1_199_882
    convolutions = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    assert [(one.in_channels, one.out_channels, one.kernel_size) for one in convolutions] == [
        (1, 32, (3, 3)),
        (32, 64, (3, 3)),
    ]
    assert [layer.p for layer in network.modules() if isinstance(layer, nn.Dropout)] == [0.25, 0.5]
    assert [(one.in_features, one.out_features) for one in network.modules() if isinstance(one, nn.Linear)] == [
        (9216, 128),
        (128, 10),
    ]
    images = torch.rand(3, 1, 28, 28)
    network.train()
    assert not torch.equal(network(images), network(images))  # both dropouts are in use
    network.eval()
    assert network(images).exp().sum(1).tolist() == pytest.approx([1, 1, 1])


def test_the_rival_s_epoch_sees_each_image_once_in_batches_of_64(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    TRAIN.parent.mkdir(parents=True)
    images = np.random.default_rng(0).integers(0, 256, (130, 28, 28), dtype=np.uint8)
    write_arrays(TRAIN, images=images, labels=(np.arange(130) % 10).astype(np.uint8))
    seen = []

    class Network(speed.ExampleNet):
        def forward(self, batch):
            seen.append(batch)
            return super().forward(batch)

    class Adadelta(torch.optim.Adadelta):
        def step(self, *given):
            seen.append(self.param_groups[0]["lr"])
            return super().step(*given)

    monkeypatch.setattr(speed, "ExampleNet", Network)
    monkeypatch.setattr(torch.optim, "Adadelta", Adadelta)
    monkeypatch.setattr(torch, "set_num_threads", lambda _: None)
    with torch.random.fork_rng():
        measured = speed.example_epoch()
    assert (measured["parameters"], measured["seconds"] > 0) == (1_199_882, True)
    assert [len(batch) for batch in seen[::2]] == [64, 64, 2]
    assert seen[1::2] == [1.0] * 3
    normalised = (images / 255 - 0.1307) / 0.3081
    assert torch.cat(seen[::2])[:, 0].numpy() == pytest.approx(normalised, abs=1e-5)


def test_accuracies_are_summed_up():
    assert accuracy.spread([99.0, 99.5, 99.4]) == ["99.300 %", "0.265", "99.00 %", "99.50 %"]
    assert retraining.mean([(99.0, 90.0), (99.5, 91.0)], 1) == "90.50"


def test_overrides_are_what_yaml_makes_of_them():
    assert choices.values(["train.learning_rate=0.2", "model.pools=[3,2]"]) == {
        "train.learning_rate": 0.2,
        "model.pools": [3, 2],
    }


def test_validation_images_are_trained_on_with_their_own_statistics(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (30, 28, 28), dtype=np.uint8)
    labels = (np.arange(30) % 10).astype(np.uint8)
    write_arrays(tmp_path / TRAIN, images=images[:20], labels=labels[:20])
    write_arrays(tmp_path / VALIDATION, images=images[20:], labels=labels[20:])
    write_json(tmp_path / STATISTICS, {"dataset": "MNIST", "train": describe(Labelled(images[:20], labels[:20]))})
    assert accuracy.pool(tmp_path) == 30
    assert (accuracy.training(tmp_path).images == images).all()
    expected = {"dataset": "MNIST", "train": describe(Labelled(images, labels))}
    assert read_json(tmp_path / STATISTICS) == expected


def test_production_images_are_turned_as_the_test_images_are():
    data = Labelled(np.random.default_rng(0).integers(0, 256, (2, 28, 28), dtype=np.uint8), np.array([1, 2], np.uint8))
    turned = retraining.turned(data)
    assert (turned.images != data.images).any(axis=(1, 2)).all()
    assert turned.labels is data.labels
    nothing = data.take(np.arange(0))
    assert retraining.turned(nothing) is nothing


def test_what_the_pipeline_is_compared_with_are_all_its_stages_and_each_round_with_itself():
    assert set(pipeline.IMPORTS) == set(yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"])
    assert pipeline.row("a", [2.0, 6.0, 5.0], "b", [1.0, 2.0, 5.0]) == [
        "a",
        "5.00 (2.00 to 6.00)",
        "b",
        "2.00 (1.00 to 5.00)",
        "2.00 (1.00 to 3.00)",
    ]
