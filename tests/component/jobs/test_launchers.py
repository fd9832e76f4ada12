"""One training on several processes, and on a real Ray cluster that is started here."""

import contextlib
import dataclasses
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import psutil
import pytest
import torch

from studio.errors import StudioError
from studio.jobs.launchers.choose import choose_launcher
from studio.jobs.launchers.local import LocalLauncher, worker_command
from studio.jobs.supervisor import Supervisor
from studio.models.folder import open_folder
from studio.training.plan import Budget, Optimizer
from studio.training.run_history import RunHistory
from studio.training.trainer import train
from tests.component.jobs.test_jobs import begun, endless, worker_of
from tests.component.training.test_trainer import numbers, same_state, tiny_plan
from tests.component.training.test_translation import ORANGE, TEAL, cycle_plan, squares

LONG = 300  # seconds after which a test gives up waiting


@pytest.fixture
def plan(pictures):
    return tiny_plan(pictures)


# -- several processes ---------------------------------------------------------------------------------------------------


def test_two_processes_train_as_one_also_when_paused_and_when_their_launcher_is_killed(studio_home, plan, tmp_path):
    budget = Budget(kimg=0.48, log_kimg=0.008, state_kimg=0.024, snapshot_kimg=0.24)
    plan = dataclasses.replace(plan, optimizer=Optimizer(batch=8, micro_batch=4), budget=budget)
    alone = tmp_path / "alone"
    train(plan, alone, device="cpu")
    with Supervisor(launcher=LocalLauncher(processes=2), every=0.02) as s:
        job = s.submit(plan, "Two")
        s.wait_for(lambda: begun(s, job.id, 0.03) or s.job(job.id).state == "failed", LONG)
        ranks = worker_of(s, job.id).children(recursive=True)
        assert len(ranks) >= 2
        worker_of(s, job.id).kill()
        s.wait_for(lambda: s.job(job.id).restarts == 1, LONG)
        assert psutil.wait_procs(ranks, timeout=20)[1] == [], "processes were left behind"
        at = RunHistory(s.job(job.id).run_dir).refresh().kimg
        s.wait_for(lambda: RunHistory(s.job(job.id).run_dir).refresh().kimg > at + 0.05 or s.job(job.id).state == "failed", LONG)
        s.pause(job.id)
        paused = s.wait(job.id, ("paused", "failed", "done"), LONG)
        assert paused.state == "paused", s.logs(job.id)
        assert paused.message.startswith("Paused"), s.logs(job.id)
        s.resume(job.id)
        done = s.wait(job.id, ("done", "failed"), LONG)
        assert done.state == "done", s.logs(job.id)
    one, two = ([e for e in numbers(Path(run)) if e.pop("type") == "step"] for run in (alone, done.run_dir))
    for a, b in zip(one, two, strict=True):
        assert a == pytest.approx(b, rel=1e-2, abs=1e-3)
    states = [torch.load(Path(run) / "state.pt", weights_only=True)["objective"]["ema"] for run in (alone, done.run_dir)]
    assert max(float((states[0][k] - states[1][k]).abs().max()) for k in states[0]) < 1e-3


SECOND_IS_SMALL = """
import os, sys, torch
sys.path.insert(0, os.getcwd())  # as `python -m` does
from studio.training.objectives import adversarial
real = adversarial.Adversarial.step
def step(self, number, batches, seen):
    if os.environ["RANK"] == "1" and len(batches[0][0].images) > 2:
        raise torch.OutOfMemoryError("out of memory")
    return real(self, number, batches, seen)
adversarial.Adversarial.step = step
import runpy
runpy.run_module("studio.jobs.worker", run_name="__main__")
"""


def test_memory_that_runs_out_in_one_process_ends_all_and_is_told(studio_home, plan, tmp_path):
    script = tmp_path / "small.py"
    script.write_text(SECOND_IS_SMALL)
    launcher = LocalLauncher([*worker_command(2)[:-2], str(script)], processes=2)
    plan = dataclasses.replace(plan, optimizer=Optimizer(batch=8, micro_batch=4), budget=Budget(kimg=0.016, log_kimg=0.008))
    with Supervisor(launcher=launcher, every=0.02) as s:
        job = s.submit(plan, "Uneven")
        s.wait_for(lambda: "2 pictures at once" in s.job(job.id).message or s.job(job.id).state in ("failed", "done"), LONG)
        done = s.wait(job.id, ("done", "failed"), LONG)
        assert done.state == "done", s.logs(job.id)
        assert done.restarts == 0, s.logs(job.id)


def test_killing_a_launcher_of_several_leaves_nothing_behind(studio_home, plan):
    launcher = LocalLauncher(processes=2)
    with Supervisor(launcher=launcher, every=0.02) as s:
        job = s.submit(endless(plan), "Killed")
        s.wait_for(lambda: bool(s.job(job.id).handle) and len(worker_of(s, job.id).children()) == 2, LONG)
        all_of_it = [worker_of(s, job.id), *worker_of(s, job.id).children(recursive=True)]
        s.cancel(job.id)
        launcher.kill(s.job(job.id))
        assert psutil.wait_procs(all_of_it, timeout=20)[1] == []
        assert s.wait(job.id, ("cancelled",), LONG).handle == ""


