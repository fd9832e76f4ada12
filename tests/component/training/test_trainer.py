import dataclasses
import os
import random
import subprocess
import sys
from pathlib import Path

import filelock
import numpy as np
import pytest
import torch
from PIL import Image

from studio.engine.engine import Engine
from studio.engine.recipe import ClassWeight, Recipe
from studio.errors import StudioError
from studio.imaging.xmp import DigitalSourceType, stated_source_type
from studio.models.folder import open_folder
from studio.models.library import Library
from studio.models.weights_file import read_tensors
from studio.provenance.metadata import read_packet
from studio.training.events import EventLog, read_events
from studio.training.plan import Augment, Budget, Card, Data, Objective, Optimizer, Plan
from studio.training.randomness import DataOrder, derive
from studio.training.run_history import RunHistory
from studio.training.trainer import train

NETWORK = dict(z_dim=16, w_dim=16, channel_base=256, channel_max=16, mapping_layers=2)


def tiny_plan(pictures: Path, **changes) -> Plan:
    plan = Plan(
        seed=3,
        precision="fp32",
        data=Data(path=str(pictures), resolution=16, mirror=True),
        network=NETWORK,
        objective=Objective(r1_interval=3),
        optimizer=Optimizer(batch=8),
        budget=Budget(kimg=0.16, log_kimg=0.008, sample_kimg=0.08, snapshot_kimg=0.08, state_kimg=0.024),
        card=Card(title="Discs", licence="CC0-1.0", attribution="Drawn by the test."),
    )
    return dataclasses.replace(plan, **changes)


def numbers(run: Path) -> list[dict]:
    """The events without what hangs on the clock."""
    return [{k: v for k, v in e.items() if k not in ("seconds", "memory")} for e in read_events(run / "events.jsonl")[0]]


def same_state(a: Path, b: Path) -> bool:
    def flat(value, path=""):
        if isinstance(value, dict):
            for k, v in value.items():
                yield from flat(v, f"{path}/{k}")
        elif isinstance(value, (list, tuple)):
            for i, v in enumerate(value):
                yield from flat(v, f"{path}/{i}")
        else:
            yield path, value

    one, two = (dict(flat(torch.load(run / "state.pt", weights_only=True))) for run in (a, b))
    for state in (one, two):
        state.pop("/seconds")
        state.pop("/events_length")  # counts the digits of the clock's times as well
    assert one.keys() == two.keys()
    return all(torch.equal(v, two[k]) if isinstance(v, torch.Tensor) else v == two[k] for k, v in one.items())


def test_a_run_makes_sheets_snapshots_and_a_model_that_renders(pictures, studio_home, tmp_path):
    told = []
    last = train(tiny_plan(pictures), tmp_path / "run", on_event=told.append, device="cpu")
    assert told == read_events(tmp_path / "run" / "events.jsonl")[0]
    kinds = [e["type"] for e in told]
    assert kinds[0] == "start"
    assert kinds[-1] == "done"
    assert kinds.count("step") == 20
    assert kinds.count("snapshot") == 2
    for event in told:
        if event["type"] in ("sample", "snapshot"):
            assert (tmp_path / "run" / event["path"]).exists()
    marks = [stated_source_type(read_packet(tmp_path / "run" / name)) for name in ("samples/img000000160.webp", "reals.webp")]
    assert marks == [DigitalSourceType.GENERATED.value, ""], "what was drawn is marked as made by AI, what was taken in is not"
    with Image.open(tmp_path / "run" / "samples" / "img000000160.webp") as sheet:
        assert sheet.size == (128, 128)
    info = open_folder(last)
    card = (last / "README.md").read_text()
    assert "Drawn by the test." in card
    assert "160" in card
    assert info.licence == "CC0-1.0"
    assert Plan.load(last / "plan.toml").data.hash == Plan.load(tmp_path / "run" / "plan.toml").data.hash != ""
    with Engine(Library([last.parent]), device="cpu") as engine:
        assert engine.render(Recipe(model=last.name)).shape == (16, 16, 3)


