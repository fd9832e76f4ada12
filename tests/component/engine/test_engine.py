import logging
import threading
from concurrent.futures import CancelledError

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from studio.engine.byte_cache import ByteCache
from studio.engine.engine import Engine, Superseded, to_uint8
from studio.engine.parameters import parameters_of
from studio.engine.recipe import ClassWeight, Edit, Mix, Noise, Recipe, SeedWeight
from studio.errors import StudioError
from studio.inference.model import load
from studio.latents.seeds import z_from_seed
from studio.models.library import Library
from studio.outputs.clips import save_clip
from studio.outputs.sheets import contact_sheet, mix_grid, variations, walk_recipes
from tests.conftest import save_tiny, with_latent

PLAIN = Recipe(model="tiny", psi=0.7)


def test_a_plain_recipe_is_mapping_and_synthesis(engine, models):
    model = load(models / "tiny", "cpu")
    model.network.to(memory_format=torch.channels_last)
    ws = model.mapping(z_from_seed(5, model.z_dim), truncation_psi=0.7, truncation_cutoff=2)
    recipe = PLAIN.replace(seeds=(SeedWeight(5),), cutoff=2)
    torch.testing.assert_close(engine.ws(recipe), ws[0], atol=1e-6, rtol=1e-5)
    expected = to_uint8(model.synthesis(engine.ws(recipe)[None]))[0]
    assert np.array_equal(engine.render(recipe), expected)
    assert expected.shape == (32, 32, 3)
    assert expected.dtype == np.uint8
    assert expected.std() > 5


def test_the_same_recipe_gives_the_same_bytes(engine, models):
    recipes = [
        PLAIN,
        PLAIN.replace(noise=Noise("random", 3, 0.5)),
        PLAIN.replace(edits=(Edit("random:0:2", 1.5, (2, 5)), Edit("pad:0:x", -1)), mixes=(Mix(9, (3, 8), 0.5),)),
        Recipe(model="tiny-classes", classes=(ClassWeight(2), ClassWeight(0, 3))),
    ]
    first = [engine.render(r) for r in recipes]
    engine.render_many(recipes * 3)
    assert all(np.array_equal(engine.render(r), a) for r, a in zip(recipes, first, strict=True))
    with Engine(Library([models]), device="cpu") as another:
        assert all(np.array_equal(another.render(r), a) for r, a in zip(recipes, first, strict=True))
    assert len({a.tobytes() for a in first}) == len(first)


def test_every_part_of_a_recipe_matters(engine):
    base = engine.render(PLAIN)
    for change in (
        dict(seeds=(SeedWeight(1),)),
        dict(seeds=(SeedWeight(0), SeedWeight(1))),
        dict(psi=0.2),
        dict(cutoff=1),
        dict(edits=(Edit("random:0:0", 1),)),
        dict(mixes=(Mix(1, (0, 2)),)),
        dict(noise=Noise("none")),
        dict(noise=Noise("random", 1)),
        dict(noise=Noise(strength=2)),
        dict(latent=with_latent(engine, PLAIN.replace(seeds=(SeedWeight(4),))).latent),
    ):
        assert not np.array_equal(engine.render(PLAIN.replace(**change)), base), change


def test_cached_layers_give_the_bits_of_a_full_run(engine):
    rng = np.random.default_rng(0)
    recipe = PLAIN
    engine.submit("s", recipe).result()
    skipped = 0
    for _ in range(40):
        low = int(rng.integers(0, 8))
        edit = Edit(f"random:0:{rng.integers(4)}", float(rng.normal()), (low, int(rng.integers(low + 1, 9))))
        recipe = recipe.replace(edits=(*recipe.edits[-3:], edit))
        if rng.random() < 0.2:
            recipe = recipe.replace(noise=Noise(["const", "none", "random"][rng.integers(3)], int(rng.integers(5))))
        got = engine.submit("s", recipe).result()
        status = engine.status()
        skipped += status["steps_all"] - status["steps_run"]
        assert np.array_equal(got, engine.render(recipe))
    assert skipped > 40, "layers really were reused"


