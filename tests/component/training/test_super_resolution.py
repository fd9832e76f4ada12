"""Learning to enlarge, on line drawings so small that it shows within seconds."""

import dataclasses
import functools
import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

import studio
from studio.common import download
from studio.datasets.full_size import FullSizeImages
from studio.errors import StudioError
from studio.metrics.psnr_ssim import psnr
from studio.metrics.weights import kept_at
from studio.models.folder import open_folder
from studio.networks import get_family
from studio.networks.backbones.vgg19 import VGG19Features
from studio.training import perceptual_loss
from studio.training.data.degradation import MODES, bicubic
from studio.training.data.patches import PatchData
from studio.training.plan import Budget, Card, Data, Objective, Optimizer, Plan
from studio.training.run_history import RunHistory
from studio.training.trainer import train
from tests.component.training.test_trainer import numbers, same_state

RARELY = dict(log_kimg=0.08, sample_kimg=100, snapshot_kimg=100, state_kimg=100)


@pytest.fixture
def drawings(tmp_path) -> Path:
    """Twenty drawings of dark lines on bright grounds, 80 x 70 px."""
    rng, folder = np.random.default_rng(0), tmp_path / "drawings"
    folder.mkdir()
    for i in range(20):
        image = Image.new("RGB", (320, 280), tuple(rng.integers(180, 255, 3).tolist()))
        draw = ImageDraw.Draw(image)
        for _ in range(25):
            draw.line(rng.integers(0, 320, 4).tolist(), fill=tuple(rng.integers(0, 120, 3).tolist()), width=int(rng.integers(3, 9)))
        image.resize((80, 70), Image.LANCZOS).save(folder / f"{i:02d}.png")
    return folder


def plan_for(drawings: Path, steps: int, **changes) -> Plan:
    plan = Plan(
        family="srvgg",
        precision="fp32",
        data=Data(path=str(drawings), resolution=32, mirror=True, held_back=0.2),
        network=dict(scale=2, width=16, convs=3, ndf=4),
        optimizer=Optimizer(batch=8, lr_g=0.003, lr_d=0.001, beta1=0.9, beta2=0.99, ema_kimg=0.1),
        budget=Budget(kimg=steps * 8 / 1000, **RARELY),
        card=Card(title="Lines x2", licence="CC0-1.0"),
    )
    return dataclasses.replace(plan, **changes)


def judged(**changes) -> Objective:
    return Objective(**{**dict(pretrain=0.5, lambda_adversarial=0.02, loss="relativistic_average"), **changes})


# -- it learns ----------------------------------------------------------------------------------------------------------


def test_lines_are_drawn_sharper_than_bicubic_draws_them(drawings, studio_home, tmp_path):
    told = []
    model = train(plan_for(drawings, 120), tmp_path / "run", on_event=told.append, device="cpu")
    snapshot = next(e for e in told if e["type"] == "snapshot")
    assert snapshot["psnr"] > snapshot["psnr_bicubic"] + 1
    assert snapshot["ssim"] > snapshot["ssim_bicubic"] + 0.05
    # What was held back is named, and was measured as one would measure it.
    held = told[0]["held_back"]
    assert held == [name for name, _, _ in snapshot["held_back"]]
    assert 1 <= len(held) < 20
    with Image.open(drawings / held[0]) as image:
        high = np.asarray(image)
    low = Image.fromarray(high).resize((40, 35), Image.BICUBIC)
    plain = psnr(np.asarray(low.resize((80, 70), Image.BICUBIC))[8:-8, 8:-8], high[8:-8, 8:-8])
    loaded = studio.load(model, device="cpu")
    with torch.inference_mode():
        x = torch.from_numpy(np.asarray(low).copy()).permute(2, 0, 1)[None] / 127.5 - 1
        made = loaded.network(x)[0].permute(1, 2, 0).mul(127.5).add(128).clamp(0, 255).byte().numpy()
    assert psnr(made[8:-8, 8:-8], high[8:-8, 8:-8]) > plain + 1
    assert snapshot["held_back"][0][2] == pytest.approx(plain, abs=0.7), "Pillow's border is another, its bicubic the same"
    # What people see.
    sheet = next(e for e in told if e["type"] == "sample")
    assert sheet["rows"] == ["low", "bicubic", "ours", "original"]
    with Image.open(tmp_path / "run" / sheet["path"]) as image:
        assert image.size == (8 * 32, 4 * 32)
    card = (model / "README.md").read_text()
    assert "image-to-image" in card
    assert "PSNR of brightness" in card
    assert held[0] in card
    assert "mean absolute difference" in card
    assert str(tmp_path) not in card + (model / "plan.toml").read_text()
    assert not (model / "discriminator.safetensors").exists()
    assert open_folder(model).thumbnail
    watch = RunHistory(tmp_path / "run").refresh()
    assert watch.snapshots[-1].values["psnr"] == snapshot["psnr"]
    assert {"l1", "psnr"} <= set(watch.curves)


