"""`studio jobs`: the queue on the command line."""

import argparse
from collections.abc import Callable
from pathlib import Path

from studio.errors import StudioError

_ORDERS = {
    "pause": "Save and free the accelerator.",
    "resume": "Go on from the last state, exactly.",
    "stop": "End now, with a last moment.",
    "cancel": "Cancel it; its snapshots are kept.",
}


def add_verb(verb: Callable[[str, str, str], argparse.ArgumentParser]) -> None:
    """Tell the command line of the verb 'jobs'.  verb: (name, sentence, example) -> its parser."""
    parser = verb("jobs", "Look at the trainings in the queue, and steer them.", "studio jobs pause 3f2a")
    orders = parser.add_subparsers(dest="order", metavar="ORDER", title="orders (none: list)")
    orders.add_parser("list", help="List them, the newest first.")
    p = orders.add_parser("add", help="Put a plan into the queue.")
    p.add_argument("plan", type=Path, help="plan.toml")
    for name, words in _ORDERS.items():
        orders.add_parser(name, help=words).add_argument("job", help="id of a training, or its beginning or end")
    p = orders.add_parser("logs", help="Show what its workers printed.")
    p.add_argument("job", help="id of a training, or its beginning or end")
    orders.add_parser("run", help="Work through the queue without a browser, until it is empty. An open studio does this by itself.")


def run(args: argparse.Namespace) -> None:
    """Do what was asked. Raises StudioError when it cannot be done."""
    from studio.jobs import requests
    from studio.jobs.queue import JobStore
    from studio.settings import get_settings

    settings = get_settings()
    store = JobStore(settings.home / "jobs.sqlite")
    if args.order in (None, "list"):
        _list(store)
    elif args.order == "add":
        from studio.training.plan import Plan

        plan = Plan.load(args.plan)
        job = requests.submit(store, settings.runs, plan, plan.card.title or args.plan.stem)
        print(f"{job.id}  queued. An open studio starts it, or 'studio jobs run'.")
    elif args.order == "logs":
        print(requests.read_log(store.get(args.job)), end="")
    elif args.order == "run":
        _run()
    else:
        give = {"pause": requests.pause, "resume": requests.resume, "stop": requests.finish, "cancel": requests.cancel}[args.order]
        job = give(store, args.job)
        print(f"{job.id}  {job.state}")


def _list(store) -> None:
    from studio.training.run_history import RunHistory

    jobs = store.list()
    if not jobs:
        print("There is no training yet. Start one in the studio, or with 'studio jobs add plan.toml'.")
    for job in jobs:
        watch = RunHistory(job.run_dir).refresh()
        print(f"{job.id}  {job.state:<9}  {watch.progress:4.0%}  {watch.kimg:8.1f} kimg  {job.title}  {job.message}".rstrip())


def _run() -> None:
    from studio.jobs.launchers.choose import choose_launcher
    from studio.jobs.supervisor import Supervisor

    launcher = choose_launcher()
    with Supervisor(launcher=launcher, slots=launcher.slots) as supervisor:
        if not supervisor.owner:
            raise StudioError(supervisor.sentence, "It works through the queue already.")

        def idle() -> bool:
            return not any(j.state in ("queued", "running", "stopping") for j in supervisor.jobs())

        while True:
            try:
                supervisor.wait_for(idle, timeout=3600)
                return
            except TimeoutError:
                continue
