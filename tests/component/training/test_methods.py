"""Every training method is a full member: it trains from a Plan, stops and continues exactly, and its pictures come from the engine."""

import copy
import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from studio.datasets.image_set import ImageSet
from studio.engine.engine import Engine
from studio.engine.recipe import ClassWeight, Edit, Mix, Recipe, SeedWeight
from studio.errors import StudioError
from studio.inference.model import load
from studio.models.folder import open_folder
from studio.models.library import Library
from studio.networks import get_family
from studio.outputs.sheets import walk_recipes
from studio.training.data.images import ImageBatch
from studio.training.growth import Growth
from studio.training.losses import LOSSES
from studio.training.methods import METHODS, get_method
from studio.training.objectives.adversarial import Adversarial
from studio.training.plan import Budget, Objective, Optimizer, Plan
from studio.training.plan_checks import check_plan, family_config
from studio.training.presets import preset_plan
from studio.training.trainer import train
from tests.component.training.test_trainer import numbers, same_state
from tests.unit.networks.toy import COLOURS, coloured_squares, covered_modes, ring, square_colours

STYLE = dict(z_dim=16, w_dim=16, channel_base=256, channel_max=16, mapping_layers=2)
TINY = {
    "stylegan2": STYLE,
    "stylegan": dict(STYLE, d_mapping_layers=2),
    "biggan": dict(ch=4, shared_dim=8, n_stats=2),
    "dcgan": dict(z_dim=8, ngf=4, ndf=4, label_dim=8),
    "gan": dict(z_dim=8, g_hidden=(16, 16), d_hidden=(16, 8), label_dim=8),
}


def tiny(name: str, pictures: Path, steps: int = 4, **changes) -> Plan:
    """The plan that the studio makes of a kind for 24 pictures, on a tiny network, for a few steps of 4 pictures."""
    plan = preset_plan("sketch", pictures=24, resolution=32, device="cpu", method=name)
    shown = 4 * plan.objective.n_critic / 1000
    plan = dataclasses.replace(
        plan,
        seed=5,
        precision="fp32",
        network={**plan.network, **TINY[plan.family]},
        data=dataclasses.replace(plan.data, path=str(pictures), mirror=True),
        optimizer=dataclasses.replace(plan.optimizer, batch=4),
        budget=Budget(kimg=steps * shown, log_kimg=shown, sample_kimg=2 * shown, snapshot_kimg=2 * shown, state_kimg=1),
        growth=Growth(start=8, fade_kimg=1.4 * shown, stable_kimg=0.0) if plan.growth.fade_kimg else Growth(),
    )
    return dataclasses.replace(plan, **changes)


def stop_after(steps: int):
    asked = iter([False] * steps + [True])
    return lambda: next(asked)


@pytest.mark.parametrize("kind", [k.name for k in METHODS if k.generates])
def test_it_trains_stops_and_goes_on_and_its_pictures_come_from_the_engine(kind, pictures, studio_home, tmp_path):
    plan = tiny(kind, pictures)
    whole = train(plan, tmp_path / "whole", device="cpu")
    train(plan, tmp_path / "parts", should_stop=stop_after(3), device="cpu")
    assert numbers(tmp_path / "parts")[-1]["step"] == 3
    if get_method(kind).progressive_growing:
        assert 0 < torch.load(tmp_path / "parts" / "state.pt")["objective"]["G"]["synthesis.grown"] % 1 < 1, "in the middle of a fade"
    train(plan, tmp_path / "parts", device="cpu")
    assert numbers(tmp_path / "whole") == numbers(tmp_path / "parts")
    assert same_state(tmp_path / "whole", tmp_path / "parts")
    explore(whole)


