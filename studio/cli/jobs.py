"""`studio jobs`: the queue on the command line."""

import argparse
from pathlib import Path

from studio.cli.helpers import AddVerb
from studio.errors import StudioError

_AT_WORK = ("queued", "running", "stopping")
_COMMANDS = {
    "pause": "Save it and free the accelerator.",
    "resume": "Resume it exactly where it was saved.",
    "stop": "Finish it now, with a last snapshot.",
    "cancel": "Cancel it; its snapshots are kept.",
}


def add_verb(verb: AddVerb) -> None:
    """Add the verb 'jobs' to the command line."""
    parser = verb("jobs", "List the trainings in the queue, and control them.", "studio jobs pause 3f2a")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands (none: list)")
    commands.add_parser("list", help="List the trainings, the newest first.")
    p = commands.add_parser("add", help="Put a plan into the queue.")
    p.add_argument("plan", type=Path, help="plan.toml")
    for name, words in _COMMANDS.items():
        commands.add_parser(name, help=words).add_argument("job", help="id of a training, or its beginning or end")
    p = commands.add_parser("logs", help="Show what its workers printed.")
    p.add_argument("job", help="id of a training, or its beginning or end")
    p = commands.add_parser("keep", help="Keep a snapshot of a training as a model in the library.")
    p.add_argument("job", help="id of a training, or its beginning or end")
    p.add_argument(
        "--kimg", type=float, help="the snapshot nearest to this many thousand pictures (default: the best measured, else the newest)"
    )
    p.add_argument("--title", help="title of the model (default: that of the training)")
    commands.add_parser("run", help="Work through the queue without a browser, until it is empty. An open studio does this by itself.")


def run(args: argparse.Namespace) -> None:
    """Run the parsed command. Raises StudioError when it fails."""
    from studio.jobs import requests
    from studio.jobs.queue import JobStore
    from studio.settings import get_settings

    settings = get_settings()
    store = JobStore(settings.home / "jobs.sqlite")
    if args.command in (None, "list"):
        _list(store)
    elif args.command == "add":
        from studio.training.plan import Plan
        from studio.training.plan_checks import check_before_queueing

        plan = Plan.load(args.plan)
        check_before_queueing(plan)
        job = requests.submit(store, settings.runs, plan, plan.card.title or args.plan.stem)
        print(f"{job.id}  queued. An open studio starts it, or 'studio jobs run'.")
    elif args.command == "logs":
        print(requests.read_log(store.get(args.job)), end="")
    elif args.command == "keep":
        print(_keep(store.get(args.job), args.kimg, args.title))
    elif args.command == "run":
        _run(store)
    else:
        request = {"pause": requests.pause, "resume": requests.resume, "stop": requests.finish, "cancel": requests.cancel}[args.command]
        job = request(store, args.job)
        print(f"{job.id}  {job.state}")


def _keep(job, kimg: float | None, title: str | None) -> str:
    """Keep a snapshot in the library; returns a line for the terminal."""
    from studio.models.library import default_library
    from studio.models.manage import keep_snapshot
    from studio.training.run_history import RunHistory

    history = RunHistory(job.run_dir).refresh()
    if not history.snapshots:
        raise StudioError(f"The training '{job.title}' has no snapshot yet.", "Wait until it has made one.")
    wanted = history.best or history.snapshots[-1]
    if kimg is not None:
        wanted = min(history.snapshots, key=lambda snapshot: abs(snapshot.kimg - kimg))
    info = keep_snapshot(default_library(), wanted.path, title=title)
    return f"{info.id}  kept from {wanted.kimg:g} kimg: {info.path}"


def _list(store) -> None:
    from studio.training.run_history import RunHistory

    jobs = store.list()
    if not jobs:
        print("There is no training yet. Start one in the studio, or with 'studio jobs add plan.toml'.")
    for job in jobs:
        history = RunHistory(job.run_dir).refresh()
        print(f"{job.id}  {job.state:<9}  {history.progress:4.0%}  {history.kimg:8.1f} kimg  {job.title}  {job.message}".rstrip())


def _run(store) -> None:
    from studio.jobs.launchers.choose import choose_launcher
    from studio.jobs.supervisor import Supervisor

    at_rest = {job.id for job in store.list() if job.state not in _AT_WORK}  # a supervisor may start the others at once
    launcher = choose_launcher()
    with Supervisor(launcher=launcher, slots=launcher.slots) as supervisor:
        if not supervisor.owner:
            raise StudioError(supervisor.sentence, "It is already working through the queue.")

        def idle() -> bool:
            return not any(job.state in _AT_WORK for job in supervisor.jobs())

        while True:
            try:
                supervisor.wait_for(idle, timeout=3600)
                break
            except TimeoutError:
                continue
        done = [job for job in supervisor.jobs() if job.id not in at_rest]
    for job in reversed(done):
        print(f"{job.id}  {job.state:<9}  {job.title}  {job.message}".rstrip())
    failed = [job for job in done if job.state == "failed"]
    if failed:
        raise StudioError(
            f"{len(failed)} of {len(done)} trainings failed.", f"'studio jobs logs {failed[0].id}' shows why the last one did."
        )