@pytest.mark.parametrize("broken", ["no learning rate", "other originals"])
def test_the_same_check_fails_for_a_training_that_is_broken(drawings, studio_home, tmp_path, monkeypatch, broken):
    plan = plan_for(drawings, 120)
    if broken == "no learning rate":
        plan = dataclasses.replace(plan, optimizer=dataclasses.replace(plan.optimizer, lr_g=1e-9))
    else:  # small and large patches that do not belong together
        right = PatchData.batch
        monkeypatch.setattr(PatchData, "batch", lambda *a: dataclasses.replace(right(*a), high=right(*a).high.roll(1, dims=0)))
    told = []
    train(plan, tmp_path / "run", on_event=told.append, device="cpu")
    snapshot = next(e for e in told if e["type"] == "snapshot")
    assert not snapshot["psnr"] > snapshot["psnr_bicubic"] + 1


def test_the_second_part_is_judged_as_well(drawings, studio_home, tmp_path):
    told = []
    plan = plan_for(drawings, 60, objective=judged())
    model = train(plan, tmp_path / "run", on_event=told.append, device="cpu")
    steps = [e for e in told if e["type"] == "step"]
    assert all(("loss_d" in e) == (e["step"] > 30) for e in steps)
    assert {"l1", "perceptual", "loss_g", "psnr"} <= set(steps[-1])
    assert steps[-1]["perceptual"] < next(e["perceptual"] for e in steps if "perceptual" in e)
    card = (model / "README.md").read_text()
    assert "EfficientNet-Lite0" in card
    assert "a discriminator (relativistic average)" in card
    assert "first 50%" in card
    assert (model / "discriminator.safetensors").is_file()
    # From there on, by pixels alone.
    again = train(dataclasses.replace(plan_for(drawings, 2), base=str(model), network={}), tmp_path / "again", device="cpu")
    assert open_folder(again).extra["training"]["psnr"] > 0


@pytest.mark.parametrize(("family", "network"), [("srgan", dict(dense=8)), ("rrdb", dict(growth=4))])
def test_every_family_goes_through_both_parts(drawings, studio_home, tmp_path, family, network):
    network = dict(scale=4, width=8, blocks=1, ndf=4, **network)
    plan = plan_for(drawings, 4, family=family, network=network, objective=judged(loss="non_saturating", pixel_loss="mse"))
    budget = Budget(kimg=0.032, **{**RARELY, "log_kimg": 0.008})
    plan = dataclasses.replace(plan, data=dataclasses.replace(plan.data, degrade="real"), budget=budget)
    told = []
    train(plan, tmp_path / "run", on_event=told.append, device="cpu")
    steps = [list(e.values())[1:] for e in told if e["type"] == "step"]
    assert told[-1]["type"] == "done"
    assert len(steps) == 4
    assert np.isfinite(np.concatenate(steps)).all()


# -- exactly ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["pixels", "both parts", "both parts, worn pictures, micro-batches"])
def test_stopping_anywhere_changes_nothing(drawings, studio_home, tmp_path, kind):
    plan = plan_for(drawings, 6, budget=Budget(kimg=0.048, log_kimg=0.008, sample_kimg=0.024, snapshot_kimg=1, state_kimg=1))
    if kind != "pixels":
        plan = dataclasses.replace(plan, objective=judged())
    if "worn" in kind:
        optimizer = dataclasses.replace(plan.optimizer, micro_batch=4)
        plan = dataclasses.replace(plan, data=dataclasses.replace(plan.data, degrade="real"), optimizer=optimizer)
    train(plan, tmp_path / "whole", device="cpu")
    for _ in range(20):
        asked = iter([False, False, True])
        train(plan, tmp_path / "parts", should_stop=lambda asked=asked: next(asked), device="cpu")
        if numbers(tmp_path / "parts")[-1]["type"] == "done":
            break
    whole, parts = ([e for e in numbers(tmp_path / name) if e["type"] == "step"] for name in ("whole", "parts"))
    assert whole == parts
    assert len(whole) == 6
    assert same_state(tmp_path / "whole", tmp_path / "parts")


