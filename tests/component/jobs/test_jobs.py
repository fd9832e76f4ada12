"""The queue with real workers in real processes."""

import dataclasses
import random
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from studio.errors import StudioError
from studio.jobs import requests
from studio.jobs.launchers.local import LocalLauncher
from studio.jobs.queue import Job, JobStore
from studio.jobs.supervisor import Supervisor
from studio.training.plan import Plan
from studio.training.run_history import RunHistory
from studio.training.trainer import train
from tests.component.training.test_trainer import numbers, same_state, tiny_plan

LONG = 300  # seconds after which a test gives up waiting


@pytest.fixture
def plan(pictures):
    return tiny_plan(pictures)


def endless(plan):
    """A plan that does not end before it is asked to."""
    return dataclasses.replace(plan, budget=dataclasses.replace(plan.budget, kimg=1000.0, snapshot_kimg=50.0, sample_kimg=50.0))


def begun(supervisor, id, kimg=0.03) -> bool:
    return RunHistory(supervisor.job(id).run_dir).refresh().kimg >= kimg


def worker_of(supervisor, id) -> psutil.Process:
    return process_of(supervisor.job(id))


def process_of(job: Job) -> psutil.Process:
    return psutil.Process(int(job.handle.partition(":")[0]))


def test_a_job_runs_to_its_end_in_a_process_of_its_own(studio_home, plan):
    with Supervisor(every=0.05) as s:
        job = s.submit(plan, "Discs")
        assert job.state == "queued"
        done = s.wait(job.id, ("done", "failed"), LONG)
        assert done.state == "done", (done.message, s.logs(job.id))
        watch = RunHistory(done.run_dir).refresh()
        assert watch.progress == 1
        assert watch.kimg == pytest.approx(0.16)
        assert all((m.path / "model.safetensors").is_file() for m in watch.snapshots)
        assert len(watch.snapshots) == 2
        assert '"done"' in s.logs(job.id)


def kill_and_compare(studio_home, warm, plan, kills: int, tmp_path):
    """SIGKILL the worker `kills` times; the numbers are those of a run that was let alone."""
    plan = dataclasses.replace(plan, budget=dataclasses.replace(plan.budget, kimg=0.16 + 0.04 * kills))
    rng = random.Random(kills)
    with Supervisor(launcher=warm(), every=0.02) as s:
        job = s.submit(plan, "Killed")
        killed = 0
        while killed < kills:
            s.wait_for(lambda: s.job(job.id).handle or s.job(job.id).state in ("failed", "done"), LONG)
            at = RunHistory(s.job(job.id).run_dir).refresh().kimg + rng.choice([0.008, 0.016, 0.024, 0.032])
            s.wait_for(lambda at=at: s.job(job.id).state in ("failed", "done") or begun(s, job.id, at), LONG)
            now = s.job(job.id)
            assert now.state != "done", "the plan is too short for so many kills"
            if now.state == "failed":
                assert "died 3 times" in now.message
                s.resume(job.id)
            elif now.handle:
                process_of(now).kill()
                killed += 1
                s.wait_for(lambda handle=now.handle: s.job(job.id).handle != handle, LONG)
        s.wait_for(lambda: s.job(job.id).state in ("done", "failed"), LONG)
        if s.job(job.id).state == "failed":
            s.resume(job.id)
        done = s.wait(job.id, ("done",), LONG)
    alone = tmp_path / "alone"
    train(Plan.load(Path(done.run_dir) / requests.JOB_PLAN), alone)
    assert numbers(alone) == numbers(Path(done.run_dir))
    assert same_state(alone, Path(done.run_dir))


def test_killed_workers_change_no_number(studio_home, warm, plan, tmp_path):
    kill_and_compare(studio_home, warm, plan, 3, tmp_path)


@pytest.mark.slow
def test_twenty_killed_workers_change_no_number(studio_home, warm, plan, tmp_path):
    kill_and_compare(studio_home, warm, plan, 20, tmp_path)


def test_a_worker_that_keeps_dying_is_started_three_times_and_then_failed_with_the_reason(studio_home, plan):
    launcher = LocalLauncher([sys.executable, "-c", "import os, sys; print('the last words', flush=True); os.kill(os.getpid(), 9)"])
    with Supervisor(launcher=launcher, every=0.02) as s:
        job = s.submit(plan, "Doomed")
        failed = s.wait(job.id, ("failed",), LONG)
        assert failed.restarts == 2
        assert "died 3 times" in failed.message
        assert "the last words" in failed.message
        assert s.logs(job.id).count("the last words") == 3


