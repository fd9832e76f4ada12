"""Network bending in the engine, for every family that draws from noise."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from PIL import Image

from studio.engine.area import Area
from studio.engine.bend import Bend
from studio.engine.canvas import Canvas
from studio.engine.colour_grade import ColourGrade
from studio.engine.engine import Engine, to_uint8
from studio.engine.parameters import parameter
from studio.engine.recipe import Edit, Noise, Recipe, SeedWeight
from studio.errors import StudioError
from studio.latents.bending import OPERATIONS, bend
from studio.models.folder import save_folder
from studio.models.library import Library
from studio.networks import Task, families, get_family
from studio.settings import get_settings

SMALL = {
    "stylegan2": dict(resolution=32, z_dim=16, w_dim=16, channel_base=512, channel_max=32, mapping_layers=2),
    "stylegan": dict(resolution=16, z_dim=16, w_dim=16, channel_base=256, channel_max=16, mapping_layers=2),
    "stylegan3": dict(resolution=32, z_dim=16, w_dim=16, channel_base=256, channel_max=16, num_layers=5),
    "lucidrains": dict(resolution=16, w_dim=16, mapping_layers=2, capacity=4, channel_max=16, attention=(1,)),
    "biggan": dict(resolution=32, z_dim=16, c_dim=3, ch=4, shared_dim=8),
    "dcgan": dict(resolution=32, z_dim=16, ngf=8, channel_max=16),
    "gan": dict(resolution=8, z_dim=8, g_hidden=(16, 24)),
    "fastgan": dict(resolution=64, z_dim=16, widths=(8, 8, 8, 8, 4)),
    "r3gan": dict(resolution=16, z_dim=8, widths=(16, 16, 8), groups=(2, 2, 1)),
}
PLAIN = Recipe(model="stylegan2", psi=0.7)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a tiny model of each family, with random weights and noise that matters."""
    root = tmp_path_factory.mktemp("models")
    for name, config in SMALL.items():
        torch.manual_seed(0)
        family = get_family(name)
        network = family.generator(family.config(**config)).eval()
        for key, tensor in network.state_dict().items():
            if key.endswith(("noise_strength", "noise_weight", "w_avg", ".bias")):
                tensor.add_(torch.randn(tensor.shape) * 0.2)
        save_folder(
            root / name,
            name,
            dataclasses.asdict(network.config),
            network.state_dict(),
            title=name,
            classes=tuple("abc"[: network.c_dim]),
            thumbnail=Image.new("RGB", (8, 8)),
            dtype="float32",
        )
    return root


@pytest.fixture
def engine(folder, studio_home):
    with Engine(Library([folder]), device="cpu") as e:
        yield e


def test_every_family_that_draws_from_noise_is_here():
    assert set(SMALL) == {f.name for f in families() if f.task is Task.GENERATE}


def written_out(engine, recipe) -> torch.Tensor:
    """The picture (1, 3, H, W) of a recipe with bends of all channels, step by step."""
    model = engine.model(recipe.model)
    synthesis, ws = model.network.synthesis, engine.ws(recipe)[None]
    state = (None, None)
    with torch.inference_mode():
        for step in synthesis.steps:
            noise = lambda layer: layer.noise_const * layer.noise_strength if layer.use_noise else None  # noqa: E731
            x, img = step.run(ws[:, step.w_index], state, noise)
            for entry in recipe.bends:
                if entry.layer == step.name and entry.active:
                    if x is not None and x is not state[0]:
                        x = bend(x, OPERATIONS[entry.operation], entry.amount)
                    else:
                        img = bend(img, OPERATIONS[entry.operation], entry.amount)
            state = (x, img)
    return state[1]


