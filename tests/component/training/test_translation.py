"""Learning to turn pictures into others, on worlds so small that it shows within seconds."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import studio
from studio.errors import StudioError
from studio.models.folder import open_folder
from studio.training.data.translation import TranslationBatch
from studio.training.events import read_events
from studio.training.objectives.contrastive import patch_nce
from studio.training.objectives.cycle import ImagePool
from studio.training.plan import Augment, Budget, Card, Data, Objective, Optimizer, Plan
from studio.training.trainer import train
from tests.component.training.test_trainer import numbers, same_state

ORANGE, TEAL, DARK = (230, 120, 40), (40, 190, 170), (50, 50, 80)
NETWORK = dict(net="resnet_6blocks", ngf=8, ndf=8, n_layers=1)
RARELY = dict(log_kimg=0.05, sample_kimg=100, snapshot_kimg=100, state_kimg=100)


def squares(folder: Path, colour, seed: int, count: int = 16) -> Path:
    """Squares of one colour at random places on a dark ground."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for i in range(count):
        x = np.full((16, 16, 3), DARK, np.uint8)
        top, left = rng.integers(1, 8, 2)
        x[top : top + 7, left : left + 7] = colour
        Image.fromarray(x).save(folder / f"{i}.png")
    return folder


@pytest.fixture
def sides(tmp_path) -> tuple[Path, Path]:
    return squares(tmp_path / "orange", ORANGE, 0), squares(tmp_path / "teal", TEAL, 1)


def cycle_plan(sides, steps: int, **changes) -> Plan:
    plan = Plan(
        family="cyclegan",
        precision="fp32",
        data=Data(path=str(sides[0]), path_b=str(sides[1]), resolution=16, mirror=True),
        network=NETWORK,
        objective=Objective(loss="least_squares", lambda_cycle=5.0),
        optimizer=Optimizer(batch=2, lr_g=0.003, lr_d=0.003, beta1=0.5, beta2=0.999, ema_kimg=0.1),
        budget=Budget(kimg=steps * 2 / 1000, **RARELY),
        card=Card(title="Orange and teal", licence="CC0-1.0"),
    )
    return dataclasses.replace(plan, **changes)


def error(model: Path, direction: str, folder: Path) -> float:
    """How far translated squares are from the other colour at the same place, the ground from what it was: the larger mean, in
    levels of 255. A copy is about 130 off."""
    model, goal, found = studio.load(model, device="cpu"), TEAL if direction == "AtoB" else ORANGE, []
    for file in sorted(folder.iterdir())[:8]:
        with Image.open(file) as image:
            x, y = np.asarray(image).astype(int), np.asarray(model.translate(image, direction)).astype(int)
        square = (x != np.array(DARK)).any(axis=2)
        found.append([abs(y - goal)[square].mean(), abs(y - DARK)[~square].mean()])
    return float(np.mean(found, axis=0).max())


# -- unpaired ---------------------------------------------------------------------------------------------------------


def test_two_colours_are_swapped_without_pairs(sides, studio_home, tmp_path):
    told = []
    model = train(cycle_plan(sides, 80), tmp_path / "run", on_event=told.append, device="cpu")
    assert error(model, "AtoB", sides[0]) < 40
    assert error(model, "BtoA", sides[1]) < 40
    # What people see: six rows, a model folder with both directions, a card that names both sets and no place on this machine.
    sheets = [e for e in told if e["type"] == "sample"]
    assert sheets[-1]["rows"] == ["A", "A->B", "A->B->A", "B", "B->A", "B->A->B"]
    with Image.open(tmp_path / "run" / sheets[-1]["path"]) as sheet:
        assert sheet.size == (128, 96)
    assert told[0]["pictures"] == told[0]["pictures_b"] == 16
    info = open_folder(model)
    assert info.thumbnail
    assert Image.open(info.thumbnail).size == (64, 64)
    assert info.config["directions"] == "both"
    card, plan = ((model / name).read_text() for name in ("README.md", "plan.toml"))
    assert "image-to-image" in card
    assert "Pictures of the other side" in card
    assert str(tmp_path) not in card + plan
    assert Plan.load(tmp_path / "run" / "plan.toml").data.hash_b in plan
    # Going on from it, and in one direction alone.
    again = dataclasses.replace(cycle_plan(sides, 2), base=str(model), network={})
    assert error(train(again, tmp_path / "again", device="cpu"), "AtoB", sides[0]) < 60


