import json

import numpy as np
import pytest

from studio.cli.main import main
from studio.errors import StudioError
from studio.metrics import registry
from studio.metrics.evaluation import PairEvaluator, SetEvaluator
from studio.metrics.registry import FeatureMetric, PairMetric
from studio.models.card import training_card
from studio.sharing import hub_card
from studio.training import trainer
from studio.training.plan import Card, Plan
from studio.training.run_history import RunHistory


@pytest.fixture
def toys(monkeypatch):
    """Two metrics that are registered for one test: they are all that a new file in studio/metrics would have."""
    monkeypatch.setattr(registry, "_metrics", dict(registry._metrics))
    size = FeatureMetric(
        name="toy",
        title="TOY",
        basis="on nothing",
        sentence="How many pictures there are",
        better="higher",
        digits=1,
        exact_digits=2,
        compute=lambda real, made, seed: (float(len(made.features)), None),
    )
    off = PairMetric(
        name="off",
        title="OFF",
        basis="of grey",
        sentence="Levels apart",
        better="lower",
        unit="levels",
        digits=0,
        exact_digits=1,
        load=lambda device: lambda made, original, border: float(abs(made.mean() - original.mean())),
    )
    return registry.register(size), registry.register(off)


def test_the_metrics_of_the_studio():
    assert [m.name for m in registry.metrics()] == ["kid", "psnr", "ssim", "lpips"]
    assert registry.get_metric("kid").needs == {"features"}
    assert registry.get_metric("psnr").needs == {"pairs"}
    for metric in registry.metrics():
        assert metric.plot_title.startswith(metric.sentence)
        assert metric.title in metric.plot_title
    with pytest.raises(StudioError, match="no metric 'fid'"):
        registry.get_metric("fid")
    with pytest.raises(ValueError, match="registered already"):
        registry.register(registry.get_metric("kid"))


def test_keys_of_events_and_of_config_json_stay():
    found = {key for m in registry.metrics() for key in m.event_keys()}
    assert found == {*("kid", "kid_sd", "kid_b2a", "kid_b2a_sd", "psnr", "psnr_bicubic", "ssim", "ssim_bicubic", "lpips", "lpips_bicubic")}


def test_cards_say_what_they_always_said():
    training = {"kid": 0.21300798, "kid_sd": 0.0057, "kid_images": 5000}
    assert registry.card_rows(training) == [
        (
            "KID on EfficientNet-Lite0 features",
            "0.21301 ± 0.00570 (5,000 generated pictures; lower is better; not comparable with published figures on Inception features)",
        )
    ]
    both = registry.card_rows({**training, "kid_b2a": 0.5, "kid_b2a_sd": 0.1})
    assert [row[0].rpartition(", ")[2] for row in both] == ["A to B", "B to A"]
    held = {"psnr": 27.312, "psnr_bicubic": 26.1, "ssim": 0.81234, "ssim_bicubic": 0.8, "held_back": [["a", 1, 2]] * 7}
    assert registry.card_rows(held) == [
        ("PSNR of brightness (Y) on 7 pictures held back", "27.31 dB; bicubic 26.10 dB (higher is nearer to the original)"),
        ("SSIM of brightness (Y) on 7 pictures held back", "0.8123; bicubic 0.8000 (higher is nearer to the original)"),
    ]
    assert registry.summary(held) == "PSNR 27.31 dB, 1.21 above bicubic"
    assert registry.summary(training) == "KID 0.213"
    assert registry.summary({}) == ""
    (result,) = registry.get_metric("psnr").results(held)
    assert result.name == "PSNR of brightness (Y) on pictures held back, dB (higher is better)"


def test_a_new_metric_is_measured(toys):
    pictures = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
    values = SetEvaluator(pictures, size=32).measure(pictures[:3])
    assert values["toy"] == values["toy_images"] == 3
    assert "toy_sd" not in values
    assert PairEvaluator().measure(pictures[0], pictures[1])["off"] == pytest.approx(abs(pictures[0].mean() - pictures[1].mean()))


def test_a_metric_that_needs_labels_is_left_out_where_there_are_none(toys):
    registry.register(
        FeatureMetric(
            name="labelled",
            title="L",
            basis="",
            sentence="",
            better="higher",
            uses_labels=True,
            compute=lambda real, made, seed: (float((made.labels == real.labels).mean()), None),
        )
    )
    assert registry.get_metric("labelled").needs == {"features", "labels"}
    pictures, labels = np.zeros((4, 32, 32, 3), np.uint8), np.array([0, 1, 2, 0])
    assert "labelled" not in SetEvaluator(pictures, size=32).measure(pictures, labels)
    assert SetEvaluator(pictures, labels, size=32).measure(pictures, labels)["labelled"] == 1


def test_a_new_metric_is_seen_in_the_run_history_and_decides_which_snapshot_is_best(toys, tmp_path):
    events = [
        {"type": "start", "step": 0, "images": 0, "total_images": 2000},
        *({"type": "snapshot", "step": n, "images": 1000 * n, "path": f"s{n}", "toy": v, "off": 1} for n, v in ((1, 7.0), (2, 3.0))),
    ]
    (tmp_path / "events.jsonl").write_text("".join(json.dumps(e) + "\n" for e in events))
    history = RunHistory(tmp_path).refresh()
    assert [s.values for s in history.snapshots] == [{"toy": 7, "off": 1}, {"toy": 3, "off": 1}]
    metric = registry.deciding(s.values for s in history.snapshots)
    assert metric.name == "off"  # both stand at the end of the lists, by name
    assert registry.summary(history.snapshots[0].values) == "OFF 1 levels"
    assert history.best.path == tmp_path / "s1"


def test_a_new_metric_is_on_the_cards(toys):
    training = {"seconds": 60, "images_seen": 1000, "hardware": "1 x CPU", "precision": "fp32", "toy": 3.0, "toy_images": 3, "off": 2.25}
    card = training_card(Card(), training, 10, "0" * 64, measured=registry.card_rows(training))
    assert "| TOY on nothing | 3.00 (3 generated pictures; higher is better) |" in card
    assert "| OFF of grey on pictures held back | 2.2 levels (lower is nearer to the original) |" in card
    found = {r.metric_type: r.metric_name for r in hub_card._measured(training, "image-to-image")}
    assert found == {"toy": "TOY on nothing (higher is better)", "off": "OFF of grey on pictures held back, levels (lower is better)"}


def test_a_new_metric_is_printed_by_the_command_line(toys, monkeypatch, tmp_path, capsys):
    def train(plan, out, on_event, **_):
        on_event({"type": "snapshot", "step": 1, "images": 1000, "path": "s1", "toy": 3.0, "off": 2.0, "off_bicubic": 5.0})
        return tmp_path / "s1"

    monkeypatch.setattr(trainer, "train", train)
    plan = tmp_path / "plan.toml"
    plan.write_text(Plan().to_toml())
    assert main(["train", str(plan), "--out", str(tmp_path / "run")]) in (0, None)
    assert "snapshot s1  OFF 2.0 levels (bicubic 5.0)  TOY 3.00" in capsys.readouterr().out