@pytest.mark.parametrize("name", SMALL)
def test_every_layer_of_every_family_can_be_bent(engine, name):
    facts, plain = engine.facts(name), Recipe(model=name)
    steps = engine.model(name).network.synthesis.steps
    assert [layer.name for layer in facts.layers] == [step.name for step in steps]
    base = engine.render(plain)
    for layer in facts.layers:
        # After an instance normalisation of a constant nothing may be left of a factor; a share of the channels changes more.
        recipe = plain.replace(bends=(Bend(layer.name, "multiply", 3), Bend(layer.name, "add", 0.5)))
        expected = to_uint8(written_out(engine, recipe))[0]
        assert np.array_equal(engine.render(recipe), expected), layer
        assert not np.array_equal(expected, base), layer
        picture = engine.layer_picture(recipe, layer.name)
        assert picture.dtype == np.uint8
        assert picture.ndim == 3
        muted = plain.replace(bends=tuple(dataclasses.replace(b, muted=True) for b in recipe.bends))
        assert np.array_equal(engine.render(muted), base)


@pytest.mark.parametrize("name", [o.name for o in OPERATIONS.values() if o.apply is not None])
def test_every_operation_reaches_the_picture(engine, name):
    recipe = PLAIN.replace(bends=(Bend("b16.conv1", name, OPERATIONS[name].start),))
    assert np.array_equal(engine.render(recipe), to_uint8(written_out(engine, recipe))[0])
    assert not np.array_equal(engine.render(recipe), engine.render(PLAIN))


def test_bends_of_a_layer_act_in_their_order(engine):
    one, other = Bend("b8.conv1", "rotate", 40), Bend("b8.conv1", "translate_x", 0.3)
    pictures = [engine.render(PLAIN.replace(bends=bends)) for bends in ((one, other), (other, one))]
    assert not np.array_equal(*pictures)
    assert np.array_equal(pictures[0], to_uint8(written_out(engine, PLAIN.replace(bends=(one, other))))[0])


def test_layers_before_a_bend_come_from_the_cache(engine):
    steps = [layer.name for layer in engine.facts("stylegan2").layers]
    play = parameter("bend.b16.conv1.rotate")
    engine.submit("s", PLAIN).result()
    for amount in (10, 20, 0, 20):
        recipe = play.set(PLAIN, amount)
        got = engine.submit("s", recipe).result()
        assert engine.status()["steps_run"] == len(steps) - steps.index("b16.conv1")
        assert np.array_equal(got, engine.render(recipe))
    engine.submit("s", recipe).result()
    assert engine.status()["steps_run"] == 0
    recipe = recipe.replace(bends=(*recipe.bends, Bend("b32.conv1", "invert", 1)))
    got = engine.submit("s", recipe).result()
    assert engine.status()["steps_run"] == 2, "conv1 of the last block, and its picture"
    assert np.array_equal(got, engine.render(recipe))


@pytest.mark.parametrize("name", ["stylegan2", "stylegan", "stylegan3", "lucidrains", "biggan", "dcgan"])
def test_cached_layers_give_the_bits_of_a_full_run(engine, name):
    rng = np.random.default_rng(0)
    layers, recipe, skipped = engine.facts(name).layers, Recipe(model=name), 0
    for _ in range(25):
        bends = list(recipe.bends)
        layer, operation = layers[rng.integers(len(layers))].name, ["add", "rotate", "blur", "threshold", "flip_x"][rng.integers(5)]
        new = Bend(layer, operation, float(rng.uniform(0, 1)), ["all", "0-1", "random:50:1"][rng.integers(3)], bool(rng.random() < 0.2))
        bends = [*[b for b in bends if b.key != new.key][-3:], new]
        recipe = recipe.replace(bends=tuple(bends))
        if rng.random() < 0.3:
            recipe = recipe.replace(edits=(Edit("random:0:0", float(rng.normal())),))
        got = engine.submit("s", recipe).result()
        skipped += engine.status()["steps_all"] - engine.status()["steps_run"]
        assert np.array_equal(got, engine.render(recipe))
    assert skipped > 5, "layers really were reused"


def test_sheets_are_bent_alike(engine):
    recipes = [PLAIN.replace(seeds=(SeedWeight(i),), bends=(Bend("b8.conv1", "rotate", 90),) if i % 2 else ()) for i in range(6)]
    for picture, recipe in zip(engine.render_many(recipes), recipes, strict=True):
        assert np.abs(picture.astype(int) - engine.render(recipe)).max() <= 1


