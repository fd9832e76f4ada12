"""`studio plan` and `studio jobs keep`."""

import shutil
from pathlib import Path

import pytest

from studio.cli.main import main
from studio.datasets.store import DataSetStore
from studio.jobs import requests
from studio.jobs.queue import JobStore
from studio.models.library import default_library
from studio.training.plan import Plan
from studio.training.plan_builder import PlanChoices, build_plan
from studio.training.run_history import RunHistory

RUN = Path(__file__).parents[2] / "fixtures" / "first_studio" / "run"


def test_a_plan_is_the_one_that_the_train_tab_makes(studio_home, pictures, tmp_path, capsys):
    assert main(["dataset", "add", str(pictures), "--title", "Shapes", "--mine", "--min-side", "8"]) == 0
    file = tmp_path / "plan.toml"
    words = ["plan", "Shapes", "--method", "dcgan", "--resolution", "32", "--mirror", "--seed", "4", "--device", "cpu", "-o", str(file)]
    assert main(words) == 0
    stored = DataSetStore().get("Shapes")
    assert Plan.load(file) == build_plan(PlanChoices("dcgan", resolution=32, mirror=True, seed=4), stored)
    capsys.readouterr()
    assert main(["plan", "Shapes", "--method", "cyclegan", "-o", str(tmp_path / "no.toml")]) == 2
    assert capsys.readouterr().err.startswith("studio: ")
    assert not (tmp_path / "no.toml").exists()


@pytest.fixture
def job(studio_home, tmp_path):
    """A training with one snapshot, in the queue."""
    run = tmp_path / "run"
    shutil.copytree(RUN, run)
    return JobStore(studio_home / "jobs.sqlite").add("Fairies", (run / "plan.toml").read_text(), run, "aaaa1111")


def test_a_snapshot_is_kept_as_a_model(job, capsys):
    snapshots = RunHistory(job.run_dir).refresh().snapshots
    assert main(["jobs", "keep", "aaaa", "--title", "Fairy", "--kimg", "0"]) == 0
    kept = capsys.readouterr().out.split()[0]
    info = default_library().get(kept)
    assert info.title == "Fairy"
    assert (info.path / "model.safetensors").read_bytes() == (snapshots[0].path / "model.safetensors").read_bytes()
    assert main(["jobs", "keep", "bbbb"]) == 2


def test_without_a_snapshot_it_is_said(studio_home, tmp_path, capsys):
    JobStore(studio_home / "jobs.sqlite").add("Empty", (RUN / "plan.toml").read_text(), tmp_path / "nowhere", "cccc1111")
    assert main(["jobs", "keep", "cccc"]) == 2
    assert "no snapshot yet" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ('family = "stylegan3"', "cannot be trained"),
        ('family = "srvgg"\n[data]\nresolution = 61', "resolution"),
        ('family = "dcgan"\n[data]\nresolution = 64', "names no pictures"),
        ('family = "dcgan"\n[data]\nresolution = 64\npath = "nowhere"', "are not there"),
        ('family = "cyclegan"\n[data]\nresolution = 64\npath = "."', "data.path_b"),
        ('family = "dcgan"\nbase = "nobody"\n[data]\nresolution = 64\npath = "."', "nobody"),
    ],
)
def test_a_plan_that_can_never_run_is_not_queued(studio_home, tmp_path, capsys, change, words):
    file = tmp_path / "plan.toml"
    file.write_text(change)
    assert main(["jobs", "add", str(file)]) == 2
    assert words in capsys.readouterr().err
    assert JobStore(studio_home / "jobs.sqlite").list() == []


def test_a_queue_whose_trainings_failed_says_so(studio_home, tmp_path, capsys):
    store = JobStore(studio_home / "jobs.sqlite")
    requests.submit(store, studio_home / "runs", Plan(), "No pictures")
    assert main(["jobs", "run"]) == 2
    out, err = capsys.readouterr()
    assert "failed" in out
    assert "1 of 1 trainings failed" in err


def test_a_second_ctrl_c_names_the_newest_snapshot(tmp_path, monkeypatch, capsys):
    run = tmp_path / "run"
    shutil.copytree(RUN, run)

    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("studio.training.trainer.train", interrupted)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    assert main(["train", str(run / "plan.toml"), "--out", str(run)]) == 130
    assert str(RunHistory(run).refresh().snapshots[-1].path) in capsys.readouterr().out


def test_a_licence_that_the_pictures_do_not_allow_is_refused(studio_home, pictures, tmp_path, capsys):
    assert main(["dataset", "add", str(pictures), "--title", "Shapes", "--licence", "CC BY-SA 4.0", "--min-side", "8"]) == 0
    words = ["plan", "Shapes", "--method", "dcgan", "--resolution", "32", "--device", "cpu", "-o", str(tmp_path / "plan.toml")]
    assert main([*words, "--licence", "CC-BY-NC-4.0"]) == 2
    assert "only CC-BY-SA-4.0 or GPL 3.0" in capsys.readouterr().err
    assert main([*words, "--licence", "CC-BY-SA-4.0"]) == 0
    from_base = [*words, "--base", "lpc-characters", "--method", "stylegan2", "--resolution", "64"]
    assert main([*from_base, "--licence", "CC-BY-SA-3.0"]) == 2, "the pictures' is newer"
    assert main([*from_base, "--licence", "CC-BY-SA-4.0"]) == 0