def test_pause_ends_the_worker_and_going_on_is_exact(studio_home, warm, plan, tmp_path):
    with Supervisor(launcher=warm(), every=0.02) as s:
        job = s.submit(plan, "Paused")
        s.wait_for(lambda: begun(s, job.id), LONG)
        worker = worker_of(s, job.id)
        s.pause(job.id)
        paused = s.wait(job.id, ("paused", "done"), LONG)
        assert paused.state == "paused"
        assert paused.handle == ""
        assert not worker.is_running()
        kimg = RunHistory(paused.run_dir).refresh().kimg
        s.resume(job.id)
        done = s.wait(job.id, ("done", "failed"), LONG)
        assert done.state == "done"
        assert RunHistory(done.run_dir).refresh().kimg > kimg


def test_a_worker_that_dies_before_it_finishes_as_asked_is_started_again_to_do_so(studio_home, warm, plan):
    with Supervisor(launcher=warm(), every=0.02) as s:
        job = s.submit(endless(plan), "Asked to finish")
        s.wait_for(lambda: begun(s, job.id), LONG)
        worker = worker_of(s, job.id)
        worker.suspend()  # it cannot hear
        s.finish(job.id)
        worker.kill()
        done = s.wait(job.id, ("done", "failed", "paused"), LONG)
        assert (done.state, done.restarts, done.request) == ("done", 1, "")
        assert RunHistory(done.run_dir).refresh().kimg < 1


def test_finish_makes_a_last_snapshot_and_cancel_keeps_what_there_is(studio_home, warm, plan):
    with Supervisor(launcher=warm(), every=0.02) as s:
        one = s.submit(endless(plan), "Finished early")
        s.wait_for(lambda: begun(s, one.id), LONG)
        s.finish(one.id)
        done = s.wait(one.id, ("done", "failed"), LONG)
        snapshots = RunHistory(done.run_dir).refresh().snapshots
        assert done.state == "done"
        assert len(snapshots) == 1
        assert snapshots[0].kimg < 1
        two = s.submit(endless(plan), "Cancelled early")
        s.wait_for(lambda: begun(s, two.id), LONG)
        s.cancel(two.id)
        cancelled = s.wait(two.id, ("cancelled",), LONG)
        assert (Path(cancelled.run_dir) / "state.pt").is_file()
        s.delete(two.id)
        assert [j.id for j in s.jobs()] == [one.id]


def test_a_second_studio_on_the_same_home_only_watches_and_takes_over_when_the_first_closes(studio_home, warm, plan):
    with Supervisor(launcher=warm(), every=0.02) as first, Supervisor(launcher=warm(), every=0.02) as second:
        assert first.owner
        assert not second.owner
        with pytest.raises(StudioError, match="Another studio is open"):
            second.submit(plan, "No")
        job = first.submit(endless(plan), "Shared")
        first.wait_for(lambda: begun(first, job.id), LONG)
        assert second.job(job.id).state == "running"
        worker = worker_of(first, job.id)
        first.close()
        second.wait_for(lambda: second.owner, LONG)
        assert worker.is_running()
        assert second.job(job.id).state == "running"
        second.cancel(job.id)
        second.wait(job.id, ("cancelled",), LONG)


APP = """
import sys
from studio.jobs.supervisor import Supervisor
from studio.training.plan import Plan
s = Supervisor(every=0.05)
job = s.submit(Plan.load(sys.argv[1]), "Left alone")
print(job.id, flush=True)
sys.stdin.read()
"""