def test_noise_of_one_layer(engine):
    """Its strength alone, or frozen where the others are random, whose noise stays what it was."""
    silent = engine.render(PLAIN.replace(bends=(Bend("b32.conv1", "noise", 0),)))
    network = engine.model("stylegan2").network
    layer = network.synthesis.b32.conv1
    strength = layer.noise_strength.clone()
    with torch.inference_mode():
        layer.noise_strength.zero_()
    assert np.array_equal(engine.render(PLAIN), silent)
    with torch.inference_mode():
        layer.noise_strength.copy_(strength * 2.5)
    louder = engine.render(PLAIN)
    with torch.inference_mode():
        layer.noise_strength.copy_(strength)
    assert np.array_equal(engine.render(PLAIN.replace(bends=(Bend("b32.conv1", "noise", 2.5),))), louder)

    random = PLAIN.replace(noise=Noise("random", 3))
    frozen = random.replace(bends=(Bend("b32.conv1", "freeze", 1),))
    assert not np.array_equal(engine.render(frozen), engine.render(random))
    generator = torch.Generator().manual_seed(3)

    def noise(layer):
        drawn = torch.randn(1, 1, layer.resolution, layer.resolution, generator=generator)
        return (layer.noise_const if layer is network.synthesis.b32.conv1 else drawn) * layer.noise_strength

    state, ws = (None, None), engine.ws(random)[None]
    with torch.inference_mode():
        for step in network.synthesis.steps:
            state = step.run(ws[:, step.w_index], state, noise)
    assert np.array_equal(engine.render(frozen), to_uint8(state[1])[0])


def test_what_does_not_fit_the_model_is_a_sentence(engine):
    for bends, message in (
        ((Bend("b64.conv1", "rotate", 30),), "no layer 'b64.conv1'"),
        ((Bend("b64.conv1", "rotate", 0, muted=True),), "no layer"),
        ((Bend("b8.conv1", "rotate", 30, "500-510"),), "channels, counted from 0"),
    ):
        for ask in (engine.render, lambda r: engine.submit("s", r).result(), lambda r: engine.render_many([r])):
            with pytest.raises(StudioError, match=message):
                ask(PLAIN.replace(bends=bends))
    with pytest.raises(StudioError, match="no places"):
        engine.render(Recipe(model="gan", bends=(Bend("fc0", "rotate", 30),)))
    assert engine.render(PLAIN).any()


def test_clusters_are_found_once_and_kept(engine, folder):
    recipe = PLAIN.replace(bends=(Bend("b16.conv1", "ablate", 1, "cluster:1:4"),))
    picture = engine.render(recipe)
    file = get_settings().cache / "channel-clusters" / f"{engine.library.get('stylegan2').hash}.json"
    layers = json.loads(file.read_bytes())["layers"]
    assert list(layers) == [layer.name for layer in engine.facts("stylegan2").layers]
    assert all(set(counts) == {"4", "8", "16"} for counts in layers.values())
    kept = layers["b16.conv1"]["4"]
    channels = len(kept)
    assert set(kept) == {0, 1, 2, 3}
    # The picture is that of the channels of cluster 1, one by one.
    network, chosen = engine.model("stylegan2").network, torch.tensor([i for i in range(channels) if kept[i] == 1])
    with torch.inference_mode():
        state, ws = (None, None), engine.ws(recipe)[None]
        for step in network.synthesis.steps:
            state = step.run(ws[:, step.w_index], state, lambda layer: layer.noise_const * layer.noise_strength)
            if step.name == "b16.conv1":
                state[0][:, chosen] = 0
    assert np.array_equal(picture, to_uint8(state[1])[0])
    # What is in the file is used, not found anew.
    turned = [3 - k for k in kept]
    file.write_text(json.dumps({"layers": {"b16.conv1": {"4": turned}}}))
    with Engine(Library([folder]), device="cpu") as another:
        third = another.render(recipe.replace(bends=(Bend("b16.conv1", "ablate", 1, "cluster:2:4"),)))
    assert np.array_equal(third, picture)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"layers": 3}', '{"layers": {"b16.conv1": {"4": [0, 9]}}}', '{"layers": {"b16.conv1": {"4": [0]}}}']
)
def test_a_damaged_file_of_clusters_is_made_anew(engine, text):
    file = get_settings().cache / "channel-clusters" / f"{engine.library.get('stylegan2').hash}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    recipe = PLAIN.replace(bends=(Bend("b16.conv1", "ablate", 1, "cluster:1:4"),))
    assert not np.array_equal(engine.render(recipe), engine.render(PLAIN))
    assert len(json.loads(file.read_bytes())["layers"]["b16.conv1"]["4"]) == 32


