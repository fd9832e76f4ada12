"""Plans that are built of an artist's choices: the same as those made by hand, for every method."""

import dataclasses
import datetime

import numpy as np
import pytest
import torch
from PIL import Image

import studio
from studio.datasets.rights import LICENSED, OWN, Consent
from studio.datasets.store import DataSet, DataSetStore
from studio.errors import StudioError
from studio.models.folder import ModelInfo
from studio.models.library import Library
from studio.networks import get_family
from studio.training.methods import METHODS, get_method
from studio.training.plan import Plan
from studio.training.plan_builder import PlanChoices, build_plan, draft_plan, estimate_plan_seconds, find_base
from studio.training.presets import PRESETS, estimate_seconds, learning_classes, preset_plan
from studio.training.presets_super_resolution import estimate_upscaler_seconds, preset_upscaler_plan

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)


@pytest.fixture(scope="module")
def sets(tmp_path_factory) -> tuple[DataSet, DataSet]:
    """Two stored sets of pictures with the same names, in two classes; the first one also has a larger picture."""
    folder = tmp_path_factory.mktemp("sets")
    store, rng, out = DataSetStore(folder / "datasets", now=lambda: NOW), np.random.default_rng(0), []
    for title, consent in (("Beasts", Consent(OWN)), ("Birds", Consent(LICENSED, "a friend", "CC-BY-4.0", "A. Friend"))):
        for i in range(4):
            picture = folder / title / ("even" if i % 2 == 0 else "odd") / f"{i}.png"
            picture.parent.mkdir(parents=True, exist_ok=True)
            side = 160 if title == "Beasts" and i == 0 else 64
            Image.fromarray(rng.integers(0, 255, (side, side, 3), dtype=np.uint8)).save(picture)
        out.append(store.add(store.ingest([folder / title], owned=False, consent=consent, title=title)))
    return out[0], out[1]


def by_hand(choices: PlanChoices, a: DataSet, b: DataSet | None) -> Plan:
    """What the Train tab made of the choices before plans were built below it."""
    method = get_method(choices.method)
    if method.upscales:
        plan = preset_upscaler_plan(choices.preset, pictures=a.count, device=choices.device, scale=choices.factor, style=method.name)
        data = dataclasses.replace(plan.data, resolution=int(choices.patch or plan.data.resolution))
    else:
        plan = preset_plan(choices.preset, pictures=a.count, device=choices.device, resolution=choices.resolution, method=method.name)
        plan = learning_classes(plan) if choices.classes and method.generates else plan
        data = dataclasses.replace(plan.data, crop=choices.crop, mirror=choices.mirror)
    data = dataclasses.replace(data, path=str(a.path), hash=a.id, ground=choices.ground)
    weights = {"r1_gamma": choices.r1_gamma} if method.generates else {method.tunable_weight: choices.tunable_weight}
    if method.goal == "restyle":
        weights["lambda_identity"] = choices.lambda_identity
    if b:
        data = dataclasses.replace(data, path_b=str(b.path), hash_b=b.id)
    card = dict(consent=OWN, source="", data_licence="", attribution="")
    if b:
        card = dict(consent=LICENSED, source="a friend", data_licence="CC-BY-4.0", attribution="A. Friend")
    return dataclasses.replace(
        plan,
        seed=choices.seed,
        data=data,
        budget=dataclasses.replace(plan.budget, kimg=choices.kimg or plan.budget.kimg),
        optimizer=dataclasses.replace(plan.optimizer, batch=int(choices.batch or plan.optimizer.batch)),
        objective=dataclasses.replace(plan.objective, **{name: value for name, value in weights.items() if name and value is not None}),
        augment=dataclasses.replace(plan.augment, target=choices.ada_target or plan.augment.target) if method.generates else plan.augment,
        card=dataclasses.replace(plan.card, title=choices.title or a.title, licence=choices.licence, **card),
    )


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("method", [m.name for m in METHODS])
def test_plans_are_those_of_the_presets_with_what_was_chosen(method, device, sets):
    what = get_method(method)
    b = sets[1] if what.image_sets != "one" else None
    for preset in PRESETS:
        resolution = what.resolutions[0] if what.resolutions else 64
        plain = PlanChoices(method, preset.name, resolution=resolution, device=device, patch=96 if what.upscales else None)
        assert build_plan(plain, sets[0], b) == by_hand(plain, sets[0], b)
        filled_in = dataclasses.replace(
            plain,
            classes=what.generates and get_family(what.family).classes and what.objective.get("discriminator") != "projected",
            crop="fit",
            ground="#102030",
            mirror=True,
            title="Mine",
            licence="CC-BY-4.0",
            seed=5,
            kimg=3.5,
            batch=24.0,
            r1_gamma=2.0 if what.generates else None,
            ada_target=0.5 if what.generates else None,
            tunable_weight=0.25 if what.tunable_weight else None,
            lambda_identity=0.125 if what.goal == "restyle" else None,
        )
        plan = build_plan(filled_in, sets[0], b)
        assert plan == by_hand(filled_in, sets[0], b)
        assert Plan.from_toml(plan.to_toml()) == plan


