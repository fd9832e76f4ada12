"""The plans that the studio makes of kinds that turn pictures into others, and what it says of them beforehand."""

import dataclasses

import pytest
import torch

from studio.errors import StudioError
from studio.networks import Task, get_family
from studio.training.events import EventLog
from studio.training.methods import GOALS, METHODS, get_goal, get_method, method_fits
from studio.training.plan import Plan
from studio.training.plan_checks import check_plan, choose_precision, family_config
from studio.training.presets import PRESETS, estimate_seconds, preset_plan
from studio.training.run_history import RunHistory
from studio.training.tasks.translation import translation_objective

TRANSLATORS = [k.name for k in METHODS if k.translates]


def plan_of(kind: str, name: str = "sketch", resolution: int = 128, device: str = "cpu", base: str = "") -> Plan:
    return preset_plan(name, base, pictures=100, resolution=resolution, device=device, method=kind)


def test_each_goal_has_kinds_and_each_kind_a_goal_and_sides():
    assert {k.goal for k in METHODS} == {g.name for g in GOALS}
    assert {k.name: k.image_sets for k in METHODS if k.translates} == {
        "cyclegan": "unpaired",
        "cut": "unpaired",
        "pix2pix": "paired",
        "colourise": "one",
        "lineart": "one",
    }
    assert all(k.image_sets == "one" for k in METHODS if not k.translates)
    assert sum(k.generates for k in METHODS) == 11
    with pytest.raises(StudioError, match="no goal"):
        get_goal("paint")


@pytest.mark.parametrize("kind", TRANSLATORS)
def test_every_preset_is_a_plan_that_can_be_trained(kind):
    for name in (p.name for p in PRESETS):
        for device in ("cpu", "cuda"):
            for side in get_method(kind).resolutions:
                plan = plan_of(kind, name, side, device)
                assert Plan.from_toml(plan.to_toml()) == plan
                config = family_config(plan, None)
                check_plan(plan, config)
                assert config.resolution == side
                assert plan.data.load_size > side
                assert get_family(plan.family).task is Task.TRANSLATE
                assert method_fits(get_method(kind), config)
                # Weights of another game would be refused by the objective.
                with torch.device("meta"):
                    generator = get_family(plan.family).generator(config)
                assert generator.directions == (("AtoB", "BtoA") if kind == "cyclegan" else ("AtoB",))


def test_figures_are_those_of_the_papers():
    cycle, cut, pix = (plan_of(k) for k in ("cyclegan", "cut", "pix2pix"))
    for plan in (cycle, cut, pix):
        o = plan.optimizer
        assert (o.batch, o.lr_g, o.lr_d, o.beta1, o.beta2) == (1, 0.0002, 0.0002, 0.5, 0.999)
        assert plan.objective.decay_from == 0.5
    assert (cycle.objective.lambda_cycle, cycle.objective.lambda_identity, cycle.objective.loss) == (10, 0.5, "least_squares")
    assert cut.objective.unpaired == "contrastive"
    assert cut.objective.lambda_nce == 1
    assert pix.objective.lambda_l1 == 100
    assert [translation_objective(p).__name__ for p in (cycle, cut, pix)] == ["Cycle", "Contrastive", "Paired"]
    assert [plan_of(k).network["transform"] for k in ("pix2pix", "colourise", "lineart")] == ["none", "grey", "edges"]
    nets = {side: plan_of("cyclegan", resolution=side).network["net"] for side in (64, 128, 256, 512)}
    assert nets == {64: "resnet_6blocks", 128: "resnet_6blocks", 256: "resnet_9blocks", 512: "resnet_9blocks"}
    assert plan_of("pix2pix", resolution=256).network["net"] == "unet_256"
    assert (cycle.network["ngf"], plan_of("cyclegan", resolution=256, device="cuda").network["ngf"]) == (32, 64)
    assert cycle.network["upsampling"] == "resize"
    assert plan_of("cyclegan", base="a model").network == {}, "a base brings its own network"
    assert plan_of("cyclegan", base="a model").budget.kimg < cycle.budget.kimg < plan_of("cyclegan", device="cuda").budget.kimg
    with pytest.raises(StudioError, match="no pictures of 64 px"):
        plan_of("pix2pix", resolution=64)