def test_the_rates_fall_in_each_part_by_itself(drawings, studio_home):
    from accelerate import Accelerator

    from studio.training.objectives.super_resolution import SuperResolution

    plan = plan_for(drawings, 50, objective=judged(decay_from=0.5, lr_judged=0.001, perceptual="efficientnet"))  # of 400 patches
    config = get_family("srvgg").config(resolution=32, **plan.network)
    game = SuperResolution(plan, config, [], Accelerator(cpu=True), "fp32")
    for seen, rate in ((0, 0.003), (96, 0.003), (152, 0.003 * 0.48), (192, 0.003 * 0.08), (200, 0.001), (296, 0.001), (352, 0.00048)):
        game._set_rates(seen)
        assert game.second == game.adversarial == (seen >= 200)
        assert game.opt_g.param_groups[0]["lr"] == pytest.approx(rate)


# -- patches ------------------------------------------------------------------------------------------------------------


def patches_of(folder: Path, tmp_path, scale: int = 2, **data) -> PatchData:
    pictures = FullSizeImages.open(folder, tmp_path / "cache")
    plan = Plan(family="srvgg", data=Data(**{**dict(resolution=32, held_back=0.2), **data}))
    return PatchData(plan, get_family("srvgg").config(scale=scale, resolution=32), pictures, 1, torch.device("cpu"))