def test_the_environment_chooses_the_launcher(monkeypatch):
    assert choose_launcher().processes == 1
    monkeypatch.setenv("STUDIO_PROCESSES", "3")
    assert choose_launcher().processes == 3
    assert choose_launcher().slots == 1
    for bad in ("0", "many"):
        monkeypatch.setenv("STUDIO_PROCESSES", bad)
        with pytest.raises(StudioError, match="1 or more"):
            choose_launcher()
    monkeypatch.setitem(sys.modules, "ray.job_submission", None)
    monkeypatch.setenv("STUDIO_RAY", "http://127.0.0.1:1")
    with pytest.raises(StudioError, match=r"gan-studio\[ray\]"):
        choose_launcher()


# -- Ray -----------------------------------------------------------------------------------------------------------------


class Cluster:
    """A Ray of one machine, this one, with ports and a folder of its own."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="ray")  # short, for the paths of sockets are
        self.port, client = _free_port(), _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        command = [
            sys.executable,
            "-m",
            "ray.scripts.scripts",
            "start",
            "--head",
            "--block",
            "--port=0",
            f"--dashboard-port={self.port}",
            "--dashboard-agent-listen-port=0",
            f"--ray-client-server-port={client}",
            "--min-worker-port=0",
            "--max-worker-port=0",
            "--num-cpus=2",
            "--num-gpus=0",
            f"--temp-dir={self.folder}",
            "--object-store-memory=100000000",
            "--disable-usage-stats",
        ]
        # `python` is that of the tests for the jobs, too, and the studio is found only where it was sent.
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "STUDIO_HOME")}
        environment |= {"PATH": path, "RAY_USAGE_STATS_ENABLED": "0", "RAY_ADDRESS": ""}
        with open(Path(self.folder) / "start.log", "wb") as log:
            self.head = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=self.folder, start_new_session=True)

    def ready(self) -> bool:
        assert self.head.poll() is None, (Path(self.folder) / "start.log").read_text()
        try:
            with urllib.request.urlopen(f"{self.url}/api/version", timeout=5):
                return True
        except OSError:
            return False

    def processes(self) -> list[psutil.Process]:
        try:
            head = psutil.Process(self.head.pid)
            return [head, *head.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def stop(self) -> None:
        """At once, as when the power fails."""
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                process.kill()
        self.head.wait()


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@pytest.fixture(scope="module")
def cluster():
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'gan-studio[ray]'")
    cluster = Cluster()
    for _ in range(600):
        if cluster.ready():
            break
        time.sleep(0.1)
    yield cluster
    cluster.stop()
    shutil.rmtree(cluster.folder, ignore_errors=True)


@pytest.fixture
def launcher(cluster):
    from studio.jobs.launchers.ray import RayLauncher

    return lambda **settings: RayLauncher(cluster.url, every=0.2, **settings)


def far_workers(job) -> list[psutil.Process]:
    """The worker of a job on the cluster."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if "studio.jobs.worker" in words and words[-1].endswith(job.id) and job.run_dir not in words:
            found.append(process)
    return found


def test_on_ray_killed_paused_and_left_by_the_app_a_training_has_the_numbers_of_one_at_home(studio_home, plan, launcher, tmp_path):
    plan = dataclasses.replace(plan, budget=Budget(kimg=1.6, log_kimg=0.04, sample_kimg=0.4, snapshot_kimg=0.16, state_kimg=0.08))
    alone = tmp_path / "alone"
    train(plan, alone, device="cpu")
    with Supervisor(launcher=launcher(), every=0.05) as s:
        job = s.submit(plan, "Far away")
        s.wait_for(lambda: begun(s, job.id, 0.1) or s.job(job.id).state == "failed", LONG)
        (worker,) = far_workers(s.job(job.id))
        worker.kill()
        s.wait_for(lambda: s.job(job.id).restarts == 1 and s.job(job.id).state == "running", LONG)
        handle = s.job(job.id).handle
    # The app closes, and another one finds the training by its handle.
    with Supervisor(launcher=launcher(), every=0.05) as s:
        assert s.job(job.id).handle == handle
        at = RunHistory(job.run_dir).refresh().kimg
        s.wait_for(lambda: begun(s, job.id, max(at + 0.04, 0.2)) or s.job(job.id).state == "failed", LONG)
        assert s.job(job.id).handle == handle
        s.pause(job.id)
        paused = s.wait(job.id, ("paused", "done", "failed"), LONG)
        assert paused.state == "paused", (paused, s.logs(job.id))
        assert paused.message.startswith("Paused")
        assert not far_workers(paused)
        assert RunHistory(job.run_dir).refresh().progress < 1
        s.resume(job.id)
        done = s.wait(job.id, ("done", "failed"), LONG)
        assert done.state == "done", s.logs(job.id)
        assert s.logs(job.id).count("on the Ray cluster") == 3
        assert '"done"' in s.logs(job.id)
    home = Path(done.run_dir)
    assert numbers(home) == numbers(alone)
    assert same_state(home, alone)
    for name in ("samples", "snapshots"):
        assert sorted(p.name for p in (home / name).iterdir()) == sorted(p.name for p in (alone / name).iterdir())
    snapshots = RunHistory(home).refresh().snapshots
    assert [open_folder(m.path).title for m in snapshots] == ["Discs"] * len(snapshots)
    assert (home / "plan.toml").read_text() == (alone / "plan.toml").read_text()
    assert not list(home.rglob("*.part"))


