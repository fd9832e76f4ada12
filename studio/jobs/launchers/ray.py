"""Workers on a Ray cluster, whose machines share no disk with this one.

Only the port of Ray's dashboard is needed, the one that Ray's job API has anyway; an SSH tunnel to it will do, and
neither Python nor Ray need be of the same version on both sides.
- Out: the program, the pictures, the base model and the state of the run travel as packages of the job's runtime
  environment. Ray refuses large packages, so parcels are cut into parts; and Ray knows packages by their content, so
  that pictures which it still has are not sent again.
- Home: the far end (ray_worker.py) lets the run folder lie among Ray's logs, the one place whose files the dashboard
  hands out from any machine. They are asked for with short requests, nothing is kept open, and the app may close and
  come back in between.
- Wishes: a second job, a line of shell on the worker's machine, writes the control file.
The obvious other way, an actor and Ray's object store, needs a Ray client inside of the app: the same versions on
both sides, one more port, and a connection that takes the app along when the cluster dies.

What comes home is written in an order that is right at every moment: sheets and snapshots, then the events that tell of
them, then the state that counts on those events, and the outcome last.
"""

import contextlib
import dataclasses
import json
import logging
import os
import secrets
import shlex
import shutil
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import filelock
import torch

import studio
from studio.common.files import atomic_folder, atomic_write, ensure_room, fsync_path
from studio.errors import NoRoom, StudioError
from studio.jobs.launchers.ray_worker import EVENTS, LISTING, OUTBOX, SEGMENT, segment
from studio.jobs.queue import Job
from studio.jobs.requests import CONTROL, JOB_PLAN, log_path
from studio.jobs.worker import OUTCOME
from studio.models.folder import open_folder
from studio.models.library import default_library
from studio.settings import environment_integer
from studio.training.plan import Plan

_PART = 48 << 20  # bytes of a part of a parcel; Ray's dashboard takes 100 MB at once
_SILENCE = (10, 60)  # seconds without an answer: to connect, to read on
_UNASKED = 10.0  # seconds without a question after which a messenger rests: another app may be the owner now
_STATE, _PLAN = "state.pt", "plan.toml"
_log = logging.getLogger(__name__)


class RayLauncher:
    """Runs workers as jobs of the Ray cluster at `address`.

    address: of the dashboard ('http://head:8265'), or what Ray's job API takes besides: 'auto', 'head:6379', 'ray://head:10001'.
    patience: seconds for which the cluster may be silent before its trainings go back into the queue.
    every: seconds between two looks at a worker.
    A handle is the name of the submission.  Raises StudioError for another address, and when Ray is not installed.
    """

    # Ray itself lets those wait for which it has no room.
    slots = 16

    def __init__(self, address: str, patience: float = 120.0, every: float = 1.0, clock: Callable[[], float] = time.monotonic):
        try:
            import ray.job_submission  # noqa: F401
        except ImportError:
            raise StudioError("Ray is not installed here.", 'Install it: pip install "gan-studio[ray]"') from None
        known = address == "auto" or address.startswith(("http://", "https://", "ray://")) or address.rpartition(":")[2].isdecimal()
        if not known:
            raise StudioError(f"'{address}' is no address of a Ray cluster.", "Give that of its dashboard, like http://head:8265.")
        self.address, self.patience, self.every, self.clock = address, patience, every, clock
        self.gpus = environment_integer("STUDIO_RAY_GPUS", None, least=0)
        self._messengers: dict[str, _Messenger] = {}

    def submit(self, job: Job, slot: int) -> str:
        """Begin to send the job, which may take minutes; what goes wrong with it is told as its outcome."""
        handle = f"studio-{job.id}-{secrets.token_hex(3)}"
        self._messengers[handle] = _Messenger(self, dataclasses.replace(job, handle=handle), send=True)
        return handle

    def alive(self, job: Job) -> bool:
        if not job.handle:
            return False
        messenger = self._messengers.get(job.handle)
        if messenger is None or messenger.resting:
            messenger = self._messengers[job.handle] = _Messenger(self, job, send=False)
        return messenger.still_at_work(job)

    def kill(self, job: Job) -> None:
        with contextlib.suppress(RuntimeError, OSError):
            self.client().stop_job(job.handle)

    def lost(self, job: Job) -> bool:
        messenger = self._messengers.pop(job.handle, None)
        return messenger is None or messenger.lost

    def client(self):
        """Ray's client of its job API. Raises OSError (ConnectionError) when the cluster does not answer."""
        from ray.job_submission import JobSubmissionClient

        try:
            return JobSubmissionClient(self.address)
        except (RuntimeError, ValueError) as e:
            raise ConnectionError(str(e)) from None