def test_a_killed_app_leaves_the_training_going_and_the_next_one_takes_it_over(studio_home, plan, tmp_path):
    (tmp_path / "plan.toml").write_text(endless(plan).to_toml())
    app = subprocess.Popen(
        [sys.executable, "-c", APP, str(tmp_path / "plan.toml")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    id = app.stdout.readline().strip()
    store = JobStore(studio_home / "jobs.sqlite")
    with Supervisor(every=0.02) as s:
        s.wait_for(lambda: begun(s, id), LONG)
        worker = worker_of(s, id)
        app.kill()
        app.wait()
        s.wait_for(lambda: s.owner, LONG)
        assert worker.is_running()
        assert store.get(id).state == "running"
        kimg = RunHistory(store.get(id).run_dir).refresh().kimg
        s.wait_for(lambda: begun(s, id, kimg + 0.05), LONG)
        assert worker_of(s, id) == worker
        assert store.get(id).restarts == 0
        s.cancel(id)
        s.wait(id, ("cancelled",), LONG)


def test_after_a_reboot_the_job_goes_on_and_another_process_of_that_number_is_let_alone(studio_home, warm, plan):
    store = JobStore(studio_home / "jobs.sqlite")
    job = requests.submit(store, studio_home / "runs", plan, "Rebooted")
    stranger = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    store.change(job.id, "running", handle=f"{stranger.pid}:{psutil.boot_time() - 1000:.2f}", slot=0)
    with Supervisor(launcher=warm(), every=0.02) as s:
        done = s.wait(job.id, ("done", "failed"), LONG)
        assert done.state == "done"
        assert done.restarts == 0
    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()


SMALL_MEMORY = """
import torch
from studio.training.objectives import adversarial
real = adversarial.Adversarial.step
def step(self, number, batches, seen):
    if len(batches[0][0].images) > 2:
        raise torch.OutOfMemoryError("out of memory")
    return real(self, number, batches, seen)
adversarial.Adversarial.step = step
"""


def test_out_of_memory_halves_what_is_computed_at_once_and_says_so(studio_home, warm, plan):
    with Supervisor(launcher=warm(SMALL_MEMORY), every=0.02) as s:
        job = s.submit(plan, "Large")
        s.wait_for(lambda: "2 pictures at once" in s.job(job.id).message or s.job(job.id).state == "failed", LONG)
        done = s.wait(job.id, ("done", "failed"), LONG)
        assert done.state == "done", s.logs(job.id)
        text = (Path(done.run_dir) / "plan.toml").read_text()
        assert "micro_batch = 2" in text
        assert "batch = 8" in text


def test_a_full_disk_pauses_with_how_much_is_missing_and_goes_on_later(studio_home, warm, plan, monkeypatch):
    monkeypatch.setenv("STUDIO_KEEP_FREE_MB", "1e12")
    with Supervisor(launcher=warm(), every=0.02) as s:
        job = s.submit(plan, "Crowded")
        paused = s.wait(job.id, ("paused", "failed", "done"), LONG)
        assert paused.state == "paused"
        assert "nearly full" in paused.message
        assert "Free " in paused.message
        assert not list(Path(paused.run_dir).rglob("*.part"))
        monkeypatch.delenv("STUDIO_KEEP_FREE_MB")
        s.resume(job.id)
        assert s.wait(job.id, ("done", "failed"), LONG).state == "done"


def test_a_bad_plan_fails_with_its_sentence(studio_home, warm, plan):
    with Supervisor(launcher=warm(), every=0.02) as s:
        job = s.submit(dataclasses.replace(plan, data=dataclasses.replace(plan.data, path="/nowhere")), "Lost")
        failed = s.wait(job.id, ("failed", "done"), LONG)
        assert failed.state == "failed"
        assert "/nowhere" in failed.message


def test_the_micro_batch_may_change_but_nothing_else(studio_home, plan, tmp_path):
    run = tmp_path / "run"
    train(plan, run, should_stop=lambda: True)
    smaller = dataclasses.replace(plan, optimizer=dataclasses.replace(plan.optimizer, micro_batch=4))
    train(smaller, run, should_stop=lambda: True)
    other = dataclasses.replace(plan, optimizer=dataclasses.replace(plan.optimizer, batch=4))
    with pytest.raises(StudioError, match="another plan"):
        train(other, run, should_stop=lambda: True)


def test_the_command_line_steers_the_queue(studio_home, plan, tmp_path, capsys):
    from studio.cli.main import main

    file = tmp_path / "plan.toml"
    file.write_text(plan.to_toml())
    assert main(["jobs", "add", str(file)]) == 0
    id = capsys.readouterr().out.split()[0]
    assert main(["jobs", "pause", id[-4:]]) == 0
    assert "paused" in capsys.readouterr().out
    assert main(["jobs", "stop", id]) == 2
    assert "is paused" in capsys.readouterr().err
    assert main(["jobs", "resume", id]) == 0
    assert main(["jobs", "run"]) == 0
    assert main(["jobs"]) == 0
    out = capsys.readouterr().out
    assert id in out
    assert "done" in out
    assert "100%" in out
    assert "Discs" in out
    assert main(["jobs", "logs", id]) == 0
    assert "snapshot" in capsys.readouterr().out
    assert main(["jobs", "pause", "nothing"]) == 2
    assert "no training 'nothing'" in capsys.readouterr().err