def test_a_base_must_be_like_the_kind():
    def config(kind, **changes):
        return dataclasses.replace(family_config(plan_of(kind), None), **changes)

    assert not method_fits(get_method("cut"), config("cyclegan"))
    assert not method_fits(get_method("cyclegan"), config("cut"))
    assert not method_fits(get_method("cut"), config("cut", net="unet_128")), "contrast needs the maps of a ResNet"
    assert method_fits(get_method("cyclegan"), config("cyclegan", net="unet_128", ngf=64))
    assert not method_fits(get_method("colourise"), config("lineart"))
    assert method_fits(get_method("lineart"), config("lineart", ngf=8))


def test_the_estimate_grows_with_the_work():
    def hours(kind, name="standard", resolution=128, threads=1, halves=True, base=None):
        return estimate_seconds(plan_of(kind, name, resolution), kind, threads, halves, base) / 3600

    assert hours("cyclegan") == pytest.approx(20_000 / 2.7 / 3600)
    assert [hours("cyclegan", p.name) for p in PRESETS] == sorted(hours("cyclegan", p.name) for p in PRESETS)
    assert hours("cut") < hours("cyclegan")
    assert hours("cyclegan", "patient") < 12, "overnight on one core"
    assert hours("cyclegan", resolution=64) == pytest.approx(hours("cyclegan") / 4)
    assert hours("cyclegan", resolution=256) == pytest.approx(hours("cyclegan") * 16 / 3)
    assert hours("cyclegan", threads=4) < hours("cyclegan") / 2.5
    assert hours("cyclegan", halves=False) > hours("cyclegan")
    wide = dict(plan_of("cyclegan").network, ngf=64)
    assert 3 < hours("cyclegan", base=wide) / hours("cyclegan") < 4
    assert estimate_seconds(preset_plan("sketch", pictures=9, resolution=64, device="cpu"), "stylegan2", 1, True) is None


def test_auto_takes_half_precision_on_a_cpu_only_where_it_is_quicker(monkeypatch):
    cpu = torch.device("cpu")

    def can(amx: bool, halves: bool):
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: halves)
        return choose_precision("auto", cpu), choose_precision("auto", cpu, translates=True)

    assert can(False, False) == ("fp32", "fp32")
    assert can(False, True) == ("fp32", "bf16")
    assert can(True, True) == ("bf16", "bf16")
    assert choose_precision("fp32", cpu, translates=True) == "fp32"


def test_the_watch_page_tells_of_both_sides(tmp_path):
    def told(**facts) -> RunHistory:
        (tmp_path / "events.jsonl").unlink(missing_ok=True)
        log = EventLog(tmp_path / "events.jsonl", 0)
        log.write({"type": "start", "step": 0, "images": 0, "total_images": 10, "pictures": 7, **facts})
        log.write({"type": "sample", "step": 0, "images": 0, "path": "samples/x.webp", "rows": ["A", "A->B"]})
        log.sync()
        log.close()
        return RunHistory(tmp_path).refresh()

    assert told().sets_summary == ""
    assert told(pictures_b=1234).sets_summary == "Side A has 7 pictures, side B 1,234."
    assert told(pairs=5, strays=0, strays_a=[], strays_b=[]).sets_summary == "Learns from 5 pairs."
    watch = told(pairs=5, strays=3, strays_a=["a.png"], strays_b=["b.png", "c.png"])
    assert watch.sets_summary == "Learns from 5 pairs. Left out, without a partner: 3 (a.png, b.png, c.png)."
    assert watch.samples[0].rows == ("A", "A->B")