def test_small_patches_are_what_the_whole_small_picture_shows_there(drawings, tmp_path):
    """Also at the border of a picture: nothing is made up by cutting."""
    found = patches_of(drawings, tmp_path)
    pictures = {row: found.pictures[row].astype(np.float32) / 127.5 - 1 for row in found.rows}
    edges = checked = 0
    for step in range(40):
        batch = found.batch(step, 0, step * 4, 4)
        for high, low, row in zip(batch.high, batch.low, found.rows[found.order.indices(step * 4, 4)], strict=True):
            whole = pictures[row]
            views = np.lib.stride_tricks.sliding_window_view(whole, (32, 32), (0, 1))  # (39, 49, 3, 32, 32)
            y, x = divmod(int(np.abs(views[..., ::5, ::5] - high.numpy()[:, ::5, ::5]).max(axis=(2, 3, 4)).argmin()), 49)
            np.testing.assert_allclose(views[y, x], high, atol=1e-5)
            if y % 2 == x % 2 == 0:  # where the grid of the small picture is the patch's
                small = bicubic(torch.from_numpy(whole).permute(2, 0, 1)[None], 35, 40)[0, :, y // 2 : y // 2 + 16, x // 2 : x // 2 + 16]
                assert float((small.clamp(-1, 1) - low).abs().max()) < 1.01 / 127.5
                checked, edges = checked + 1, edges + (y in (0, 38) or x in (0, 48))
    assert checked > 5
    assert edges > 0


def test_patches_are_turned_and_repeat_themselves_exactly(tmp_path):
    folder = tmp_path / "one"
    folder.mkdir()
    x = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(x).save(folder / "a.png")
    found = patches_of(folder, tmp_path, mirror=True)
    seen = {((b.high[0] + 1) * 127.5).round().byte().numpy().tobytes() for b in (found.batch(s, 0, 0, 1) for s in range(60))}
    turned = torch.from_numpy(x).permute(2, 0, 1)
    wanted = {t.rot90(k, (1, 2)).contiguous().numpy().tobytes() for k in range(4) for t in (turned, turned.flip(2))}
    assert seen == wanted
    assert len(wanted) == 8
    assert torch.equal(found.batch(3, 1, 0, 4).low, found.batch(3, 1, 0, 4).low)
    assert not torch.equal(found.batch(3, 1, 0, 4).high, found.batch(4, 1, 0, 4).high)


def test_a_picture_stays_on_its_side_when_others_come(drawings, tmp_path):
    few = set(patches_of(drawings, tmp_path).facts["held_back"])
    rng = np.random.default_rng(1)
    for i in range(30):
        Image.fromarray(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(drawings / f"new{i}.png")
    Image.new("RGB", (31, 90)).save(drawings / "small.png")
    more = patches_of(drawings, tmp_path)
    assert {name for name in more.facts["held_back"] if not name.startswith("new")} == few
    assert more.facts["too_small"] == 1
    assert len(more) + len(more.held) == 50
    assert not set(more.rows) & set(more.held)
    assert len(patches_of(drawings, tmp_path, held_back=0.0).held) == 0
    assert len(patches_of(drawings, tmp_path, held_back=1e-9).held) == 1


def test_what_cannot_be_learned_is_said(drawings, tmp_path):
    (tmp_path / "tiny").mkdir()
    Image.new("RGB", (31, 31)).save(tmp_path / "tiny" / "a.png")
    with pytest.raises(StudioError, match="32 pixels"):
        patches_of(tmp_path / "tiny", tmp_path)
    for mode in MODES:
        for kind in perceptual_loss.FEATURE_NETWORKS:
            assert Plan(data=Data(degrade=mode), objective=Objective(perceptual=kind))
    with pytest.raises(StudioError, match="clean ones"):
        patches_of(drawings, tmp_path, scale=1)
    for changes in (dict(degrade="rain"), dict(held_back=0.7)):
        with pytest.raises(StudioError, match="data"):
            Plan(data=Data(**changes))
    for changes in (dict(pretrain=1.5), dict(pixel_loss="l3"), dict(perceptual="eyes"), dict(lambda_adversarial=-1.0)):
        with pytest.raises(StudioError, match="objective"):
            Plan(objective=Objective(**changes))


# -- what a network sees ------------------------------------------------------------------------------------------------


def test_the_perceptual_loss_asks_for_sharpness():
    """Of two guesses of a texture the blurred one is nearer by pixels, and the sharp one, a pixel aside, is nearer to the eye."""
    loss = perceptual_loss.load_perceptual("efficientnet")
    real = torch.randn(1, 1, 96, 96, generator=torch.Generator().manual_seed(0)).mul(0.4).expand(-1, 3, -1, -1).contiguous()
    blurred, shifted = torch.nn.functional.avg_pool2d(real, 5, 1, 2), real.roll(1, dims=3)
    assert (blurred - real).square().mean() < 0.6 * (shifted - real).square().mean()
    assert float(loss(real, real)) == 0 < float(loss(shifted, real)) < 0.95 * float(loss(blurred, real))
    blurred.requires_grad_(True)
    loss(blurred, real).backward()
    assert blurred.grad.isfinite().all()
    assert blurred.grad.abs().sum() > 0


def test_weights_of_vgg19_that_cannot_be_had_are_said(studio_home, monkeypatch):
    assert perceptual_loss.choose_network("auto") == "efficientnet"

    def offline(url, **options):
        raise StudioError("no route to host")

    def changed(url, **options):
        path = studio_home / "cache" / "downloads" / "file-1" / "vgg19.pth"
        path.parent.mkdir(parents=True)
        path.write_bytes(b"something else")
        return download.DownloadedFile(path, hashlib.sha256(path.read_bytes()).hexdigest(), 14, url)

    monkeypatch.setattr(download, "download_file", offline)
    with pytest.raises(StudioError, match="no route to host") as e:
        perceptual_loss.load_perceptual("vgg19")
    assert "weights" in e.value.hint
    monkeypatch.setattr(download, "download_file", changed)
    with pytest.raises(StudioError, match="damaged"):
        perceptual_loss.load_perceptual("vgg19")
    assert not list(kept_at(perceptual_loss.VGG19[0]).parent.iterdir())
    assert not list((studio_home / "cache" / "downloads").iterdir())


def test_vgg19_sees_through_the_layers_that_the_papers_name(studio_home, monkeypatch):
    """With random weights in the file: maps at a sixteenth of the side, of 512 channels, before the activation or after."""
    narrow = functools.partial(VGG19Features, widths=(8, 8, 8, 8, 8))
    monkeypatch.setattr(perceptual_loss, "VGG19Features", narrow)
    torch.manual_seed(0)
    kept_at(perceptual_loss.VGG19[0]).parent.mkdir(parents=True)
    torch.save(narrow(activated=True).state_dict(), kept_at(perceptual_loss.VGG19[0]))
    assert perceptual_loss.choose_network("auto") == "vgg19"
    x, y = torch.rand(1, 3, 32, 32), torch.rand(1, 3, 32, 32, requires_grad=True)
    before, after = perceptual_loss.load_perceptual("vgg19"), perceptual_loss.load_perceptual("vgg19_after")
    assert before._maps(x).shape == (1, 8, 2, 2)
    assert before._maps(x).min() < 0 <= after._maps(x).min()
    before(y, x).backward()
    assert y.grad.abs().sum() > 0
    assert float(after(x, x)) == 0