def test_the_same_plan_gives_the_same_numbers(pictures, studio_home, tmp_path):
    plan = tiny_plan(pictures, budget=Budget(kimg=0.04, log_kimg=0.008))
    for name in ("a", "b"):
        train(plan, tmp_path / name, device="cpu")
    assert numbers(tmp_path / "a") == numbers(tmp_path / "b")
    assert same_state(tmp_path / "a", tmp_path / "b")
    train(dataclasses.replace(plan, seed=4), tmp_path / "c", device="cpu")
    assert not same_state(tmp_path / "a", tmp_path / "c")


@pytest.mark.parametrize(
    "changes",
    [
        dict(augment=Augment("ada", p=0.5, kimg=0.05), objective=Objective(r1_interval=2, pl_weight=2.0, pl_interval=3)),
        dict(augment=Augment("diffaugment"), data="conditional"),
    ],
    ids=["ada, path length", "diffaugment, classes"],
)
def test_stopping_anywhere_changes_nothing(pictures, studio_home, tmp_path, changes):
    plan = tiny_plan(pictures, budget=Budget(kimg=0.08, log_kimg=0.016, state_kimg=1, sample_kimg=0.032))
    if changes.get("data") == "conditional":
        changes = {**changes, "data": dataclasses.replace(plan.data, conditional=True)}
    plan = dataclasses.replace(plan, **changes)
    train(plan, tmp_path / "whole", device="cpu")
    for _ in range(20):
        asked = iter([False, False, False, True])
        train(plan, tmp_path / "parts", should_stop=lambda asked=asked: next(asked), device="cpu")
        if numbers(tmp_path / "parts")[-1]["type"] == "done":
            break
    whole = [e for e in numbers(tmp_path / "whole") if e["type"] == "step"]
    assert whole == [e for e in numbers(tmp_path / "parts") if e["type"] == "step"]
    a, b = (torch.load(tmp_path / n / "state.pt", weights_only=True)["objective"] for n in ("whole", "parts"))
    assert all(torch.equal(a["G"][k], b["G"][k]) for k in a["G"])
    if plan.augment.kind == "ada":
        assert a["ada"] == b["ada"]
        assert len({e["ada_p"] for e in whole}) > 2
    if plan.data.conditional:
        last = sorted((tmp_path / "whole" / "snapshots").iterdir())[-1]
        with Engine(Library([last.parent]), device="cpu") as engine:
            assert engine.model(last.name).classes == ("disc", "square")
            one, two = (engine.render(Recipe(model=last.name, classes=(ClassWeight(i),))) for i in (0, 1))
            assert not np.array_equal(one, two)


def test_killed_at_random_moments_it_ends_the_same(pictures, studio_home, tmp_path):
    """SIGKILL to a real process, several times; the events and every tensor equal those of a run left alone."""
    plan = tmp_path / "plan.toml"
    plan.write_text(tiny_plan(pictures).to_toml())
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}

    def start(run):
        command = [sys.executable, "-m", "studio", "train", str(plan), "--out", str(run), "--device", "cpu"]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    train(Plan.load(plan), tmp_path / "alone", device="cpu")
    rng, kills = random.Random(7), 0
    while True:
        process = start(tmp_path / "killed")
        lines = rng.randint(3, 9) if kills < 3 else 10_000
        for i, _line in enumerate(process.stdout):
            if i == lines:
                process.kill()
                kills += 1
        process.wait(timeout=300)
        if process.returncode == 0:
            break
        assert process.returncode == -9
    assert kills == 3
    assert numbers(tmp_path / "alone") == numbers(tmp_path / "killed")
    assert same_state(tmp_path / "alone", tmp_path / "killed")
    for run in ("alone", "killed"):
        assert not list((tmp_path / run).rglob("*.part")) or run == "killed"