def explore(folder: Path, device: str = "cpu"):
    """What the pages do with a snapshot."""
    model = load(folder, device)
    with Engine(Library([folder.parent]), device=device, precision="fp32") as engine:
        one, two = (Recipe(model=folder.name, seeds=(SeedWeight(seed),), psi=0.7) for seed in (1, 2))
        classes = () if not model.c_dim else (ClassWeight(0, 0.5), ClassWeight(1, 0.5))
        edited = one.replace(edits=(Edit("random:0:0", 2.0),))
        recipes = [one, two, edited, one.replace(psi=0.0), one.replace(seeds=one.seeds + two.seeds, psi=1.0)]
        if model.num_ws > 1:
            recipes.append(one.replace(mixes=(Mix(2, (0, 1)),)))
        if model.c_dim:
            recipes += [one.replace(classes=(ClassWeight(1),)), one.replace(classes=classes)]
        recipes += walk_recipes(engine, [one, two], 3)[1:2]
        drawn = [engine.render(recipe) for recipe in recipes]
        assert all(picture.shape == (32, 32, 3) for picture in drawn)
        ws = torch.stack([engine.ws(recipe) for recipe in recipes])
        assert len({w.numpy().tobytes() for w in ws}) == len(recipes)
        for recipe, picture in zip(recipes, drawn, strict=True):
            assert np.array_equal(engine.submit("session", recipe).result(), picture), "cached layers change no byte"
        sampled = model.sample([1, 2], truncation_psi=0.7)
        assert np.abs(sampled.astype(int) - np.stack(drawn[:2])).max() <= 1
        if model.c_dim:
            blend = model.sample([1], classes=[[0.5, 0.5]], truncation_psi=0.7)[0]
            assert np.abs(blend.astype(int) - engine.render(one.replace(classes=classes))).max() <= 1
    # So few steps move a picture by less than a level; what the network gives tells them apart.
    with torch.inference_mode():
        pictures = torch.cat([model.network.synthesis(w[None].to(device)).cpu() for w in ws])
    assert torch.isfinite(pictures).all()
    assert torch.cdist(pictures.flatten(1), pictures.flatten(1)).fill_diagonal_(1).min() > 0
    assert (pictures[0] - pictures[2]).abs().max() > 1e-4, "the edit shows"
    if model.c_dim:
        away = [(pictures[i] - pictures[0]).abs().mean() for i in (-3, -2)]
        assert away[0] > 1e-4
        assert 0 < away[1] < away[0], "another class is another picture, and half of it lies between"


@pytest.mark.parametrize("kind", ["stylegan2", "stylegan", "biggan", "gan"])  # DCGAN with classes is a method of its own
def test_with_classes(kind, pictures, studio_home, tmp_path):
    plan = tiny(kind, pictures, steps=3)
    plan = dataclasses.replace(plan, data=dataclasses.replace(plan.data, conditional=True), growth=Growth())
    last = train(plan, tmp_path / "run", device="cpu")
    assert open_folder(last).classes == ("disc", "square")
    explore(last)


# -- parts of a step --------------------------------------------------------------------------------------------------


def game(plan: Plan, config=None, label_counts=()) -> Adversarial:
    """Both players of a plan, without files."""
    config = config or family_config(plan, None)
    return Adversarial(plan, config, list(label_counts), Accelerator(cpu=True), "fp32")


def plan_of(name: str, network: dict, growth: Growth = Growth(), objective: dict | None = None, **optimizer) -> Plan:
    """The plan of a method for many pictures, with some of its figures replaced."""
    plan = preset_plan("sketch", pictures=10**6, resolution=32, device="cpu", method=name)
    return dataclasses.replace(
        plan,
        network={**plan.network, **network},
        growth=growth,
        data=dataclasses.replace(plan.data, conditional=not growth.fade_kimg),
        objective=dataclasses.replace(plan.objective, **(objective or {})),
        optimizer=dataclasses.replace(plan.optimizer, **{"ema_kimg": 0.3, **optimizer}),
    )