class _Messenger:
    """Goes between one submission and its run folder, on a thread of its own.

    send: begin with submitting the job.
    """

    def __init__(self, launcher: RayLauncher, job: Job, send: bool):
        self.launcher, self.job, self.send, self.clock = launcher, job, send, launcher.clock
        self.run_dir = Path(job.run_dir)
        self.ended = self.lost = self.resting = False
        self.heard = self.asked = self.clock()
        self.client, self.node_id, self.sent_wish = None, "", ""
        self.taken: dict[str, list[int]] = {}
        self._thread = threading.Thread(target=self._go, name=f"ray {job.handle}", daemon=True)
        self._thread.start()

    def still_at_work(self, job: Job) -> bool:
        """What the owner of the queue asks twice a second."""
        self.job, self.asked = job, self.clock()
        if not self.ended and self.clock() - self.heard > self.launcher.patience:
            self.lost = self.ended = True  # it may hang in a request for ever; what it still hears is left alone
        return not self.ended

    def _go(self) -> None:
        while not self.ended:
            if self.clock() - self.asked > _UNASKED:
                self.resting = True
                return
            try:
                # The app that had the queue before may not have noticed yet that it no longer has.
                with filelock.FileLock(self.run_dir / ".messenger", timeout=0):
                    self._round()
            except (filelock.Timeout, OSError) as e:  # those of `requests` are OSErrors
                _log.info("the Ray cluster at %s: %s", self.launcher.address, e)
                self.client = None
            except StudioError as e:
                self._give_up("room" if isinstance(e, NoRoom) else "failed", str(e))
            except Exception as e:
                _log.exception("a message between here and the Ray cluster failed")
                self._give_up("failed", f"Something went wrong on the way to the cluster: {type(e).__name__}: {e}")
            if not self.ended:
                time.sleep(self.launcher.every)

    def _give_up(self, outcome: str, message: str) -> None:
        """End it from here: what it makes cannot be brought home."""
        self.launcher.kill(self.job)
        with contextlib.suppress(OSError):
            atomic_write(self.run_dir / OUTCOME, json.dumps({"outcome": outcome, "message": message}).encode())
        self.ended = True

    def _round(self) -> None:
        """One look: send what is to be sent, fetch what is new."""
        if self.client is None:
            self.client = self.launcher.client()
            self._hear()
        if self.send:
            self._submit()
            self.send = False
        info = self._info()
        if info is None:
            self.lost = self.ended = True
            return
        over = info.status.is_terminal()
        self.node_id = info.driver_node_id or ""
        listing = self._listing() if self.node_id else None
        if listing is None:
            self._wish_before(info)
        else:
            news = self._fetch(listing, over)
            self._wish(listing)
            if over or news:
                self._fetch_log()
        if over and not self.ended:
            if listing is None:
                self._fetch_log()
            else:
                self._shell(f"rm -rf {shlex.quote(str(Path(listing['folder']).parent))}", listing["node"])
            # A machine that went away is no fault of the job; a command that failed is.
            self.lost = "ACTOR" in str(getattr(info, "error_type", None) or "")
            self.ended = True

    def _hear(self) -> None:
        """Note that the cluster is there. Raises ConnectionError when the owner of the queue thinks otherwise already."""
        if self.ended:
            raise ConnectionError("it was silent for too long")
        self.heard = self.clock()

    def _info(self):
        """What Ray knows of the submission; None when it knows nothing, as after a new start."""
        try:
            info = self.client.get_job_info(self.job.handle)
        except RuntimeError as e:
            if "404" in str(e):
                return None
            raise ConnectionError(str(e)) from None
        if not info.status.is_terminal():
            self._hear()  # of an ended one there is only to be heard what it left
        return info

    # -- out -----------------------------------------------------------------------------------------------------

    def _submit(self) -> None:
        gpus = self.launcher.gpus
        if gpus is None:
            gpus = 1 if self._cluster_has_gpus() else 0
        variables = {name: os.environ[name] for name in ("OMP_NUM_THREADS",) if name in os.environ}
        if gpus == 0:
            variables["CUDA_VISIBLE_DEVICES"] = ""
        self._begin_log()
        with tempfile.TemporaryDirectory(prefix="studio-ray-") as stage:
            code, parcels = self._pack(Path(stage))
            # Nothing is heard while Ray takes the parcels.
            self.heard = self.clock() + 600
            try:
                self.client.submit_job(
                    entrypoint=f"python -m studio.jobs.launchers.ray_worker {self.job.handle} {self.job.id} {max(1, gpus)}",
                    submission_id=self.job.handle,
                    runtime_env={"working_dir": str(code), "py_modules": [str(p) for p in parcels], "env_vars": variables},
                    metadata={"title": self.job.title},
                    entrypoint_num_gpus=gpus or None,
                    entrypoint_num_cpus=None if gpus else 1,
                )
            except RuntimeError as e:
                raise StudioError(f"The Ray cluster refuses the training: {str(e).strip()[-300:]}", "Its log says more.") from None
        self.heard = self.clock()

    def _cluster_has_gpus(self) -> bool:
        nodes = self._get("/api/v0/nodes", limit=1000).json()["data"]["result"]["result"]
        return any(n["state"] == "ALIVE" and n["resources_total"].get("GPU", 0) >= 1 for n in nodes)

    def _pack(self, stage: Path) -> tuple[Path, list[Path]]:
        """The program in one folder, and the parts of the parcels, each in a folder of its own."""
        plan = Plan.load(self.run_dir / JOB_PLAN)
        source = Path(studio.__file__).parent
        shutil.copytree(source, stage / "code" / "studio", ignore=lambda at, names: [n for n in names if not _is_program(Path(at, n))])
        parcels = []
        # Each side is a parcel of its own: of two that another training has sent already, neither travels again.
        for kind, given in (("data", plan.data.path), *([("other", plan.data.path_b)] if plan.data.path_b else [])):
            pictures = Path(given).expanduser()
            if not given or not pictures.exists():
                raise StudioError(f"There is nothing at {given}.", "Give a folder or a zip of pictures.")
            parcels += _parcel(stage, kind, {pictures.name: pictures})
        if plan.base:
            base = open_folder(Path(plan.base)) if Path(plan.base).is_dir() else default_library().get(plan.base)
            parcels += _parcel(stage, "base", {Path(plan.base).name: base.path})
        self._cut_events()
        run = {name: self.run_dir / name for name in (JOB_PLAN, _PLAN, _STATE, EVENTS) if (self.run_dir / name).exists()}
        return stage / "code", parcels + _parcel(stage, "run", run)

    def _cut_events(self) -> None:
        """Shorten the event file to what the state counts on, as the worker will do; it then only grows."""
        path = self.run_dir / EVENTS
        if path.exists():
            length = _events_length(self.run_dir / _STATE)
            with open(path, "r+b") as f:
                f.truncate(length if length <= path.stat().st_size else 0)

    def _wish_before(self, info) -> None:
        """Call a job off that waits for room on the cluster."""
        if self._asked_for() in ("pause", "cancel") and not info.status.is_terminal() and not info.driver_node_id:
            self.client.stop_job(self.job.handle)

    def _wish(self, listing: dict) -> None:
        wish = self._asked_for()
        if wish and wish != self.sent_wish:
            path = shlex.quote(f"{listing['folder']}/{CONTROL}")
            self._shell(f"printf %s {shlex.quote(wish)} > {path}.part && mv {path}.part {path}", listing["node"])
            self.sent_wish = wish

    def _asked_for(self) -> str:
        try:
            return (self.run_dir / CONTROL).read_text()
        except OSError:
            return ""

    def _shell(self, line: str, node: str) -> None:
        """Run a line of shell on the worker's machine."""
        with contextlib.suppress(RuntimeError):
            self.client.submit_job(entrypoint=line, entrypoint_resources={node: 0.001})

    # -- home ----------------------------------------------------------------------------------------------------

    def _get(self, path: str, **parameters):
        """An answer of the dashboard. Raises OSError when there is none."""
        import requests

        token = os.environ.get("RAY_AUTH_TOKEN", "")
        answer = requests.get(
            self.client.get_address() + path,
            params=parameters,
            headers={"Authorization": f"Bearer {token}"} if token else {},
            timeout=_SILENCE,
            stream=True,
        )
        answer.raise_for_status()
        self._hear()
        return answer

    def _chunks(self, name: str) -> Iterator[bytes]:
        """A file of the outbox."""
        parameters = dict(node_id=self.node_id, filename=f"{OUTBOX}/{self.job.handle}/{name}", lines=-1, timeout=3600)
        with self._get("/api/v0/logs/file", **parameters) as answer:
            for chunk in answer.iter_content(1 << 20):
                self._hear()
                yield chunk

    def _download(self, name: str, target: Path, size: int) -> bool:
        """A file of the run into `target`, which is no one's yet. Returns whether it came as it is listed."""
        ensure_room(self.run_dir, size)
        target.parent.mkdir(parents=True, exist_ok=True)
        with open(target, "wb") as f:
            for chunk in self._chunks(f"{self.job.id}/{name}"):
                f.write(chunk)
        fsync_path(target)
        return target.stat().st_size == size

    def _listing(self) -> dict | None:
        """What lies in the outbox; None when there is none yet."""
        import requests

        try:
            return json.loads(b"".join(self._chunks(LISTING)))
        except requests.HTTPError as e:
            # There is none yet, or the machine is gone, which the state of the job will tell.
            if "not found" in e.response.text or "doesn't exist" in e.response.text:
                return None
            raise
        except ValueError:
            raise ConnectionError("the listing came torn") from None

    def _fetch(self, listing: dict, over: bool) -> bool:
        """Bring home what is new, in the order that the top of this file gives. Returns whether there were files."""
        new = {name: stamp for name, stamp in listing["files"].items() if not self._has(name, stamp)}
        whole = sorted({"/".join(n.split("/")[:2]) for n in new if n.startswith("snapshots/")})
        for folder in whole:
            inside = {n: s for n, s in listing["files"].items() if n.startswith(folder + "/")}
            with atomic_folder(self.run_dir / folder) as part:
                for name, stamp in inside.items():
                    self._must(self._download(name, part / name[len(folder) + 1 :], stamp[0]), name)
            self.taken |= inside
        for name, stamp in new.items():
            if not name.startswith("snapshots/") and name not in (_STATE, _PLAN, JOB_PLAN, OUTCOME, CONTROL):
                self._place(name, stamp)
        self._fetch_events(listing["events"])
        if _PLAN in new:
            self._fetch_plan(new[_PLAN])
        if _STATE in new:
            self._place(_STATE, new[_STATE], ready=lambda part: _events_length(part) <= (self.run_dir / EVENTS).stat().st_size)
        if over and OUTCOME in listing["files"]:
            self._place(OUTCOME, listing["files"][OUTCOME])
        return bool(new)

    def _has(self, name: str, stamp: list[int]) -> bool:
        if self.taken.get(name) == stamp:
            return True
        # Sheets and snapshots never change, so an app that was away need not fetch them again.
        here = self.run_dir / name
        return name.startswith(("samples/", "snapshots/")) and here.is_file() and here.stat().st_size == stamp[0]

    def _place(self, name: str, stamp: list[int], ready: Callable[[Path], bool] = lambda part: True) -> None:
        """Fetch a file and give it its name. Not `ready`, it stays as it was here, and the next look tries again."""
        part = self.run_dir / f".{name.replace('/', '.')}.{secrets.token_hex(4)}.part"
        try:
            self._must(self._download(name, part, stamp[0]), name)
            if ready(part):
                (self.run_dir / name).parent.mkdir(parents=True, exist_ok=True)
                os.replace(part, self.run_dir / name)
                self.taken[name] = stamp
        finally:
            part.unlink(missing_ok=True)

    def _must(self, came: bool, name: str) -> None:
        if not came:
            raise ConnectionError(f"{name} changed while it was fetched")  # the next look has a newer listing

    def _fetch_events(self, length: int) -> None:
        """Append what is new of the event file, `length` bytes in all."""
        path = self.run_dir / EVENTS
        here = path.stat().st_size if path.exists() else 0
        with open(path, "ab") as f:
            while here < length:
                number, past = divmod(here, SEGMENT)
                data = b"".join(self._chunks(segment(number)))[past:]
                if not data:
                    break
                self._hear()
                f.write(data)
                f.flush()
                here += len(data)
            os.fsync(f.fileno())

    def _fetch_plan(self, stamp: list[int]) -> None:
        """The plan of the run, with the paths of this machine."""
        far = Plan.from_toml(b"".join(self._chunks(f"{self.job.id}/{_PLAN}")).decode())
        mine = Plan.load(self.run_dir / JOB_PLAN)
        data = dataclasses.replace(far.data, path=mine.data.path, path_b=mine.data.path_b)
        far = dataclasses.replace(far, base=mine.base, data=data)
        atomic_write(self.run_dir / _PLAN, far.to_toml().encode())
        self.taken[_PLAN] = stamp

    def _begin_log(self) -> None:
        with open(log_path(self.job), "ab") as f:
            f.write(self._title())

    def _fetch_log(self) -> None:
        """What the worker printed, below its title in the log."""
        said = self.client.get_job_logs(self.job.handle).encode()
        path = log_path(self.job)
        before = path.read_bytes() if path.exists() else b""
        head, title, _ = before.partition(self._title())
        self._hear()
        atomic_write(path, head + (title or self._title()) + said)

    def _title(self) -> bytes:
        return f"-- on the Ray cluster: {self.job.handle}\n".encode()