@pytest.mark.parametrize("name", SMALL)
def test_every_family_has_clusters(engine, name):
    for layer in engine.facts(name).layers:
        recipe = Recipe(model=name, bends=(Bend(layer.name, "add", 2, "cluster:0:4"),))
        assert not np.array_equal(engine.render(recipe), engine.render(Recipe(model=name))), layer


def test_in_half_precision_bends_areas_and_canvases_give_nearly_the_same(folder, studio_home):
    recipes = [
        PLAIN.replace(bends=(Bend("b16.conv1", "rotate", 30), Bend("b8.conv0", "blur", 1, "random:50:0"), Bend("b32.torgb", "add", 0.1))),
        PLAIN.replace(areas=(Area(5),), canvas=Canvas(1.5, tileable=True), colour=ColourGrade(exposure=0.5)),
    ]
    with Engine(Library([folder]), device="cpu") as full, Engine(Library([folder]), device="cpu", precision="bf16") as half:
        for recipe in recipes:
            a, b = full.render(recipe).astype(int), half.render(recipe).astype(int)
            assert np.abs(a - b).mean() < 4
            assert np.array_equal(half.submit("s", recipe).result(), b)


def test_without_a_folder_that_can_be_written_clusters_stay_in_memory(engine, studio_home):
    (studio_home / "cache").mkdir(parents=True, exist_ok=True)
    (studio_home / "cache" / "channel-clusters").write_text("a file where a folder should be")
    recipe = PLAIN.replace(bends=(Bend("b16.conv1", "ablate", 1, "cluster:1:4"),))
    assert np.array_equal(engine.render(recipe), engine.render(recipe))


def test_pictures_of_a_layer(engine):
    network = engine.model("stylegan2").network
    trace = []
    with torch.inference_mode():
        network.synthesis(engine.ws(PLAIN)[None], trace=trace)
    names = [step.name for step in network.synthesis.steps]
    maps = trace[names.index("b16.conv1") + 1][0][0].numpy()  # (32, 16, 16)
    alone = engine.layer_picture(PLAIN, "b16.conv1", channel=5)
    assert alone.shape == (256, 256, 3)
    low, high = maps[5].min(), maps[5].max()
    assert np.array_equal(alone[8::16, 8::16, 0], np.round((maps[5] - low) / (high - low) * 255).astype(np.uint8))
    sheet = engine.layer_picture(PLAIN, "b16.conv1")
    assert sheet.shape == (6 * 33 + 1, 6 * 33 + 1, 3)
    low, high = maps[7].min(), maps[7].max()  # second row, second cell
    assert np.array_equal(sheet[35:66:2, 35:66:2, 0], np.round((maps[7] - low) / (high - low) * 255).astype(np.uint8))
    # Of a step that makes a picture, that picture.
    assert np.array_equal(engine.layer_picture(PLAIN, "b32.torgb")[4::8, 4::8], engine.render(PLAIN))
    # Cached layers give the same, and no bend is forgotten.
    bent = PLAIN.replace(bends=(Bend("b8.conv1", "rotate", 90),))
    engine.submit("s", bent).result()
    assert np.array_equal(engine.layer_picture(bent, "b16.conv1", session="s"), engine.layer_picture(bent, "b16.conv1"))
    assert not np.array_equal(engine.layer_picture(bent, "b16.conv1"), sheet)
    assert np.array_equal(engine.submit("s", PLAIN).result(), engine.render(PLAIN))
    for layer, channel in (("b64.conv1", None), ("b16.conv1", 32), ("b16.conv1", -1)):
        with pytest.raises(StudioError):
            engine.layer_picture(PLAIN, layer, channel)
    assert engine.layer_picture(Recipe(model="gan"), "fc1").shape[2] == 3