def test_a_base_is_found_in_the_library_and_brings_its_network(sets, models):
    library = Library([models])
    choices = PlanChoices("stylegan2", base="tiny", resolution=32, freeze_d=2.0)
    base = find_base(choices, library)
    assert isinstance(base, ModelInfo)
    assert base.id == "tiny"
    plan = build_plan(choices, sets[0], library=library)
    assert (plan.base, plan.network, plan.objective.freeze_d) == (str(base.path), {}, 2)
    assert plan.budget.kimg < build_plan(dataclasses.replace(choices, base="", freeze_d=None), sets[0]).budget.kimg
    with pytest.raises(StudioError, match="nobody"):
        build_plan(dataclasses.replace(choices, base="nobody"), sets[0], library=library)


def test_sets_that_do_not_go_with_the_method_are_refused(sets):
    a, b = sets
    with pytest.raises(StudioError, match="no pictures for side B"):
        build_plan(PlanChoices("cyclegan"), a)
    with pytest.raises(StudioError, match="the same set"):
        build_plan(PlanChoices("cut"), a, a)
    with pytest.raises(StudioError, match="learns classes"):
        build_plan(PlanChoices("cgan"), dataclasses.replace(a, classes={}))
    with pytest.raises(StudioError, match="whose pictures 'Birds' are"):
        build_plan(PlanChoices("pix2pix", resolution=128), a, dataclasses.replace(b, consent=Consent(), owned=False))
    with pytest.raises(StudioError, match="No picture is 128 pixels"):
        build_plan(PlanChoices("faithful"), b)
    with pytest.raises(StudioError, match="no training method"):
        build_plan(PlanChoices("magic"), a)
    with pytest.raises(StudioError, match="no pictures of 64 px"):
        build_plan(PlanChoices("pix2pix"), a, b)


def test_estimates_are_those_of_the_presets(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    cut = PlanChoices("cut", resolution=128, kimg=5.0)
    assert estimate_plan_seconds(cut) == estimate_seconds(draft_plan(cut, None), "cut", 2, True)
    sharp = PlanChoices("sharp", factor=4)
    assert estimate_plan_seconds(sharp) == estimate_upscaler_seconds(draft_plan(sharp, None), 2)
    assert estimate_plan_seconds(PlanChoices("stylegan2")) is None


def test_the_package_exports_them():
    assert studio.build_plan is build_plan
    assert studio.PlanChoices is PlanChoices


def test_a_set_of_one_picture_is_refused_where_the_plan_is_made(tmp_path):
    store = DataSetStore(tmp_path / "datasets")
    Image.new("RGB", (64, 64)).save(tmp_path / "1.png")
    one = store.add(store.ingest([tmp_path / "1.png"], owned=True, consent=Consent(OWN), title="One"))
    with pytest.raises(StudioError, match="only one picture"):
        build_plan(PlanChoices("dcgan"), one)


def test_pairs_by_order_are_in_the_plan(sets, tmp_path):
    store = DataSetStore(tmp_path / "datasets")
    for i in range(4):
        Image.new("RGB", (64, 64), (i, 9, 9)).save(tmp_path / f"other{i}.png")
    b = store.add(store.ingest([tmp_path / f"other{i}.png" for i in range(4)], owned=True, consent=Consent(OWN), title="B"))
    with pytest.raises(StudioError, match="partner"):
        build_plan(PlanChoices("pix2pix", resolution=128), sets[0], b)
    plan = build_plan(PlanChoices("pix2pix", resolution=128, pairs="order"), sets[0], b)
    assert plan.data.pairs == "order"
    assert Plan.from_toml(plan.to_toml()) == plan
    with pytest.raises(StudioError, match="name or order"):
        dataclasses.replace(plan, data=dataclasses.replace(plan.data, pairs="size"))