def _is_program(path: Path) -> bool:
    return path.suffix == ".py" or (path.is_dir() and not path.name.startswith(("_", ".")))


def _parcel(stage: Path, kind: str, what: dict[str, Path]) -> list[Path]:
    """Pack files and folders under their new names. Returns the folders of the parts, in order."""
    out = _Parts(stage, kind)
    with tarfile.open(fileobj=out, mode="w|", dereference=True) as tar:
        for name, path in what.items():
            tar.add(path, arcname=name)
    out.close()
    return out.folders


class _Parts:
    """A file to write to that is cut into parts of _PART bytes."""

    def __init__(self, stage: Path, kind: str):
        self.stage, self.kind, self.folders, self.file = stage, kind, [], None

    def write(self, data: bytes) -> int:
        rest = memoryview(data)
        while rest:
            if self.file is None or self.file.tell() >= _PART:
                self._next()
            room = _PART - self.file.tell()
            self.file.write(rest[:room])
            rest = rest[room:]
        return len(data)

    def _next(self) -> None:
        self.close()
        folder = self.stage / f"parcel_{self.kind}_{len(self.folders):05d}"
        folder.mkdir()
        self.folders.append(folder)
        self.file = open(folder / "part", "wb")

    def close(self) -> None:
        if self.file is not None:
            self.file.close()


def _events_length(state: Path) -> int:
    """Bytes of the event file that a state counts on; 0 without a state."""
    return torch.load(state, map_location="cpu", mmap=True, weights_only=True)["events_length"] if state.exists() else 0
