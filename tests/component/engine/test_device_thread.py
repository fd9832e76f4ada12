"""The engine's thread, its kept layers and its memory, under wear."""

import random
import threading
from concurrent.futures import CancelledError, wait

import numpy as np
import pytest
import torch

from studio.engine.device_thread import DeviceThread
from studio.engine.engine import Engine, Superseded
from studio.engine.recipe import Edit, Noise, Recipe, SeedWeight
from studio.engine.synthesis_cache import SynthesisCache, steps_within
from studio.errors import StudioError
from studio.models.library import Library
from tests.conftest import save_tiny, tiny_generator, with_latent

PLAIN = Recipe(model="tiny", psi=0.7)


@pytest.fixture
def worker():
    rescued = []
    w = DeviceThread(lambda: rescued.append(True))
    w.rescued = rescued
    yield w
    w.close()


def hold(worker: DeviceThread) -> threading.Event:
    """Keep the thread busy until the event is set."""
    begun, release = threading.Event(), threading.Event()
    worker.ask(lambda: (begun.set(), release.wait(30)))
    assert begun.wait(30)
    return release


def test_a_wish_that_its_owner_cancelled_can_be_replaced(worker):
    release = hold(worker)
    first = worker.ask(lambda: 1, "s")
    assert first.cancel()
    second = worker.ask(lambda: 2, "s")
    third = worker.ask(lambda: 3, "s")
    release.set()
    assert third.result() == 3
    with pytest.raises(Superseded):
        second.result()


def test_a_callback_may_ask_the_engine(worker):
    got = []
    release = hold(worker)
    first = worker.ask(lambda: 1)
    first.add_done_callback(lambda f: got.append(worker.ask(lambda: f.result() + 1).result(10)))
    release.set()
    worker.ask(lambda: None).result(10)
    assert got == [2]


def test_a_superseded_callback_may_ask_again(worker):
    release = hold(worker)
    again = []
    worker.ask(lambda: 1, "s").add_done_callback(lambda f: again.append(worker.ask(lambda: "again", "t")))
    worker.ask(lambda: 2, "s")
    release.set()
    assert again[0].result(10) == "again"


def test_one_more_try_when_memory_runs_out(worker):
    calls = []

    def hungry(most):
        calls.append(1)
        if len(calls) <= most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return "made it"

    assert worker.ask(lambda: hungry(1)).result() == "made it"
    assert len(calls) == 2
    assert worker.rescued == [True]
    calls.clear()
    with pytest.raises(StudioError, match="out of memory"):
        worker.ask(lambda: hungry(9)).result()
    assert len(calls) == 2


def test_more_memory_than_the_machine_has_is_told(worker):
    with pytest.raises(StudioError, match="out of memory"):
        worker.ask(lambda: torch.empty(1 << 60, dtype=torch.uint8)).result()