def test_a_fine_edit_computes_the_last_layers_only(engine):
    engine.submit("s", PLAIN).result()
    assert engine.status()["steps_run"] == engine.status()["steps_all"]
    engine.submit("s", PLAIN.replace(edits=(Edit("random:0:0", 1, (7, 8)),))).result()
    assert engine.status()["steps_run"] == 1
    engine.submit("s", PLAIN.replace(edits=(Edit("random:0:0", 1, (7, 8)),))).result()
    assert engine.status()["steps_run"] == 0


def test_sessions_do_not_share_layers(engine):
    a, b = PLAIN, PLAIN.replace(seeds=(SeedWeight(8),))
    engine.submit("a", a).result()
    engine.submit("b", b).result()
    assert np.array_equal(engine.submit("a", a.replace(psi=0.69)).result(), engine.render(a.replace(psi=0.69)))


def _hold(engine):
    """Keep the engine's thread busy until released."""
    begun, release = threading.Event(), threading.Event()
    future = engine._ask(lambda: (begun.set(), release.wait(30)))
    assert begun.wait(30)
    return release, future


def test_the_newest_wish_of_a_session_wins(engine):
    release, _ = _hold(engine)
    wishes = [engine.submit("s", PLAIN.replace(seeds=(SeedWeight(i),))) for i in range(5)]
    other = engine.submit("t", PLAIN)
    release.set()
    for wish in wishes[:-1]:
        with pytest.raises(Superseded):
            wish.result()
    assert np.array_equal(wishes[-1].result(), engine.render(PLAIN.replace(seeds=(SeedWeight(4),))))
    assert np.array_equal(other.result(), engine.render(PLAIN))


def test_cancel_drops_what_waits(engine):
    release, _ = _hold(engine)
    wish = engine.submit("s", PLAIN)
    engine.cancel("s")
    release.set()
    with pytest.raises(CancelledError):
        wish.result()
    assert engine.render(PLAIN).any()


def test_render_many_reports_and_can_be_cancelled(engine):
    recipes = [PLAIN.replace(seeds=(SeedWeight(i),)) for i in range(70)]
    recipes[3] = Recipe(model="tiny-classes")
    seen = []
    pictures = engine.render_many(recipes, progress=lambda done, all_: seen.append((done, all_)))
    assert seen[-1] == (70, 70)
    assert [s[0] for s in seen] == sorted(s[0] for s in seen)
    for i in (0, 3, 69):
        assert int(np.abs(pictures[i].astype(int) - engine.render(recipes[i])).max()) <= 1
    with pytest.raises(CancelledError):
        engine.render_many(recipes, cancel=lambda: True)


def test_previews_are_smaller_only_when_the_picture_is_large(engine, models):
    assert engine.render(PLAIN, preview=True).shape == (32, 32, 3)
    save_tiny(models, "large", resolution=512, channel_base=2048)
    large = Recipe(model="large")
    assert engine.render(large, preview=True).shape == (256, 256, 3)
    assert engine.submit("s", large, preview=True).result().shape == (256, 256, 3)
    assert engine.submit("s", large).result().shape == (512, 512, 3)


def test_models_leave_memory_in_the_order_of_their_use(models):
    save_tiny(models, "third", seed=3)
    with Engine(Library([models]), device="cpu") as probe:
        size = probe.model("tiny").nbytes
    with Engine(Library([models]), device="cpu", memory_budget=int(size * 2.4)) as engine:
        for name in ("tiny", "third", "tiny", "tiny-classes"):
            engine.render(Recipe(model=name))
        assert engine.status()["loaded"] == ["tiny", "tiny-classes"]
        assert engine.status()["bytes"] <= size * 2.4
    with Engine(Library([models]), device="cpu", memory_budget=1) as small:
        assert small.render(PLAIN).any(), "one model is kept, however small the budget"


def test_a_model_that_changes_on_disk_is_read_anew(engine, models):
    stamped = engine.stamped(PLAIN)
    before = engine.submit("s", PLAIN).result()
    assert engine.check(stamped) is None
    save_tiny(models, "tiny", seed=77)
    assert not np.array_equal(engine.submit("s", PLAIN).result(), before)
    assert "changed" in engine.check(stamped)