def test_both_sides_of_a_translator_travel_also_when_their_folders_have_one_name(studio_home, launcher, tmp_path):
    a, b = (squares(tmp_path / side / "pictures", colour, seed) for seed, (side, colour) in enumerate({"a": ORANGE, "b": TEAL}.items()))
    plan = cycle_plan((a, b), 12, budget=Budget(kimg=0.024, log_kimg=0.002, sample_kimg=0.012, snapshot_kimg=0.024, state_kimg=0.01))
    train(plan, tmp_path / "alone", device="cpu")
    with Supervisor(launcher=launcher(), every=0.05) as s:
        done = s.wait(s.submit(plan, "Both").id, ("done", "failed"), LONG)
        assert done.state == "done", s.logs(done.id)
    home = Path(done.run_dir)
    assert numbers(home) == numbers(tmp_path / "alone")
    assert same_state(home, tmp_path / "alone")
    assert (home / "plan.toml").read_text() == (tmp_path / "alone" / "plan.toml").read_text(), "with the paths of this machine"
    assert RunHistory(home).refresh().sets_summary == "Side A has 16 pictures, side B 16."


def test_what_cannot_be_sent_is_told(studio_home, plan, launcher):
    with Supervisor(launcher=launcher(), every=0.05) as s:
        job = s.submit(dataclasses.replace(plan, data=dataclasses.replace(plan.data, path="/nowhere")), "Lost")
        failed = s.wait(job.id, ("failed", "done"), LONG)
        assert "/nowhere" in failed.message
        job = s.submit(dataclasses.replace(plan, data=dataclasses.replace(plan.data, path_b="/nobody")), "Lost as well")
        assert "/nobody" in s.wait(job.id, ("failed", "done"), LONG).message


def test_when_the_cluster_goes_away_the_training_waits_in_the_queue_and_can_be_cancelled(studio_home, plan, cluster, launcher):
    with Supervisor(launcher=launcher(patience=3), every=0.05) as s:
        job = s.submit(endless(plan), "Alone")
        s.wait_for(lambda: begun(s, job.id) or s.job(job.id).state == "failed", LONG)
        handle, workers = s.job(job.id).handle, far_workers(job)
        assert workers
        cluster.stop()
        s.wait_for(lambda: s.job(job.id).handle != handle, LONG)
        again = s.job(job.id)
        assert again.state in ("queued", "running")
        assert again.restarts == 0
        assert "from its last state" in again.message
        s.wait(job.id, ("running",), LONG)
        s.cancel(job.id)
        s.wait(job.id, ("cancelled",), LONG)
        assert psutil.wait_procs(workers, timeout=20)[1] == []


def test_parcels_are_cut_and_joined(tmp_path, monkeypatch):
    pytest.importorskip("ray")
    from studio.jobs.launchers import ray_upload, ray_worker

    monkeypatch.setattr(ray_upload, "_PART_BYTES", 5000)
    (tmp_path / "pictures").mkdir()
    content = os.urandom(23456)
    (tmp_path / "pictures" / "a.png").write_bytes(content)
    parts = ray_upload.pack_parcel(tmp_path, "data", {"mine": tmp_path / "pictures"})
    assert len(parts) > 4
    assert all((p / "part").stat().st_size <= 5000 for p in parts)
    # Ray puts each into a folder of its own and that on the Python path, in any order.
    for i, part in enumerate(reversed(parts)):
        (tmp_path / f"at{i}").mkdir()
        shutil.move(part, tmp_path / f"at{i}" / part.name)
    monkeypatch.setattr(sys, "path", [str(tmp_path / f"at{i}") for i in range(len(parts))])
    ray_worker._unpack("data", tmp_path / "out", tmp_path)
    assert (tmp_path / "out" / "mine" / "a.png").read_bytes() == content


def test_a_wrong_address_is_told():
    pytest.importorskip("ray")
    from studio.jobs.launchers.ray import RayLauncher

    for bad in ("here", "ftp://head", "head:dashboard"):
        with pytest.raises(StudioError, match="not the address"):
            RayLauncher(bad)