@pytest.mark.parametrize("broken", ["no learning rate", "no cycle"])
def test_the_same_check_fails_for_a_training_that_is_broken(sides, studio_home, tmp_path, broken):
    changes = dict(optimizer=Optimizer(batch=2, lr_g=1e-9, lr_d=1e-9))
    if broken == "no cycle":
        changes = dict(objective=Objective(loss="least_squares", lambda_cycle=0.0))
    model = train(cycle_plan(sides, 80 if broken == "no cycle" else 20, **changes), tmp_path / "run", device="cpu")
    assert error(model, "AtoB", sides[0]) > 40 or error(model, "BtoA", sides[1]) > 40


def test_contrast_between_patches_holds_the_content(sides, studio_home, tmp_path):
    plan = cycle_plan(
        sides,
        120,
        network={**NETWORK, "directions": "AtoB"},
        objective=Objective(loss="least_squares", unpaired="contrastive", lambda_identity=0.0),
    )
    plan = dataclasses.replace(plan, optimizer=dataclasses.replace(plan.optimizer, lr_g=0.002, lr_d=0.002))
    told = []
    model = train(plan, tmp_path / "run", on_event=told.append, device="cpu")
    assert error(model, "AtoB", sides[0]) < 60
    assert "nce" in told[-4]
    assert studio.load(model, device="cpu").directions == ("AtoB",)
    assert next(e["rows"] for e in told if e["type"] == "sample") == ["A", "A->B"]


def test_patch_nce_by_hand():
    q, k = (torch.nn.functional.normalize(torch.randn(2, 3, 4), dim=2) for _ in range(2))
    total = 0.0
    for n in range(2):
        for p in range(3):
            scores = torch.tensor([float((q[n, p] * k[n, j]).sum()) / 0.07 for j in range(3)])
            total -= float(scores[p] - scores.exp().sum().log())
    assert float(patch_nce(q, k)) == pytest.approx(total / 6, rel=1e-4)


def test_the_pool_reminds_of_earlier_pictures():
    rng, pool = torch.Generator().manual_seed(0), ImagePool(4)
    made = [torch.full((1, 3, 2, 2), float(i)) for i in range(400)]
    seen = [int(pool.query(x, rng)[0, 0, 0, 0]) for x in made]
    assert seen[:4] == [0, 1, 2, 3], "as long as it fills, what comes goes"
    old = sum(s != i for i, s in enumerate(seen)) / 396
    assert 0.42 < old < 0.58
    assert len(pool.images) == 4
    assert len(set(seen[4:])) == 396, "a picture of old is shown once more, then forgotten"
    assert torch.equal(ImagePool(0).query(made[7], rng), made[7])


# -- exactly --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["cycle, pools, dropout, batch norm", "contrastive", "paired"])
def test_stopping_anywhere_changes_nothing(sides, studio_home, tmp_path, kind):
    plan = cycle_plan(sides, 10, budget=Budget(kimg=0.02, log_kimg=0.002, sample_kimg=0.01, snapshot_kimg=1, state_kimg=1))
    plan = dataclasses.replace(plan, data=dataclasses.replace(plan.data, load_size=18))
    if kind.startswith("cycle"):
        network = {**NETWORK, "dropout": True, "norm": "batch"}
        plan = dataclasses.replace(plan, objective=Objective(loss="least_squares", pool=3), network=network)
    elif kind == "contrastive":
        plan = dataclasses.replace(plan, objective=Objective(unpaired="contrastive"), network={**NETWORK, "directions": "AtoB"})
    else:
        plan = dataclasses.replace(plan, family="pix2pix")
    train(plan, tmp_path / "whole", device="cpu")
    for _ in range(20):
        asked = iter([False, False, False, True])
        train(plan, tmp_path / "parts", should_stop=lambda asked=asked: next(asked), device="cpu")
        if numbers(tmp_path / "parts")[-1]["type"] == "done":
            break
    whole, parts = ([e for e in numbers(tmp_path / name) if e["type"] == "step"] for name in ("whole", "parts"))
    assert whole == parts
    assert len(whole) == 10
    assert same_state(tmp_path / "whole", tmp_path / "parts")
    if kind.startswith("cycle"):
        assert torch.load(tmp_path / "parts" / "state.pt", weights_only=True)["objective"]["pools"]["A"].shape == (3, 3, 16, 16)


