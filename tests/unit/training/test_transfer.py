import torch

from studio.networks.generative.stylegan2 import Generator
from studio.training.transfer import copy_what_fits
from tests.conftest import tiny_config, tiny_generator


def test_equal_networks_are_copied_whole():
    old, new = tiny_generator(1), tiny_generator(2)
    tensors, told = copy_what_fits(new.state_dict(), old.state_dict())
    assert all(torch.equal(tensors[k], v) for k, v in old.state_dict().items())
    assert told.share == 1
    assert not told.partly
    assert not told.new


def test_a_network_with_classes_keeps_what_it_knew_and_tells_classes_apart_at_once():
    old, new = tiny_generator(1), Generator(tiny_config(c_dim=3)).eval()
    drawn = new.state_dict()["mapping.fc0.weight"].clone()
    tensors, told = copy_what_fits(new.state_dict(), old.state_dict())
    new.load_state_dict(tensors)
    assert told.partly == ("mapping.fc0.weight",)
    assert all("embed" in n for n in told.new)
    # The layer divides by the root of its inputs, of which there are twice as many now.
    assert torch.allclose(tensors["mapping.fc0.weight"][:, :16], old.state_dict()["mapping.fc0.weight"] * 2**0.5)
    assert torch.equal(tensors["mapping.fc0.weight"][:, 16:], drawn[:, 16:])
    w = new.mapping(torch.randn(1, 16).expand(3, -1), torch.eye(3))[:, 0]
    assert torch.cdist(w, w).fill_diagonal_(9).min() > 0.1


def test_a_larger_network_takes_the_lower_layers():
    old, new = tiny_generator(1), Generator(tiny_config(resolution=64))
    before = {k: v.clone() for k, v in new.state_dict().items()}
    tensors, told = copy_what_fits(new.state_dict(), old.state_dict())
    assert told.new
    assert all(".b64." in n for n in told.new)
    assert torch.equal(tensors["synthesis.b32.conv1.weight"], old.state_dict()["synthesis.b32.conv1.weight"])
    assert all(torch.equal(v, before[k]) for k, v in new.state_dict().items()), "the target itself is not touched"