@pytest.mark.parametrize(
    ("kind", "network"),
    [("wgan-gp", dict(TINY["dcgan"], g_norm="layer")), ("stylegan2", dict(STYLE, mbstd_num_channels=0, use_noise=False))],
)
def test_micro_batches_give_the_numbers_of_the_whole_batch(kind, network):
    """Where no layer looks across the batch. What a penalty draws for each micro-batch is left out."""
    rng = torch.Generator().manual_seed(0)
    reals = torch.rand(2, 8, 3, 32, 32, generator=rng) * 2 - 1
    plan = plan_of(kind, network, batch=8, kind="adam", objective=dict(gp_weight=0.0, r1_gamma=0.5, r1_interval=1, n_critic=2))
    told, states = [], []
    for size in (8, 4, 2):
        players = game(plan)
        batches = [
            [ImageBatch((k * 8 + i) // size, reals[k, i : i + size], torch.zeros(size, 0)) for i in range(0, 8, size)] for k in (0, 1)
        ]
        told.append([players.step(step, batches, step * 16) for step in range(2)])
        states.append(players.state_dict())
    for other, state in zip(told[1:], states[1:], strict=True):
        for a, b in zip(told[0], other, strict=True):
            assert a == pytest.approx(b, rel=1e-3, abs=1e-4)
        for player in ("G", "D"):
            worst = max((states[0][player][k].float() - v.float()).abs().max() for k, v in state[player].items())
            assert worst < 0.1 * plan.optimizer.lr_g, "far less than one step of Adam"


def test_each_turn_of_the_critic_is_shown_pictures_of_its_own(pictures, studio_home, tmp_path, monkeypatch):
    """Two turns of the critic a step, in two micro-batches each: every place in the order comes up once."""
    seen = []
    real_step = Adversarial.step

    def step(self, step, reals, images_seen):
        assert [batch.index for turn in reals for batch in turn] == [0, 1, 2, 3]
        seen.extend(batch.images for turn in reals for batch in turn)
        return real_step(self, step, reals, images_seen)

    monkeypatch.setattr(Adversarial, "step", step)
    plan = tiny("dcgan", pictures)
    plan = dataclasses.replace(
        plan,
        data=dataclasses.replace(plan.data, mirror=False),
        objective=dataclasses.replace(plan.objective, n_critic=2),
        optimizer=dataclasses.replace(plan.optimizer, batch=4, micro_batch=2),
        budget=Budget(kimg=0.024, log_kimg=1, sample_kimg=1, snapshot_kimg=1, state_kimg=1),
    )
    train(plan, tmp_path / "run", device="cpu")
    assert len(torch.cat(seen)) == 24
    assert len({picture.numpy().tobytes() for picture in torch.cat(seen)}) == 24, "all 24 pictures, each once"


@pytest.mark.parametrize("kind", ["wgan-gp", "wgan"])
def test_the_estimate_of_wassersteins_distance(kind):
    """A critic against a generator that stands still: above zero, and growing until it holds the difference."""
    plan = plan_of(kind, TINY["dcgan"], batch=8, lr_g=1e-12, lr_d=1e-3)
    players, rng = game(plan), torch.Generator().manual_seed(0)
    told = []
    for step in range(12):
        reals = [[ImageBatch(k, coloured_squares(8, rng)[0], torch.zeros(8, 0))] for k in range(plan.objective.n_critic)]
        told.append(players.step(step, reals, step * 40)["wasserstein"])
    assert min(told[3:]) > 0
    assert np.mean(told[-3:]) > 2 * abs(told[0])
    assert "wasserstein" not in game(plan_of("dcgan", TINY["dcgan"])).step(0, [[ImageBatch(0, reals[0][0].images, reals[0][0].c)]], 0)


def test_wrong_classes_are_no_right_ones_and_hang_on_no_micro_batch():
    plan = plan_of("dcgan", TINY["dcgan"], batch=64, objective=dict(mismatch=0.5))
    players = game(plan, family_config(plan, None, 3), (1, 1, 1))
    c = torch.eye(3)[torch.arange(64) % 3]
    whole = players._wrong_classes(5, ImageBatch(0, c, c))
    assert (whole.sum(dim=1) == 1).all()
    assert not (whole * c).any()
    assert {(i % 3, int(k)) for i, k in enumerate(whole.argmax(dim=1))} == {(a, b) for a in range(3) for b in range(3) if a != b}
    parts = [players._wrong_classes(5, ImageBatch(i, c[i * 16 : i * 16 + 16], c[i * 16 : i * 16 + 16])) for i in range(4)]
    assert torch.equal(torch.cat(parts), whole)
    assert not torch.equal(players._wrong_classes(6, ImageBatch(0, c, c)), whole)


def test_with_mismatch_a_picture_under_a_wrong_class_is_found_false():
    """Against a generator that stands still: without it such pictures pass, as nothing like them was made."""

    def found_false(mismatch: float) -> float:
        plan = plan_of("dcgan", TINY["dcgan"], batch=16, lr_g=1e-12, lr_d=0.002, objective=dict(mismatch=mismatch))
        players, rng = game(plan, family_config(plan, None, 2), (1, 1)), torch.Generator().manual_seed(0)
        for step in range(40):
            pictures, labels = coloured_squares(16, rng)
            players.step(step, [[ImageBatch(0, pictures, torch.eye(2)[labels])]], step * 16)
        pictures, labels = coloured_squares(64, rng)
        with torch.no_grad():
            assert (players.D(pictures, torch.eye(2)[labels]) > 0).float().mean() > 0.8
            return float((players.D(pictures, torch.eye(2)[1 - labels]) < 0).float().mean())

    assert found_false(0.5) > 0.9
    assert found_false(0.0) < 0.5


@pytest.mark.parametrize(
    ("kind", "network", "lr"), [("dcgan", TINY["dcgan"], 0.01), ("gan", TINY["gan"], 0.1), ("biggan", dict(ch=4, n_stats=2), 0.01)]
)
def test_an_average_is_shown_with_batch_statistics_of_its_own(kind, network, lr):
    """Not with those of the generator that trains, and looking at it changes no later step."""
    plan = plan_of(kind, network, batch=8, lr_g=lr, lr_d=lr, ema_rampup=0.0)  # an average far behind
    looked_at, left_alone = game(plan), game(plan)
    rng = torch.Generator().manual_seed(0)
    for step in range(8):
        reals = [[ImageBatch(0, coloured_squares(8, rng)[0], torch.zeros(8, 0))]]
        told = [players.step(step, reals, step * 8) for players in (looked_at, left_alone)]
        assert told[0] == told[1]
        if step in (2, 6):
            list(looked_at.fixed_samples(2))
    z = torch.randn(512, looked_at.config.z_dim, generator=rng)
    with torch.no_grad():
        stale = left_alone.ema(z)  # the average's weights with the statistics of the other
        itself = copy.deepcopy(left_alone.ema).train()(z)  # normed by this very batch
        shown = get_family(plan.family).generator(looked_at.config).eval()
        shown.load_state_dict(looked_at.networks()[0])
        off = (shown(z) - itself).abs().mean()
    assert off < 0.5 * (stale - itself).abs().mean(), "it is the average's own"
    left_alone.networks()
    one, two = looked_at.state_dict(), left_alone.state_dict()
    for player in ("G", "D", "ema"):
        assert all(torch.equal(tensor, two[player][name]) for name, tensor in one[player].items())


# -- plans that make no sense -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "changes", "words"),
    [
        ("wgan-gp", dict(network=dict(d_norm="batch")), "batch norm ties"),
        ("dcgan", dict(objective=Objective(gp_weight=10, r1_gamma=0)), "batch norm ties"),
        ("gan", dict(optimizer=Optimizer(batch=4, micro_batch=1)), "one at a time"),
        ("gan", dict(optimizer=Optimizer(batch=1)), "one at a time"),
        ("biggan", dict(optimizer=Optimizer(batch=4, micro_batch=1)), "one at a time"),
        ("projected", dict(data="classes"), "does not know classes"),
        ("dcgan", dict(growth=Growth(fade_kimg=0.001, stable_kimg=0.001)), "does not grow"),
        ("stylegan2", dict(growth=Growth(fade_kimg=0.001, stable_kimg=0.001)), "does not grow"),
        ("stylegan", dict(growth=Growth(fade_kimg=100.0)), "never grow to 32"),
        ("stylegan", dict(growth=Growth(fade_kimg=0.016, start=16, stable_kimg=0.0)), "never grow to 32"),
        ("stylegan2", dict(optimizer=Optimizer(batch=6)), "groups of 4"),
        ("dcgan", dict(objective=Objective(pl_weight=2.0, r1_gamma=0)), "no latent w"),
        ("dcgan", dict(objective=Objective(loss="what")), "no loss"),
        ("dcgan", dict(optimizer=Optimizer(batch=1, micro_batch=0), network=dict(g_norm="batch", d_norm="none")), "one at a time"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused_before_any_work(kind, changes, words, pictures, studio_home, tmp_path, monkeypatch):
    monkeypatch.setattr(ImageSet, "open", lambda *_, **__: pytest.fail("the pictures were opened"))
    plan = tiny(kind, pictures)
    if changes.get("data") == "classes":
        changes = dict(data=dataclasses.replace(plan.data, conditional=True))
    with pytest.raises(StudioError, match=words) as e:
        train(dataclasses.replace(plan, **changes), tmp_path / "run", device="cpu")
    assert e.value.hint
    assert not (tmp_path / "run" / "plan.toml").exists()


def test_odd_plans_that_do_make_sense_are_not_refused(pictures):
    for kind, changes in (
        ("dcgan", dict(objective=Objective(clip=0.01, r1_gamma=0))),
        ("dcgan", dict(objective=Objective(r1_gamma=1.0))),
        ("hinge", dict(objective=Objective(gp_weight=1.0, r1_gamma=0))),
        ("gan", dict(optimizer=Optimizer(batch=1), network=dict(batch_norm=False))),
        ("stylegan2", dict(optimizer=Optimizer(batch=3))),
        ("stylegan2", dict(optimizer=Optimizer(batch=6), network=dict(mbstd_num_channels=0))),
    ):
        plan = dataclasses.replace(tiny(kind, pictures), **changes)
        check_plan(plan, family_config(plan, None))


# -- learning ---------------------------------------------------------------------------------------------------------


def away(plan: Plan, monkeypatch) -> Plan:
    """The plan broken: the generator is paid for being found out."""
    loss = LOSSES[plan.objective.loss]
    monkeypatch.setitem(LOSSES, plan.objective.loss, dataclasses.replace(loss, g=lambda fake, real: -loss.g(fake, real)))
    return plan


def learned_modes(plan: Plan, steps: int) -> int:
    """How many of the ring's eight Gaussians a fully connected GAN has found."""
    hidden = dict(z_dim=8, g_hidden=(64, 64), d_hidden=(64, 64))
    players = game(plan, get_family("gan").config(resolution=1, img_channels=2, output="linear", **hidden))
    rng, batch = torch.Generator().manual_seed(plan.seed), plan.optimizer.batch
    for step in range(steps):
        players.step(step, [[ImageBatch(0, ring(batch, rng), torch.zeros(batch, 0))]], step * batch)
    return covered_modes(torch.cat(list(players.fixed_samples(1000))))


RING = Plan(
    family="gan",
    seed=1,
    objective=Objective(r1_gamma=0.1, r1_interval=1),
    optimizer=Optimizer(batch=128, lr_g=3e-3, lr_d=3e-3, beta1=0.5, ema_kimg=4),
)


def test_a_gan_learns_the_ring():
    assert learned_modes(RING, 1000) >= 6


def test_a_broken_gan_does_not_learn_the_ring(monkeypatch):
    assert learned_modes(away(RING, monkeypatch), 1000) < 3


def colour_error(plan: Plan, steps: int) -> float:
    """How far the mean colour of the squares of each class is from the data's, at most, in [0, 2]; without classes all are orange."""
    c_dim = 2 if plan.data.conditional else 0
    players, rng = game(plan, family_config(plan, None, c_dim), (1,) * c_dim), torch.Generator().manual_seed(plan.seed)
    size = plan.optimizer.batch

    def shown(turn: int) -> list[ImageBatch]:
        pictures, labels = coloured_squares(size if c_dim else 6 * size, rng)
        return [
            ImageBatch(turn, pictures if c_dim else pictures[labels == 0][:size], torch.eye(2)[labels] if c_dim else torch.zeros(size, 0))
        ]

    for step in range(steps):
        players.step(step, [shown(turn) for turn in range(plan.objective.n_critic)], step * plan.pictures_a_step)
    network = get_family(plan.family).generator(players.config).eval()
    network.load_state_dict(players.networks()[0])
    with torch.no_grad():
        z = torch.randn(32, network.z_dim, generator=torch.Generator().manual_seed(9))
        classes = [torch.eye(c_dim)[[k] * 32] for k in range(c_dim)] or [None]
        means = [square_colours(network(z, c)).mean(dim=0) for c in classes]
    return float((torch.stack(means) - torch.tensor(COLOURS)[: len(means)]).abs().max())


_DC = dict(z_dim=16, ngf=8, ndf=8, label_dim=16)
# What learns -> its plan, on a tiny network and with quick rates, and steps. All but StyleGAN, which grows, learn two classes.
SQUARES = {
    "dcgan": (plan_of("dcgan", _DC, batch=16, lr_g=0.002, lr_d=0.001), 150),
    "lsgan": (plan_of("lsgan", _DC, batch=16, lr_g=0.001, lr_d=0.001), 280),
    "hinge": (plan_of("hinge", _DC, batch=16, lr_g=0.002, lr_d=0.002), 150),
    "wgan-gp": (plan_of("wgan-gp", _DC, batch=16, lr_g=0.002, lr_d=0.002), 100),
    "wgan": (plan_of("wgan", _DC, batch=16, lr_g=0.002, lr_d=0.001), 250),
    "biggan": (plan_of("biggan", dict(ch=4, shared_dim=8, n_stats=1), batch=16, lr_g=0.002, lr_d=0.004), 80),
    "stylegan2": (plan_of("stylegan2", STYLE, batch=16, lr_g=0.005, lr_d=0.005), 80),
    "stylegan": (plan_of("stylegan", STYLE, Growth(8, 0.24, 0.16), dict(r1_gamma=2.0, r1_interval=4), batch=16, lr_g=0.01, lr_d=0.01), 150),
}
FAMILIES = ("dcgan", "biggan", "stylegan2", "stylegan")
QUICK = ("dcgan", "stylegan2")


@pytest.mark.parametrize("name", [n if n in FAMILIES else pytest.param(n, marks=pytest.mark.slow) for n in SQUARES])
def test_it_learns_the_colours(name):
    assert colour_error(*SQUARES[name]) < 0.35


@pytest.mark.parametrize("name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in FAMILIES])
def test_broken_it_does_not_learn_the_colours(name, monkeypatch):
    plan, steps = SQUARES[name]
    assert colour_error(away(plan, monkeypatch), steps) > 0.5
