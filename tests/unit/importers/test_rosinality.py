"""rosinality's StyleGAN2 checkpoints: the pictures of its formulas, and nothing but weights is taken."""

import argparse

import pytest
import torch

from studio.errors import StudioError
from studio.inference.model import Model
from studio.models.acquire.checkpoint_import import import_checkpoint
from studio.models.importers import import_file
from studio.models.library import Library
from studio.networks.generative.stylegan2 import Discriminator, StyleGAN2Config
from tests.unit.importers.rosinality_layout import checkpoint, mapping, picture, score


@pytest.fixture
def saved(tmp_path):
    """saved(content) -> path of a file that torch wrote."""

    def save(content):
        path = tmp_path / "550000.pt"
        torch.save(content, path)
        return path

    return save


def model(found) -> Model:
    from studio.models.network_builder import load_network

    return Model(load_network(found.family, found.config, found.state_dict, "it"), found.family, "it")


def test_pictures_and_verdicts_are_those_of_its_formulas(saved):
    content = checkpoint()
    found = import_file(saved(content))
    assert found.family == "stylegan2"
    assert found.title == "550000"
    assert found.notes == ()
    config = StyleGAN2Config(**found.config)
    assert (config.resolution, config.w_dim, config.mapping_layers, config.channels(4), config.channels(32)) == (32, 16, 3, 24, 8)
    ours, z = model(found), torch.randn(4, 16)
    w = mapping(content["g_ema"], z)
    assert (ours.mapping(z)[:, 0] - w).abs().max() < 1e-4
    theirs = torch.cat([picture(content["g_ema"], w[i : i + 1]) for i in range(4)])
    assert theirs.std() > 0.5
    assert (ours.synthesis(ours.mapping(z)) - theirs).abs().max() < 1e-4 * theirs.abs().max()
    assert torch.equal(ours.w_avg, content["latent_avg"])
    judge = Discriminator(config)
    judge.load_state_dict(found.discriminator_state)
    due = score(content["d"], theirs)
    with torch.no_grad():
        assert (judge(theirs) - due).abs().max() < 1e-4 * due.abs().max().clamp(min=1)


def test_a_training_checkpoint_with_its_options_and_without_a_mean(saved):
    content = checkpoint() | {"args": argparse.Namespace(size=32, path="/home/anna"), "g_optim": {"state": {}}, "ada_aug_p": 0.3}
    del content["latent_avg"]
    found = import_file(saved(content))
    assert found.notes == ("It has no mean of w; it was measured over 10,000 draws.",)
    w = mapping(content["g_ema"], torch.randn(10_000, 16))
    assert (found.state_dict["mapping.w_avg"] - w.mean(dim=0)).abs().max() < 6 * (w.std(dim=0) / 100).max()


def test_players_of_a_training_on_several_cards(saved):
    """DistributedDataParallel puts 'module.' before each name."""
    plain = checkpoint()
    wrapped = {k: {f"module.{n}": t for n, t in v.items()} if isinstance(v, dict) else v for k, v in plain.items()}
    one, other = import_file(saved(plain)), import_file(saved(wrapped))
    assert one.config == other.config
    assert all(torch.equal(one.state_dict[k], other.state_dict[k]) for k in one.state_dict | other.state_dict)
    assert one.discriminator_state.keys() == other.discriminator_state.keys()


def test_older_ones_without_noise_and_discriminator(saved, tmp_path):
    content = {"g_ema": {k: v for k, v in checkpoint()["g_ema"].items() if not k.startswith("noises.")}, "latent_avg": torch.zeros(16)}
    path = saved(content)
    first, again = import_file(path), import_file(path)
    assert first.discriminator_state is None
    assert first.notes == ("It has no noise of its own; noise drawn here stands in for it.",)
    name = "synthesis.b32.conv1.noise_const"
    assert first.state_dict[name].shape == (32, 32)
    assert torch.equal(first.state_dict[name], again.state_dict[name])
    info = import_checkpoint(Library([tmp_path / "models"]), path, "cats")
    assert info.resolution == 32
    assert info.thumbnail


def test_what_does_not_fit_is_named(saved):
    for change, named in (
        ({"to_rgbs.0.bias": torch.zeros(1, 1, 1, 1)}, "not in colour"),
        ({"convs.0.conv.blur.kernel": torch.full((4, 4), 0.25)}, "a filter other than"),
        ({"extra.weight": torch.zeros(3)}, "'extra.weight'"),
        ({"conv1.activate.bias": torch.full((24,), torch.nan)}, "not finite"),
        ({"convs.3.activate.bias": torch.zeros(5)}, "do not follow"),
        ({"style.2.weight": torch.zeros(5, 16)}, "shape"),
        ({"style.9.weight": torch.zeros(16, 16)}, "do not follow"),
    ):
        content = checkpoint()
        content["g_ema"] |= change
        with pytest.raises(StudioError, match=named):
            model(import_file(saved(content)))
    content = checkpoint()
    del content["d"]["final_conv.1.bias"]
    found = import_file(saved(content))
    assert found.discriminator_state is None
    assert "final_conv.1.bias" in found.notes[0]