def test_two_processes_train_as_one(pictures, studio_home, tmp_path):
    """Randomness depends on the micro-batch, so that distributing micro-batches changes rounding at most."""
    plan = tiny_plan(pictures, optimizer=Optimizer(batch=8, micro_batch=4), budget=Budget(kimg=0.04, log_kimg=0.008))
    (tmp_path / "plan.toml").write_text(plan.to_toml())
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", "studio", "train"]
    command += [str(tmp_path / "plan.toml"), "--out", str(tmp_path / "two"), "--device", "cpu"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    train(plan, tmp_path / "one", device="cpu")
    assert [numbers(tmp_path / run)[0]["processes"] for run in ("one", "two")] == [1, 2]
    one, two = ([e for e in numbers(tmp_path / run) if e.pop("type") == "step"] for run in ("one", "two"))
    for a, b in zip(one, two, strict=True):
        assert a == pytest.approx(b, rel=1e-4, abs=1e-5)
    states = [torch.load(tmp_path / run / "state.pt", weights_only=True)["objective"]["ema"] for run in ("one", "two")]
    assert max(float((states[0][k] - states[1][k]).abs().max()) for k in states[0]) < 1e-3


def test_the_projected_discriminator_trains_stops_and_goes_on(pictures, studio_home, tmp_path):
    plan = tiny_plan(
        pictures,
        objective=Objective(loss="hinge", discriminator="projected", r1_gamma=0),
        augment=Augment("diffaugment", "color"),
        optimizer=Optimizer(batch=4),
        budget=Budget(kimg=0.016, log_kimg=0.004),
    )
    train(plan, tmp_path / "whole", device="cpu")
    asked = iter([False, False, True])
    train(plan, tmp_path / "parts", should_stop=lambda: next(asked), device="cpu")
    train(plan, tmp_path / "parts", device="cpu")
    assert [e for e in numbers(tmp_path / "whole") if e["type"] == "step"] == [
        e for e in numbers(tmp_path / "parts") if e["type"] == "step"
    ]
    state = torch.load(tmp_path / "parts" / "state.pt", weights_only=True)["objective"]
    assert not any("stages" in k for k in state["D"]), "the feature network is no part of the state"
    with pytest.raises(StudioError, match="does not know classes"):
        train(dataclasses.replace(plan, data=dataclasses.replace(plan.data, conditional=True)), tmp_path / "bad", device="cpu")


def test_micro_batches_are_gradient_accumulation(pictures, studio_home, tmp_path):
    """With the minibatch deviation off, a batch in two halves has the gradients of the whole, up to its own draws."""
    plan = tiny_plan(pictures, network={**NETWORK, "mbstd_num_channels": 0}, budget=Budget(kimg=0.016, log_kimg=0.008))
    train(dataclasses.replace(plan, optimizer=Optimizer(batch=8, micro_batch=4)), tmp_path / "halves", device="cpu")
    steps = [e for e in numbers(tmp_path / "halves") if e["type"] == "step"]
    assert len(steps) == 2
    assert all(np.isfinite(e["loss_d"]) for e in steps)


def test_it_learns_the_colour_of_the_data(studio_home, tmp_path):
    """Plain orange pictures: after a short run the generator's mean colour is near it, before it is not."""
    folder = tmp_path / "orange"
    folder.mkdir()
    for i in range(16):
        Image.new("RGB", (8, 8), (230 - i, 130 + i, 30)).save(folder / f"{i}.png")
    plan = tiny_plan(
        folder,
        data=Data(path=str(folder), resolution=8),
        optimizer=Optimizer(batch=16, ema_kimg=0.2, lr_g=0.01, lr_d=0.01),
        budget=Budget(kimg=4.8, sample_kimg=100, snapshot_kimg=100, state_kimg=100, log_kimg=1),
    )
    train(plan, tmp_path / "run", device="cpu")
    sheets = sorted((tmp_path / "run" / "samples").iterdir())
    first, last = (np.asarray(Image.open(s)).reshape(-1, 3).mean(axis=0) for s in (sheets[0], sheets[-1]))
    goal = np.array([222, 138, 30])
    assert np.abs(last - goal).max() < 40 < np.abs(first - goal).max()


def test_starting_from_a_model(pictures, studio_home, tmp_path):
    plan = tiny_plan(pictures, budget=Budget(kimg=0.016, log_kimg=0.008))
    base = train(plan, tmp_path / "base", device="cpu")
    tuned = dataclasses.replace(plan, base=str(base), network={}, optimizer=Optimizer(batch=8, lr_g=1e-12, lr_d=1e-12))
    again = train(tuned, tmp_path / "tuned", device="cpu")
    a, b = (open_folder(p) for p in (base, again))
    one, two = read_tensors(a.path / "model.safetensors"), read_tensors(b.path / "model.safetensors")
    assert max(float((one[k] - two[k]).abs().max()) for k in one if "w_avg" not in k) < 1e-3
    with pytest.raises(StudioError, match="uses that model's family"):
        train(dataclasses.replace(tuned, network=NETWORK), tmp_path / "bad", device="cpu")


def test_starting_from_a_model_of_another_size_without_classes(pictures, studio_home, tmp_path):
    plan = tiny_plan(pictures, budget=Budget(kimg=0.016, log_kimg=0.008))
    base = train(plan, tmp_path / "base", device="cpu")
    told = []
    larger = dataclasses.replace(
        plan,
        base=str(base),
        network={},
        data=Data(path=str(pictures), resolution=32, conditional=True),
        optimizer=Optimizer(batch=8, lr_g=1e-12, lr_d=1e-12),
    )
    model = open_folder(train(larger, tmp_path / "larger", on_event=told.append, device="cpu"))
    assert model.resolution == 32
    assert len(model.classes) == 2
    sentence = RunHistory(tmp_path / "larger").refresh().transfer_summary
    assert sentence.startswith("Taken over: ")
    assert "tensors of the critic (discriminator)" in sentence
    assert RunHistory(tmp_path / "base").refresh().transfer_summary == ""
    parts = told[0]["transferred"]
    assert all("b32" in n or "embed" in n for n in parts["generator"]["new"])
    assert {n for n in parts["discriminator"]["new"] if n.startswith(("b16", "b8"))} == set()
    old, new = (read_tensors(p / "model.safetensors") for p in (base, model.path))
    assert torch.allclose(old["synthesis.b16.conv1.weight"], new["synthesis.b16.conv1.weight"], atol=1e-3)


def test_freeze_d_keeps_the_layers_next_to_the_pixels(pictures, studio_home, tmp_path):
    plan = tiny_plan(pictures, budget=Budget(kimg=0.064, log_kimg=0.008))
    base = train(plan, tmp_path / "base", device="cpu")
    tuned = dataclasses.replace(plan, base=str(base), network={}, objective=Objective(r1_interval=3, freeze_d=1))
    again = train(tuned, tmp_path / "tuned", device="cpu")
    one, two = (read_tensors(p / "discriminator.safetensors") for p in (base, again))
    kept = {k for k in one if torch.equal(one[k], two[k])}
    assert {k for k in one if k.startswith("b16.")} <= kept
    assert not {k for k in one if k.startswith(("b8.", "b4.")) and k.endswith("weight")} & kept
    with pytest.raises(StudioError, match="freeze_d"):
        dataclasses.replace(plan, objective=Objective(freeze_d=1))


def test_what_cannot_be_trained_is_told(pictures, studio_home, tmp_path):
    plan = tiny_plan(pictures, budget=Budget(kimg=0.008, log_kimg=0.008))
    flat = tmp_path / "flat"
    flat.mkdir()
    Image.new("RGB", (16, 16)).save(flat / "a.png")
    for bad, words in (
        (dataclasses.replace(plan, data=Data(path=str(tmp_path / "none"), resolution=16)), "nothing at"),
        (dataclasses.replace(plan, data=Data(path=str(flat), resolution=16, conditional=True)), "one folder"),
        (dataclasses.replace(plan, data=dataclasses.replace(plan.data, hash="0" * 64)), "not the ones"),
        (dataclasses.replace(plan, data=dataclasses.replace(plan.data, resolution=17)), "power of two"),
        (dataclasses.replace(plan, network={"colour": 1}), "not a setting"),
        (dataclasses.replace(plan, objective=Objective(loss="what")), "no loss"),
        (dataclasses.replace(plan, family="what"), "no family"),
    ):
        with pytest.raises(StudioError, match=words):
            train(bad, tmp_path / "bad", device="cpu")
        (tmp_path / "bad" / "plan.toml").unlink(missing_ok=True)
    train(plan, tmp_path / "run", device="cpu")
    with pytest.raises(StudioError, match="another plan"):
        train(dataclasses.replace(plan, seed=9), tmp_path / "run", device="cpu")
    longer = dataclasses.replace(plan, budget=Budget(kimg=0.016, log_kimg=0.008))
    assert train(longer, tmp_path / "run", device="cpu").name == "img000000016"
    with filelock.FileLock(tmp_path / "run" / ".lock"), pytest.raises(StudioError, match="is running in"):
        train(plan, tmp_path / "run", device="cpu")


def test_plan_round_trip_and_bad_plans(pictures, tmp_path):
    plan = tiny_plan(pictures)
    assert Plan.from_toml(plan.to_toml()) == plan
    (tmp_path / "plan.toml").write_text('[data]\npath = "pics"\n')
    assert Plan.load(tmp_path / "plan.toml").data.path == str(tmp_path.resolve() / "pics")
    for bad in (
        "what",
        "colour = 1",
        "seed = -1",
        'seed = "a"',
        "seed = true",
        "data = 3",
        "[data]\nresolution = 1.5",
        "[budget]\nkimg = nan",
        "[budget]\nkimg = 0",
        "[optimizer]\nbatch = 8\nmicro_batch = 3",
        '[augment]\nkind = "x"',
        'precision = "fp8"',
        "[augment]\np = 2",
    ):
        with pytest.raises(StudioError):
            Plan.from_toml(bad)
    with pytest.raises(StudioError):
        Plan.load(tmp_path / "missing.toml")


def test_order_of_pictures():
    order = DataOrder(10, seed=1)
    first, second = order.indices(0, 10), order.indices(10, 10)
    assert sorted(first) == sorted(second) == list(range(10))
    assert list(first) != list(second)
    assert list(DataOrder(10, seed=1).indices(7, 6)) == [*first[7:], *second[:3]]
    assert len({derive(0, "a", 1), derive(0, "a", 2), derive(1, "a", 1), derive(0, "b", 1)}) == 4


def test_event_file_survives_a_torn_line(tmp_path):
    path = tmp_path / "events.jsonl"
    log = EventLog(path)
    log.write({"a": 1})
    length = log.sync()
    log.write({"a": 2})
    log.close()
    with open(path, "ab") as f:
        f.write(b'{"a": 3')
    events, offset = read_events(path)
    assert events == [{"a": 1}, {"a": 2}]
    assert read_events(path, offset) == ([], offset)
    again = EventLog(path, length)
    again.write({"a": 9})
    again.close()
    assert read_events(path)[0] == [{"a": 1}, {"a": 9}]
    assert read_events(tmp_path / "missing") == ([], 0)


def test_a_set_too_small_for_kid_is_refused_before_it_starts(studio_home, tmp_path):
    (tmp_path / "one").mkdir()
    Image.new("RGB", (16, 16)).save(tmp_path / "one" / "1.png")
    events = []
    plan = tiny_plan(tmp_path / "one", budget=Budget(kimg=0.016, metric_images=8))
    with pytest.raises(StudioError, match="only one picture"):
        train(plan, tmp_path / "run", on_event=events.append, device="cpu")
    with pytest.raises(StudioError, match="one generated picture"):
        train(
            dataclasses.replace(plan, budget=Budget(kimg=0.016, metric_images=1)), tmp_path / "run2", on_event=events.append, device="cpu"
        )
    assert events == []
    without = dataclasses.replace(plan, budget=Budget(kimg=0.008))
    assert train(without, tmp_path / "run3", device="cpu").is_dir(), "without KID one picture will do"
