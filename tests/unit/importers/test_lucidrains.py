"""lucidrains' StyleGAN2 checkpoints: the pictures of its formulas, explored, mixed and walked like every other model."""

import json

import numpy as np
import pytest
import torch

from studio.engine.engine import Engine
from studio.engine.recipe import Recipe, SeedWeight
from studio.errors import StudioError
from studio.inference.model import Model
from studio.models.acquire.checkpoint_import import import_checkpoint
from studio.models.importers import import_file
from studio.models.library import Library
from studio.models.network_builder import load_network
from tests.unit.importers.lucidrains_layout import checkpoint, mapping, picture


@pytest.fixture
def saved(tmp_path):
    """saved(content, config=None) -> path of a file that torch wrote, in the package's own folder."""

    def save(content, config=None):
        folder = tmp_path / "flowers"
        folder.mkdir(exist_ok=True)
        torch.save(content, folder / "model_12.pt")
        if config is not None:
            (folder / ".config.json").write_text(config if isinstance(config, str) else json.dumps(config))
        return folder / "model_12.pt"

    return save


def model(found) -> Model:
    return Model(load_network(found.family, found.config, found.state_dict, "it"), found.family, "it")


def noise_of(ours: Model) -> torch.Tensor:
    """The noise as the package would take it: evenly from [0, 1], with its axes the other way round."""
    last = getattr(ours.network.synthesis, f"b{ours.resolution}")
    return torch.special.ndtr(last.conv0.noise_const).T