def test_failures_are_sentences_and_the_engine_lives_on(engine, models):
    for bad in (
        Recipe(model="tinny"),
        PLAIN.replace(edits=(Edit("random:0:99", 1),)),
        PLAIN.replace(edits=(Edit("model:smile", 1),)),
        PLAIN.replace(mixes=(Mix(1, (40, 50)),)),
        PLAIN.replace(latent="AAAA"),
        Recipe(model="tiny-classes", classes=(ClassWeight(7),)),
    ):
        with pytest.raises(StudioError):
            engine.render(bad)
    with pytest.raises(StudioError, match="tiny"):
        engine.check(Recipe(model="tinny"))
    assert engine.render(PLAIN).any()


def test_an_unexpected_failure_is_logged_and_told(engine, caplog):
    def explode():
        raise RuntimeError("boom")

    with caplog.at_level(logging.ERROR, "studio"), pytest.raises(RuntimeError):
        engine._ask(explode).result()
    assert engine.render(PLAIN).any()


def test_a_closed_engine_says_so(models):
    engine = Engine(Library([models]), device="cpu")
    release, _ = _hold(engine)
    waiting = engine.submit("s", PLAIN)
    threading.Thread(target=release.set).start()
    engine.close()
    assert waiting.cancelled() or waiting.done()
    with pytest.raises(StudioError, match="closed"):
        engine.render(PLAIN)


def test_directions_of_the_model_come_first(engine, models):
    smile = torch.randn(16)
    save_file({"smile": smile, "wrong size": torch.randn(3)}, str(models / "tiny" / "directions.safetensors"))
    sets = engine.facts("tiny").direction_sets
    assert [s.id for s in sets] == ["model", "random"]
    assert sets[0].names == ("model:smile",)
    moved = engine.ws(PLAIN.replace(edits=(Edit("model:smile", 2, (1, 3)),))) - engine.ws(PLAIN)
    torch.testing.assert_close(moved[1:3], (2 * smile).expand(2, -1), atol=1e-5, rtol=1e-5)
    assert not moved[0].any()
    assert not moved[3:].any()


def test_a_random_direction_is_one_deviation_long(engine, models):
    model = load(models / "tiny", "cpu")
    w = model.mapping(np.random.RandomState(1).randn(4000, 16))[:, 0].numpy()
    step = (engine.ws(PLAIN.replace(edits=(Edit("random:0:0", 1),))) - engine.ws(PLAIN))[0].numpy()
    precision = np.linalg.pinv(np.cov(w, rowvar=False))
    assert np.sqrt(step @ precision @ step) == pytest.approx(1, abs=0.15)


def test_sheets(engine, tmp_path):
    nine = variations(PLAIN, 9, 1.0, seed=2)
    assert nine[4] == PLAIN
    assert len(set(nine)) == 9
    grid = mix_grid("tiny", [1, 2], [3, 4, 5], (2, 5), psi=0.5)
    plain_ws = {s: engine.ws(Recipe(model="tiny", seeds=(SeedWeight(s),), psi=0.5)) for s in (2, 5)}
    cell = engine.ws(grid[1][2])
    assert torch.equal(cell[2:5], plain_ws[5][2:5])
    assert torch.equal(cell[:2], plain_ws[2][:2])
    pictures = engine.render_many(nine)
    assert contact_sheet(pictures, 3).shape == (3 * 36 + 4, 3 * 36 + 4, 3)
    a, b = PLAIN, PLAIN.replace(seeds=(SeedWeight(5),), edits=(Edit("random:0:0", 1),))
    way = walk_recipes(engine, [a, b], 3, smooth=False)
    torch.testing.assert_close(engine.ws(way[1]), (engine.ws(a) + engine.ws(b)) / 2)
    assert np.array_equal(engine.render(way[0]), engine.render(a))
    with pytest.raises(StudioError):
        walk_recipes(engine, [a, Recipe(model="tiny-classes")], 3)
    from PIL import Image

    clip = save_clip([engine.render(r) for r in way], tmp_path / "walk.webp")
    with Image.open(clip) as image:
        assert image.n_frames == 3
        assert image.size == (512, 512)