def test_many_sessions_at_once_each_get_their_own_last_picture(engine):
    expected = {seed: engine.render(PLAIN.replace(seeds=(SeedWeight(seed),))) for seed in range(6)}
    wrong = []

    def visitor(name: int):
        rng = random.Random(name)
        for _ in range(15):
            seeds = [rng.randrange(6) for _ in range(4)]
            futures = [engine.submit(name, PLAIN.replace(seeds=(SeedWeight(s),))) for s in seeds]
            wait(futures)
            engine.status()
            if not np.array_equal(futures[-1].result(), expected[seeds[-1]]):
                wrong.append((name, seeds))
            for seed, future in zip(seeds, futures, strict=True):
                if not isinstance(future.exception(), Superseded) and not np.array_equal(future.result(), expected[seed]):
                    wrong.append((name, seed))

    threads = [threading.Thread(target=visitor, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert wrong == []


def test_closing_while_others_ask(models):
    engine = Engine(Library([models]), device="cpu")
    engine.render(PLAIN)
    begun, ends = threading.Barrier(4), []

    def visitor(name: int):
        begun.wait()
        try:
            while True:
                engine.submit(name, PLAIN).result(30)
        except (StudioError, CancelledError) as e:
            ends.append(type(e))

    threads = [threading.Thread(target=visitor, args=(i,)) for i in range(3)]
    for t in threads:
        t.start()
    begun.wait()
    engine.close()
    for t in threads:
        t.join(30)
        assert not t.is_alive()
    assert len(ends) == 3
    engine.close()
    engine.cancel("nobody")


# -- kept layers ---------------------------------------------------------------------------------------------------


@pytest.fixture
def large(engine, models):
    save_tiny(models, "large", resolution=512, channel_base=1024)
    save_tiny(models, "large-resnet", resolution=512, channel_base=1024, architecture="resnet")
    return engine


def test_previews_and_full_pictures_serve_each_other(large):
    recipe = Recipe(model="large")
    preview = large.submit("s", recipe, preview=True).result()
    assert np.array_equal(preview, large.render(recipe, preview=True))
    full = large.submit("s", recipe).result()
    status = large.status()
    assert status["steps_all"] - status["steps_run"] > 15, "the full picture goes on where the preview ended"
    assert np.array_equal(full, large.render(recipe))
    assert np.array_equal(large.submit("s", recipe, preview=True).result(), preview)
    assert large.status()["steps_run"] == 0
    fine = recipe.replace(edits=(Edit("random:0:0", 1, (14, 16)),))
    assert np.array_equal(large.submit("s", fine, preview=True).result(), preview), "these layers are above the preview"
    assert np.array_equal(large.submit("s", fine).result(), large.render(fine))
    assert large.status()["steps_run"] == large.status()["steps_all"], "render itself takes no short cuts"


@pytest.mark.parametrize("model", ["large", "large-resnet"])
def test_any_order_of_edits_and_previews_gives_the_bits_of_a_full_run(large, model):
    rng = np.random.default_rng(5)
    recipe, run, all_ = Recipe(model=model), 0, 0
    for _ in range(12):
        low = int(rng.integers(0, 16))
        recipe = recipe.replace(edits=(*recipe.edits[-2:], Edit("random:0:1", float(rng.normal()), (low, low + 1))))
        if rng.random() < 0.2:
            recipe = recipe.replace(noise=Noise(["const", "random", "none"][rng.integers(3)], 4))
        preview = bool(rng.random() < 0.5)
        got = large.submit("s", recipe, preview).result()
        run, all_ = run + large.status()["steps_run"], all_ + large.status()["steps_all"]
        assert got.shape[0] == (256 if preview else 512)
        assert np.array_equal(got, large.render(recipe, preview))
    assert run < all_


def test_layers_of_one_model_are_not_used_for_another(engine):
    recipe = with_latent(engine, PLAIN)  # the very same w+ in both models
    first = engine.submit("s", recipe).result()
    second = engine.submit("s", recipe.replace(model="tiny-classes")).result()
    assert engine.status()["steps_run"] == engine.status()["steps_all"]
    assert not np.array_equal(first, second)
    assert np.array_equal(second, engine.render(recipe.replace(model="tiny-classes")))


def test_a_trace_gives_up_its_largest_layers_first():
    network = tiny_generator(resolution=64)
    synthesis = network.synthesis
    torch.manual_seed(0)
    ws = torch.randn(1, network.num_ws, network.w_dim)
    other = ws.clone()
    other[:, -1] += 1
    states: list = []
    img = synthesis(ws, trace=states)
    end = steps_within(synthesis, None)
    trace = SynthesisCache("hash", ("const", 1.0, 0), ws, {}).updated(ws, {}, 0, 0, states, end, img)
    full = trace.nbytes
    assert trace.start(end, end)[0] == end
    begins = []
    for share in (1, 2, 4, 16):
        trace.shrink(full // share)
        assert trace.nbytes <= full // share
        same = trace.unchanged(other, {}, synthesis)
        assert same == end - 1
        start = trace.start(same, end)
        begins.append(start[0])
        assert torch.equal(synthesis(other, start=start), synthesis(other))
    assert begins == sorted(begins, reverse=True)
    assert begins[0] == end - 1 > begins[-1] > 0
    trace.shrink(0)
    assert trace.nbytes == 0
    assert trace.start(end, end) is None


# -- models in memory ----------------------------------------------------------------------------------------------


def test_the_old_model_leaves_before_the_new_one_comes(models, monkeypatch):
    import studio.engine.engine as module

    with Engine(Library([models]), device="cpu", memory_budget=1) as engine:
        seen, load_info = [], module.load_info
        monkeypatch.setattr(module, "load_info", lambda *a: (seen.append(engine._models.keys()), load_info(*a))[1])
        engine.render(PLAIN)
        engine.render(Recipe(model="tiny-classes"))
        engine.render(PLAIN)
        assert seen == [[], [], []]
        assert engine.status()["loaded"] == ["tiny"]


def test_half_precision_stays_close(models):
    with Engine(Library([models]), device="cpu") as engine:
        exact = engine.render(PLAIN).astype(int)
    for precision in ("fp16", "bf16"):
        with Engine(Library([models]), device="cpu", precision=precision) as engine:
            got = engine.render(PLAIN).astype(int)
            edit = PLAIN.replace(edits=(Edit("random:0:0", 1, (6, 8)),))
            engine.submit("s", PLAIN).result()
            assert np.array_equal(engine.submit("s", edit).result(), engine.render(edit))
            assert engine.status()["precision"] == precision
        assert np.abs(got - exact).max() > 0
        assert np.abs(got - exact).mean() < 3
    with pytest.raises(StudioError, match="precision"):
        Engine(Library([models]), device="cpu", precision="fp8")


def test_status_can_be_asked_while_models_come_and_go(models):
    for i in range(4):
        save_tiny(models, f"m{i}", seed=i)
    with Engine(Library([models]), device="cpu", memory_budget=1) as engine:
        stop, failures = threading.Event(), []

        def look():
            while not stop.wait(0.0005):  # often, and yet not so that the engine starves
                try:
                    status = engine.status()
                    assert len(status["loaded"]) <= 1
                    assert (status["bytes"] > 0) == bool(status["loaded"])
                except Exception as e:
                    failures.append(e)
                    return

        threads = [threading.Thread(target=look) for _ in range(2)]
        for t in threads:
            t.start()
        for i in range(12):
            engine.render(Recipe(model=f"m{i % 4}"))
        stop.set()
        for t in threads:
            t.join()
        assert failures == []