LAYOUTS = {
    "plain": {},
    "attention": dict(attention=(1, 3)),
    "cut channels": dict(size=16, capacity=8, most=20),
    "one width": dict(most=8),
    "deep mapping": dict(size=8, layers=8, dim=24),
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_pictures_are_those_of_its_formulas(saved, layout):
    content = checkpoint(**layout)
    found = import_file(saved(content))
    ours, p = model(found), content["GAN"]
    z = torch.randn(3, ours.z_dim)
    w = mapping(p, z)
    assert (ours.mapping(z)[:, 0] - w).abs().max() < 1e-5 * w.abs().max()
    assert w.std() > 0.01
    rows = ours.mapping(z).clone()
    rows[0, 1:] = rows[1, 1:]  # a mix
    noise = noise_of(ours)
    assert 0.2 < noise.std() < 0.4
    assert noise.min() >= 0
    assert noise.max() <= 1
    theirs = torch.cat([picture(p, row, noise) for row in rows])
    drawn = (ours.synthesis(rows) + 1) / 2
    assert theirs.shape == drawn.shape
    assert theirs.std() > 0.1
    assert (drawn - theirs).abs().max() < 1e-4 * theirs.abs().max()
    assert (theirs[0] - theirs[1]).abs().max() > 0.01


def test_the_first_map_can_be_made_of_w(saved):
    """There it is made of the mean of all styles, which here has a row of its own."""
    content = checkpoint(no_const=True)
    ours = model(import_file(saved(content)))
    assert ours.num_ws == 5
    blocks = ours.mapping(torch.randn(2, 16))[:, 1:].clone()
    blocks[0, 2:] = blocks[1, 2:]  # a mix
    drawn = (ours.synthesis(torch.cat([blocks.mean(dim=1, keepdim=True), blocks], dim=1)) + 1) / 2
    theirs = torch.cat([picture(content["GAN"], rows, noise_of(ours)) for rows in blocks])
    assert theirs.std() > 0.1
    assert (drawn - theirs).abs().max() < 1e-4 * theirs.abs().max()
    same = ours.mapping(torch.randn(1, 16))
    assert torch.equal(same[:, 0], same[:, 1])


def test_transparent_pictures_stand_on_white(saved):
    content = checkpoint(transparent=True)
    found = import_file(saved(content))
    assert any("on white" in note for note in found.notes)
    ours = model(found)
    rows = ours.mapping(torch.randn(1, 16))
    theirs = picture(content["GAN"], rows[0], noise_of(ours)).clamp(0, 1)
    assert theirs.shape[1] == 4
    assert theirs[:, 3].std() > 0.05
    seen = theirs[:, :3] * theirs[:, 3:] + 1 - theirs[:, 3:]
    assert ((ours.synthesis(rows) + 1) / 2 - seen).abs().max() < 1e-3


def test_without_noise_its_mean_remains(saved):
    content = checkpoint()
    ours = model(import_file(saved(content)))
    rows = ours.mapping(torch.randn(1, 16))
    theirs = picture(content["GAN"], rows[0], torch.full((32, 32), 0.5))
    assert ((ours.synthesis(rows, noise_mode="none") + 1) / 2 - theirs).abs().max() < 1e-4 * theirs.abs().max()


def test_it_is_explored_mixed_and_walked(saved, tmp_path):
    library = Library([tmp_path / "models"])
    info = import_checkpoint(library, saved(checkpoint()))
    assert info.id == "flowers-model_12"
    assert info.thumbnail
    assert info.resolution == 32
    with Engine(library, device="cpu") as engine:
        pictures = [
            engine.render(Recipe(model=info.id, seeds=seeds, psi=0.8))
            for seeds in ((SeedWeight(1),), (SeedWeight(2),), (SeedWeight(1, 0.5), SeedWeight(2, 0.5)), (SeedWeight(1),))
        ]
    assert np.array_equal(pictures[0], pictures[3])
    assert not np.array_equal(pictures[0], pictures[2])
    assert pictures[0].shape == (32, 32, 3)
    assert pictures[0].std() > 5


def test_its_config_tells_the_multiplier(saved):
    content = checkpoint()
    found = import_file(saved(content, {"lr_mlp": 0.05, "image_size": 32}))
    z = torch.randn(2, 16)
    assert (model(found).mapping(z)[:, 0] - mapping(content["GAN"], z, 0.05)).abs().max() < 1e-5
    with pytest.raises(StudioError, match="odd lr_mlp"):
        import_file(saved(content, {"lr_mlp": "0.1"}))
    assert not any("lr_mlp" in note for note in found.notes)
    assert any("could not be read" in note for note in import_file(saved(content, "[" * 9000)).notes)


def test_a_multiplier_that_nothing_tells_is_said_and_not_guessed_in_silence(saved):
    notes = import_file(saved(checkpoint())).notes
    assert any("lr_mlp" in note and "0.1" in note and ".config.json" in note for note in notes)


def test_the_mean_of_w_is_that_of_many_draws(saved):
    content = checkpoint()
    found = import_file(saved(content))
    w = mapping(content["GAN"], torch.randn(10_000, 16))
    assert (found.state_dict["mapping.w_avg"] - w.mean(dim=0)).abs().max() < 6 * (w.std(dim=0) / 100).max()
    psi = model(found).mapping(torch.randn(1, 16), None, 0.0)
    assert torch.allclose(psi[0, 0], found.state_dict["mapping.w_avg"])


def test_a_file_without_means_gives_its_last_state(saved):
    content = checkpoint()
    content["GAN"] = {k: v for k, v in content["GAN"].items() if not k.startswith(("SE.", "GE."))}
    found = import_file(saved(content))
    assert "no averaged generator" in found.notes[0]
    z = torch.randn(2, 16)
    assert (model(found).mapping(z)[:, 0] - mapping(content["GAN"], z, player="S.")).abs().max() < 1e-5


REFUSED = {
    "two ways to begin": ({"GE.to_initial_block.weight": torch.zeros(16, 64, 4, 4)}, "GE.initial_block"),
    "grey": ({"GE.blocks.0.to_rgb.conv.weight": torch.zeros(1, 32, 1, 1)}, "not in colour"),
    "transparent in one block": ({"GE.blocks.0.to_rgb.conv.weight": torch.zeros(4, 64, 1, 1)}, "not in colour"),
    "another blur": ({"GE.blocks.0.to_rgb.upsample.1.f": torch.ones(3)}, r"\(1, 2, 1\)"),
    "another attention": ({"GE.attns.1.0.fn.fn.to_k.weight": torch.zeros(512, 64, 1, 1)}, "no tensor 'GE.attns.1"),
    "more than ours": ({"GE.blocks.0.extra": torch.zeros(3)}, "GE.blocks.0.extra"),
    "odd channels": ({"GE.blocks.3.to_noise2.bias": torch.zeros(7)}, "do not follow"),
    "not finite": ({"GE.initial_conv.bias": torch.full((64,), torch.inf)}, "not finite"),
}


@pytest.mark.parametrize(("change", "named"), REFUSED.values(), ids=REFUSED.keys())
def test_what_does_not_fit_is_named(saved, change, named):
    content = checkpoint()
    content["GAN"] |= change
    with pytest.raises(StudioError, match=named):
        import_file(saved(content))