def test_byte_lru():
    lru = ByteCache(10)
    lru.put("a", 1, 4)
    lru.put("b", 2, 4)
    assert lru.get("a") == 1
    lru.put("c", 3, 4)
    assert lru.keys() == ["a", "c"]
    assert lru.get("b") is None
    assert lru.nbytes == 8
    lru.put("d", 4, 50)
    assert lru.keys() == ["d"]
    assert lru.nbytes == 50
    lru.put("e", 5, 10)
    assert lru.keys() == ["e"]
    lru.drop("nobody")
    assert lru.get("e") == 5


def test_a_model_that_is_forgotten_frees_its_memory_and_comes_back(engine):
    first = engine.submit("one", PLAIN).result()
    engine.render(Recipe(model="tiny-classes"))
    assert set(engine.status()["loaded"]) == {"tiny", "tiny-classes"}
    before = engine.status()["bytes"]
    engine.forget("tiny")
    assert engine.status()["loaded"] == ["tiny-classes"]
    assert 0 < engine.status()["bytes"] < before
    engine.forget("nobody")
    assert np.array_equal(engine.submit("one", PLAIN).result(), first)


def _turns(engine, monkeypatch):
    """What the device thread is asked to run from now on."""
    turns, ask = [], engine._worker.ask
    monkeypatch.setattr(engine._worker, "ask", lambda run, session=None: turns.append(session) or ask(run, session))
    return turns


def test_a_slider_move_takes_one_turn_on_the_device_thread(engine, monkeypatch):
    engine.draw("s", PLAIN)
    turns = _turns(engine, monkeypatch)
    facts = engine.facts("tiny")
    slider = parameters_of(facts)[-1]
    recipe = slider.set(PLAIN, 1.5)
    drawn = engine.draw("s", recipe)
    assert engine.model("tiny").num_ws == facts.num_ws
    assert turns == ["s"]
    assert np.array_equal(drawn.picture, engine.render(recipe))
    assert (drawn.info.id, drawn.warning) == ("tiny", None)


def test_what_is_drawn_says_when_its_model_has_changed(engine, models):
    stamped = engine.stamped(PLAIN)
    assert engine.draw("s", stamped).warning is None
    save_tiny(models, seed=5)
    assert engine.draw("s", stamped).warning == engine.check(stamped)
    assert "changed" in engine.check(stamped)


def test_facts_are_those_of_the_model_that_is_here(engine, models, monkeypatch):
    facts = engine.facts("tiny-classes")
    assert facts.classes == ("kind 0", "kind 1", "kind 2")
    assert (facts.id, facts.title, facts.num_ws, facts.has_noise, facts.transformable) == (
        "tiny-classes",
        "Tiny tiny-classes",
        8,
        True,
        False,
    )
    turns = _turns(engine, monkeypatch)
    save_tiny(models, "tiny-classes", seed=5, resolution=16)
    assert engine.facts("tiny-classes").num_ws == 6
    assert len(turns) == 1, "it was loaded again"
    engine.forget("tiny-classes")
    assert engine.facts("tiny-classes").num_ws == 6
    engine.close()
    with pytest.raises(StudioError, match="closed"):
        engine.facts("tiny-classes")


@pytest.mark.parametrize(("channels", "threads"), [({}, 1), ({"channel_base": 32768, "channel_max": 256}, 2)])
def test_a_tiny_network_draws_in_one_thread_and_others_in_all(tmp_path, channels, threads):
    save_tiny(tmp_path, **channels)
    with Engine(Library([tmp_path]), device="cpu") as engine:
        seen = []
        engine.model("tiny").network.synthesis.register_forward_pre_hook(lambda *_: seen.append(torch.get_num_threads()))
        engine._ask(lambda: torch.set_num_threads(2)).result()
        engine.render(Recipe(model="tiny"))
        engine.render_many([Recipe(model="tiny", psi=0.5)])
        seen.append(engine._ask(torch.get_num_threads).result())
        engine._ask(lambda: torch.set_num_threads(1)).result()  # threads of later tests begin with what was set last
        assert seen == [threads, threads, 2]
