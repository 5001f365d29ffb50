"""Of one process that is a team of its own, it is torch's batch normalisation; two are in test_distributed.py."""

import pytest
import torch
import torch.distributed as dist
from torch import nn

from digits.batch_normalisation import GlobalBatchNorm2d, normalise_together

STATE = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


@pytest.fixture
def group(tmp_path):
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.fixture
def layers():
    """Torch's, and ours with a copy of what it knows."""
    torch.manual_seed(0)
    theirs, copied = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
    with torch.no_grad():
        theirs.weight.uniform_(0.5, 2)
        theirs.bias.uniform_(-1, 1)
    copied.load_state_dict(theirs.state_dict())
    return theirs, GlobalBatchNorm2d(copied)


def test_it_computes_what_torch_does_forwards_and_backwards(group, layers):
    features = 3 + 2 * torch.randn(8, 3, 5, 5)
    found = []
    for layer in layers:
        inputs = features.clone().requires_grad_()
        outputs = layer(inputs)
        (outputs.sin() * outputs).sum().backward()
        found.append((outputs, inputs.grad, layer.weight.grad, layer.bias.grad))
    for theirs, ours in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    for name in STATE:
        torch.testing.assert_close(getattr(layers[1], name), getattr(layers[0], name))


def test_an_evaluation_asks_nobody(layers):
    features = torch.randn(2, 3, 4, 4)
    theirs, ours = (layer.eval()(features) for layer in layers)
    assert torch.equal(theirs, ours)


def test_half_precision_comes_back_as_it_went_in(group, layers):
    features = torch.randn(8, 3, 5, 5).bfloat16()
    assert layers[1](features).dtype == torch.bfloat16


def test_each_layer_of_a_network_is_replaced_and_keeps_its_tensors():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Sequential(nn.BatchNorm2d(2)))
    before = [model[1], model[2][0]]
    names = [*model.state_dict()]
    normalise_together(model)
    for old, new in zip(before, (model[1], model[2][0]), strict=True):
        assert isinstance(new, GlobalBatchNorm2d)
        assert all(getattr(old, name) is getattr(new, name) for name in STATE)
    assert [*model.state_dict()] == names