def test_two_processes_train_as_one(sides, tmp_path):
    """The pools are filled by both."""
    plan = cycle_plan(sides, 8, objective=Objective(loss="least_squares", pool=3))
    plan = dataclasses.replace(
        plan,
        optimizer=Optimizer(batch=4, micro_batch=2, lr_g=0.002, lr_d=0.002, beta1=0.5),
        budget=Budget(kimg=0.024, **{**RARELY, "log_kimg": 0.004}),
    )
    (tmp_path / "plan.toml").write_text(plan.to_toml())
    environment = {**os.environ, "STUDIO_HOME": str(tmp_path / "home")}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", "studio", "train"]
    command += [str(tmp_path / "plan.toml"), "--out", str(tmp_path / "two"), "--device", "cpu"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    train(plan, tmp_path / "one", device="cpu")
    one, two = ([e for e in numbers(tmp_path / run) if e.pop("type") == "step"] for run in ("one", "two"))
    assert len(one) == 6
    assert numbers(tmp_path / "two")[0]["processes"] == 2
    for a, b in zip(one, two, strict=True):
        assert a == pytest.approx(b, rel=1e-3, abs=1e-4)
    pools = [torch.load(tmp_path / run / "state.pt", weights_only=True)["objective"]["pools"] for run in ("one", "two")]
    assert all(float((pools[0][s] - pools[1][s]).abs().max()) < 0.02 for s in "AB")


def test_rates_fall_in_a_line_to_nothing(sides, studio_home, tmp_path):
    from accelerate import Accelerator

    from studio.networks.translation.cyclegan import CycleGANConfig
    from studio.training.objectives.cycle import Cycle

    plan = cycle_plan(sides, 50, objective=Objective(loss="least_squares", decay_from=0.6))  # of 100 pictures
    cycle = Cycle(plan, CycleGANConfig(resolution=16, **NETWORK), [], Accelerator(cpu=True), "fp32")
    for seen, factor in ((0, 1), (60, 1), (70, 0.75), (90, 0.25), (100, 0), (120, 0)):
        cycle._set_rates(seen)
        for optimizer in (cycle.opt_g, cycle.opt_d):
            assert optimizer.param_groups[0]["lr"] == pytest.approx(0.003 * factor)


def test_the_way_from_b_over_a_can_weigh_less(sides):
    from accelerate import Accelerator

    from studio.networks.translation.cyclegan import CycleGANConfig
    from studio.training.objectives.cycle import Cycle

    batch = TranslationBatch(0, *torch.rand(2, 1, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1)

    def cycle(share: float) -> float:
        plan = cycle_plan(sides, 2, objective=Objective(loss="least_squares", lambda_identity=0.0, cycle_b=share))
        game, told = Cycle(plan, CycleGANConfig(resolution=16, **NETWORK), [], Accelerator(cpu=True), "fp32"), {}
        game._generator_loss(batch, 0, lambda name, value: told.setdefault(name, value))
        return float(told["cycle"].detach())

    alone, tenth, both = cycle(0.0), cycle(0.1), cycle(1.0)
    assert 0 < alone < both
    assert tenth == pytest.approx(alone + 0.1 * (both - alone), rel=1e-5)


# -- pairs ------------------------------------------------------------------------------------------------------------


def blocks(folder: Path, count: int, change=lambda x: x, rename=lambda i: i) -> Path:
    """Random patterns of large pixels, 128 px wide, changed by a function of the colour."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(count):
        x = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8).repeat(16, 0).repeat(16, 1)
        Image.fromarray(change(x)).save(folder / f"{rename(i)}.png")
    return folder


def paired_plan(a: Path, b: Path | None, steps: int, **network) -> Plan:
    return Plan(
        family="pix2pix",
        precision="fp32",
        data=Data(path=str(a), path_b=str(b) if b else "", resolution=128),
        network={**dict(net="unet_128", ngf=4, ndf=4, dropout=False), **network},
        objective=Objective(decay_from=1.0),
        optimizer=Optimizer(batch=2, lr_g=0.004, lr_d=0.001, beta1=0.5, beta2=0.999, ema_kimg=0.02),
        budget=Budget(kimg=steps * 2 / 1000, **RARELY),
    )


def negative(x):
    return 255 - x[:, :, ::-1]


def paired_error(model: Path, a: Path, b: Path) -> float:
    model, found = studio.load(model, device="cpu"), []
    for i in range(4):
        with Image.open(a / f"{i}.png") as x, Image.open(b / f"{i}.png") as y:
            found.append(abs(np.asarray(model.translate(x)).astype(int) - np.asarray(y)).mean())
    return float(np.mean(found))


def test_a_map_of_colours_is_learned_from_pairs(studio_home, tmp_path):
    """Wrong pairs do not teach it."""
    a, b = blocks(tmp_path / "a", 12), blocks(tmp_path / "b", 12, negative)
    wrong = blocks(tmp_path / "wrong", 12, negative, lambda i: (i + 1) % 12)
    Image.new("RGB", (8, 8)).save(a / "alone.png")
    told = []
    model = train(paired_plan(a, b, 80), tmp_path / "run", on_event=told.append, device="cpu")
    assert paired_error(model, a, b) < 30
    assert (told[0]["pairs"], told[0]["strays"], told[0]["strays_a"], told[0]["strays_b"]) == (12, 1, ["alone.png"], [])
    assert next(e["rows"] for e in told if e["type"] == "sample") == ["A", "A->B", "B"]
    assert paired_error(train(paired_plan(a, wrong, 80), tmp_path / "broken", device="cpu"), a, b) > 50


def test_pairs_made_of_one_folder(studio_home, tmp_path):
    a = blocks(tmp_path / "a", 9)
    for transform in ("grey", "edges"):
        told = []
        model = train(paired_plan(a, None, 2, transform=transform), tmp_path / transform, on_event=told.append, device="cpu")
        sheet = next(e["path"] for e in told if e["type"] == "sample")
        with Image.open(tmp_path / transform / sheet) as image:
            given, wanted = (np.asarray(image)[row * 128 : (row + 1) * 128].astype(int) for row in (0, 2))
        assert abs(given[..., 0] - given[..., 1]).max() <= 1
        assert abs(wanted[..., 0] - wanted[..., 1]).max() > 50
        assert open_folder(model).config["transform"] == transform
        assert "pairs" not in told[0]


def test_pairs_are_cut_and_flipped_alike(tmp_path, studio_home):
    from studio.datasets.image_set import ImageSet
    from studio.networks.translation.cyclegan import CycleGANConfig
    from studio.networks.translation.pix2pix import Pix2PixConfig
    from studio.training.data.translation import TranslationData

    folder = tmp_path / "noise"
    folder.mkdir()
    for i in range(5):
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (20, 20, 3), dtype=np.uint8)).save(folder / f"{i}.png")
    images = ImageSet.open(folder, 20, tmp_path / "cache")
    plan = Plan(data=Data(path="a", path_b="b", resolution=16, load_size=20, mirror=True))
    config, cpu = dict(net="resnet_6blocks", resolution=16, discriminator="pixel"), torch.device("cpu")
    pairs = TranslationData(plan, Pix2PixConfig(**config), images, images, True, cpu)
    heaps = TranslationData(plan, CycleGANConfig(**config), images, images, False, cpu)
    seen = []
    for step in range(12):
        batch = pairs.batch(step, 0, step * 3, 3)
        assert torch.equal(batch.a, batch.b)
        assert batch.a.shape == (3, 3, 16, 16)
        assert torch.equal(pairs.batch(step, 0, step * 3, 3).a, batch.a)
        seen += [((batch.a[0] + 1) * 127.5).round().permute(1, 2, 0).numpy().astype(np.uint8)]
        other = heaps.batch(step, 0, step * 3, 3)
        assert not torch.equal(other.a, other.b)
    # Each is a part of one of the pictures, upright or flipped, and not always the same part.
    places = set()
    for x in seen:
        for i, whole in enumerate(images.array):
            for top in range(5):
                for left in range(5):
                    part = whole[top : top + 16, left : left + 16]
                    places |= {(i, top, left, flip) for flip, y in ((0, part), (1, part[:, ::-1])) if np.array_equal(x, y)}
    assert len(places) >= 9
    assert {p[3] for p in places} == {0, 1}
    assert len({p[1] for p in places}) > 1


# -- both sides are measured, and what cannot be trained is told ---------------------------------------------------------


def test_both_directions_are_measured_against_the_other_side(sides, studio_home, tmp_path):
    plan = cycle_plan(sides, 1, budget=Budget(kimg=0.002, metric_images=12, **RARELY))
    told = []
    model = train(plan, tmp_path / "run", on_event=told.append, device="cpu")
    snapshot = next(e for e in told if e["type"] == "snapshot")
    assert np.isfinite([snapshot["kid"], snapshot["kid_b2a"]]).all()
    assert snapshot["kid_images"] == 12
    assert "A to B" in (model / "README.md").read_text()
    assert "B to A" in (model / "README.md").read_text()


def test_what_cannot_be_trained_is_told(sides, pictures, studio_home, tmp_path):
    good, one = cycle_plan(sides, 1), cycle_plan((sides[0], ""), 1)
    pix2pix = dataclasses.replace(good, family="pix2pix")
    stylegan = Plan(data=dataclasses.replace(good.data, mirror=False))
    elsewhere = squares(tmp_path / "else" / "deep", TEAL, 0)
    for file in elsewhere.iterdir():
        file.rename(file.with_name(f"x{file.name}"))

    def with_(plan, part, **changes):
        return dataclasses.replace(plan, **{part: dataclasses.replace(getattr(plan, part), **changes)})

    for bad, words in (
        (one, "only one folder"),
        (dataclasses.replace(one, family="pix2pix"), "only one folder"),
        (with_(good, "data", path_b=str(tmp_path / "none")), "nothing at"),
        (with_(good, "data", hash_b="0" * 64), "teal are not the ones"),
        (with_(pix2pix, "data", path_b=str(elsewhere)), "partner"),
        (with_(pix2pix, "data", crop="smart"), "smart crop"),
        (dataclasses.replace(pix2pix, network={**NETWORK, "transform": "grey"}), "second folder"),
        (stylegan, "families that translate"),
        (with_(good, "data", conditional=True), "does not learn classes"),
        (with_(good, "data", resolution=18), "multiple of 4"),
        (with_(good, "objective", loss="wasserstein"), "not trained with the loss"),
        (with_(good, "objective", loss="what"), "no loss"),
        (with_(good, "objective", gp_weight=1.0), "no meaning"),
        (dataclasses.replace(good, augment=Augment("diffaugment")), "without"),
        (with_(good, "objective", unpaired="contrastive"), "one direction"),
        (dataclasses.replace(good, network={**NETWORK, "directions": "AtoB"}), "both directions"),
        (dataclasses.replace(good, network={**NETWORK, "input_channels": 1}), "identity"),
        (dataclasses.replace(good, network={**NETWORK, "c_dim": 3}), "not a setting"),
    ):
        with pytest.raises(StudioError, match=words):
            train(bad, tmp_path / "bad", device="cpu")
        (tmp_path / "bad" / "plan.toml").unlink(missing_ok=True)
    for changes in (dict(pool=-1), dict(decay_from=1.5), dict(lambda_l1=-1.0), dict(unpaired="hope")):
        with pytest.raises(StudioError, match="The plan's objective"):
            Objective(**changes) and dataclasses.replace(good, objective=Objective(**changes))
    with pytest.raises(StudioError, match="load_size"):
        with_(good, "data", load_size=8)


def test_plans_of_old_stay_what_they_were(tmp_path):
    """A plan without the new settings is read as before, and both paths count from its folder."""
    plan = Plan.from_toml('[data]\npath = "a"\npath_b = "b"\n', tmp_path)
    assert (plan.data.path, plan.data.path_b) == (str(tmp_path / "a"), str(tmp_path / "b"))
    old = Plan.from_toml('family = "stylegan2"\n[data]\npath = "a"\n', tmp_path)
    assert old.data.path_b == ""
    assert Plan.from_toml(old.to_toml()) == old
    assert read_events(tmp_path / "none")[0] == []
