"""Training loop: data, steps, events, sheets, snapshots, exact resume. One path for CPU, GPU and several GPUs."""

import dataclasses
import io
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import filelock
import psutil
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from PIL import Image

from studio.common.files import atomic_write, ensure_room, storage_errors_in_words
from studio.errors import StudioError
from studio.metrics.registry import card_rows
from studio.models.card import training_card
from studio.models.folder import ModelInfo, build_network, save_folder
from studio.models.rights import consent_sentences, of_sets, to_extra
from studio.models.weights_file import read_tensors
from studio.training.events import EventLog
from studio.training.plan import Plan
from studio.training.plan_checks import check_pictures, check_plan, choose_precision, family_config, find_base, micro_batch_size
from studio.training.sample_sheet import COLUMNS, encode, grid
from studio.training.tasks.base import OpenedSets, TrainingTask
from studio.training.tasks.lookup import task_of

_STATE_FORMAT = 1


@storage_errors_in_words("resume it: it continues from its last state")
def train(
    plan: Plan,
    run_dir: str | Path,
    on_event: Callable[[dict[str, Any]], None] | None = None,
    should_stop: Callable[[], bool | str] | None = None,
    clock: Callable[[], float] = time.monotonic,
    device: str | None = None,
) -> Path:
    """Train by `plan` in the folder `run_dir`; continue from its state when it holds one.

    A run that is killed at any moment and started again goes through the same numbers, and ends with the same weights, as one that
    was not (on the same machine with the same number of threads).

    on_event: called with each event that is also appended to run_dir/events.jsonl.
    should_stop: called once a step, by the first process for all of them; when true the state is saved and the function returns. The
    answer 'finish' also makes a last sheet and snapshot.
    clock: seconds, for speed and time left only.  device: 'cpu', or None = a GPU when there is one.
    Returns the folder of the newest snapshot (a model folder).
    Raises StudioError for a bad plan, unusable data, a folder of another plan, or a diverged training, and NoRoom
    when the disk is too full for the next state or snapshot.
    """
    run_dir = Path(run_dir)
    run_dir.mkdir(parents=True, exist_ok=True)
    accelerator = Accelerator(cpu=device == "cpu")
    lock = filelock.FileLock(run_dir / ".lock")
    if accelerator.is_main_process:
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            raise StudioError(f"Another training is running in {run_dir}.", "Wait for it, or choose another folder.") from None
    try:
        snapshot = _Run(plan, run_dir, on_event, should_stop, clock, accelerator).run()
        # A process that simply ended while its threads still listen to the others would be aborted now and then.
        accelerator.wait_for_everyone()
        accelerator.end_training()
        return snapshot
    finally:
        lock.release()


class _Run:
    """One call of `train`."""

    def __init__(self, plan: Plan, run_dir: Path, on_event, should_stop, clock: Callable[[], float], accelerator: Accelerator):
        self.run_dir, self.clock, self.accelerator = run_dir, clock, accelerator
        self.on_event: Callable[[dict[str, Any]], None] = on_event or (lambda event: None)
        self.should_stop: Callable[[], bool | str] = should_stop or (lambda: False)
        self.main = accelerator.is_main_process

        base = find_base(plan)
        check_plan(plan, family_config(plan, base), accelerator.num_processes)
        check_pictures(plan)
        task = task_of(plan)
        self.sets = _open_sets(plan, task)
        hashes = dict(hash=self.sets.a.hash, hash_b=self.sets.b.hash if self.sets.b else "")
        plan = dataclasses.replace(plan, data=dataclasses.replace(plan.data, **hashes))
        self.config = family_config(plan, base, len(self.sets.classes))
        self.plan = self._agree_with_run(plan)
        self.precision = choose_precision(plan.precision, accelerator.device, task.plain_convolutions)
        self.task: TrainingTask = task(self.plan, self.config, self.sets, accelerator, self.precision)
        self.objective = self.task.objective
        self.micro_batch = micro_batch_size(self.plan, accelerator.num_processes)
        self.step, self.seconds = 0, 0.0
        self.log_sums: dict[str, tuple[float, int]] = {}
        self.log_count = 0
        self.last_snapshot: Path | None = None
        self.transferred: dict[str, Any] = {}
        self.started_from = _started_from(base)
        consent = plan.card.data() if plan.card.consent else of_sets(hashes.values())
        self.data_consent = to_extra(consent, base)
        state, events_length = self._load_state(), 0
        if state is not None:
            events_length = state["events_length"]
        elif base is not None:
            discriminator = base.path / "discriminator.safetensors"
            d_state = read_tensors(discriminator) if discriminator.is_file() else None
            transfers = self.objective.start_from(build_network(base).state_dict(), d_state)
            self.transferred = {who: {"copied": len(t.copied) + len(t.partly), "new": list(t.new)} for who, t in transfers.items()}
        self.events = EventLog(run_dir / "events.jsonl", events_length) if self.main else None

    def _agree_with_run(self, plan: Plan) -> Plan:
        """A run folder belongs to one plan; only its budget, the texts of its card and its micro-batch may change."""
        path = self.run_dir / "plan.toml"
        if path.exists():
            old = Plan.load(path)
            free = dict(
                budget=plan.budget,
                card=plan.card,
                data=dataclasses.replace(old.data, path=plan.data.path, path_b=plan.data.path_b),
                optimizer=dataclasses.replace(old.optimizer, micro_batch=plan.optimizer.micro_batch),
            )
            if dataclasses.replace(old, **free) != plan:
                raise StudioError(
                    f"The folder {self.run_dir} holds a training with another plan.",
                    "Choose a new folder, or change only the budget and the card.",
                )
        if self.main:
            atomic_write(path, plan.to_toml().encode())
        return plan

    # -- state ---------------------------------------------------------------------------------------------------

    def _load_state(self) -> dict[str, Any] | None:
        path = self.run_dir / "state.pt"
        if not path.exists():
            return None
        state = torch.load(path, map_location="cpu", weights_only=True)
        if state.get("format") != _STATE_FORMAT:
            raise StudioError(
                f"{path} was written by another version of the studio.", "Train with that version, or start again in a new folder."
            )
        self.objective.load_state_dict(state["objective"])
        self.step, self.seconds = state["step"], state["seconds"]
        self.log_sums, self.log_count = state["log_sums"], state["log_count"]
        self.last_snapshot = self.run_dir / state["last_snapshot"] if state["last_snapshot"] else None
        return state

    def _save_state(self) -> None:
        if self.events is None:
            return
        state = {
            "format": _STATE_FORMAT,
            "objective": self.objective.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
            "log_sums": self.log_sums,
            "log_count": self.log_count,
            "last_snapshot": str(self.last_snapshot.relative_to(self.run_dir)) if self.last_snapshot else "",
            "events_length": self.events.sync(),  # events are on disk before the state that counts on them
        }
        buffer = io.BytesIO()
        torch.save(state, buffer)
        ensure_room(self.run_dir, buffer.tell())
        atomic_write(self.run_dir / "state.pt", buffer.getvalue())

    # -- the loop ------------------------------------------------------------------------------------------------

    @property
    def images_seen(self) -> int:
        """Real pictures shown so far."""
        return self.step * self.plan.pictures_a_step

    def run(self) -> Path:
        """Train to the end of the budget, or until it is asked to stop. Returns the folder of the newest snapshot."""
        budget = self.plan.budget
        total_steps = math.ceil(budget.kimg * 1000 / self.plan.pictures_a_step)
        if self.step == 0:
            self._start(total_steps)
        last_time = self.clock()
        stopped = False
        while self.step < total_steps:
            request = self._request()
            if request:
                stopped = True
                if request == "finish" and self.step:
                    self._sample()
                    self._snapshot()
                break
            stats = self.objective.step(self.step, self._batches(), self.images_seen)
            self.step += 1
            now = self.clock()
            self.seconds, last_time = self.seconds + now - last_time, now
            self._log(stats)
            last = self.step == total_steps
            if last or self._due(budget.sample_kimg):
                self._sample()
            if last or self._due(budget.snapshot_kimg):
                self._snapshot()
            if last or self._due(budget.state_kimg):
                self._save_state()
        if stopped:
            self._save_state()
        elif self.last_snapshot is not None:
            self._report("done", snapshot=str(self.last_snapshot.relative_to(self.run_dir)))
        newest = self.last_snapshot
        if newest is None:
            newest = self._snapshot()
            self._save_state()
        if self.events is not None:
            self.events.sync()
            self.events.close()
        return newest

    def _start(self, total_steps: int) -> None:
        """First event, and sheets of the real pictures and of the network as it begins."""
        self._report(
            "start",
            total_images=total_steps * self.plan.pictures_a_step,
            pictures=len(self.sets.a),
            precision=self.precision,
            device=str(self.accelerator.device),
            processes=self.accelerator.num_processes,
            transferred=self.transferred,
            **self.task.start_facts(),
        )
        if self.main:
            atomic_write(self.run_dir / "reals.webp", encode(grid(self.task.real_pictures(COLUMNS**2), COLUMNS)))
        self._sample()

    def _request(self) -> bool | str:
        """The request to the first process. All processes stop at the same step, or some would wait for the others forever."""
        if self.accelerator.num_processes == 1:
            return self.should_stop()
        answer = [self.should_stop() if self.main else False]
        return broadcast_object_list(answer, from_process=0)[0]

    def _due(self, kimg: float) -> bool:
        """Whether this step is the first to reach another multiple of `kimg`."""
        every = kimg * 1000
        return self.images_seen // every > (self.images_seen - self.plan.pictures_a_step) // every

    def _batches(self) -> list[list[Any]]:
        """For each turn of the discriminator this process's micro-batches of real pictures.

        Which pictures, and how they are changed, depends only on the step and the position in it.
        """
        plan, process = self.plan, self.accelerator.process_index
        turn = plan.optimizer.batch // self.micro_batch  # micro-batches of all processes together
        mine = turn // self.accelerator.num_processes
        starts = [k * turn + process * mine for k in range(plan.objective.n_critic)]
        return [[self._batch(index) for index in range(start, start + mine)] for start in starts]

    def _batch(self, index: int) -> Any:
        """Micro-batch `index` of the step."""
        return self.task.batch(self.step, index, self.images_seen + index * self.micro_batch, self.micro_batch)

    # -- what people see -----------------------------------------------------------------------------------------

    def _report(self, event_type: str, **values: Any) -> None:
        if self.events is None:
            return
        event = {"type": event_type, "step": self.step, "images": self.images_seen, **values}
        self.events.write(event)
        self.on_event(event)

    def _log(self, stats: dict[str, float]) -> None:
        for name, value in stats.items():
            total, count = self.log_sums.get(name, (0.0, 0))
            self.log_sums[name] = (total + value, count + 1)
        self.log_count += 1
        if self._due(self.plan.budget.log_kimg):
            means = {name: total / count for name, (total, count) in self.log_sums.items()}
            on_gpu = self.accelerator.device.type == "cuda"
            memory = torch.cuda.max_memory_allocated() if on_gpu else psutil.Process().memory_info().rss
            self._report("step", seconds=round(self.seconds, 3), memory=memory, **means)
            self.log_sums, self.log_count = {}, 0

    def _sample(self) -> None:
        """Write a sheet of what the network makes of the same inputs over time."""
        if self.main:
            path = self.run_dir / "samples" / f"{_name(self.images_seen)}.webp"
            sheet = self.task.sample_sheet()
            atomic_write(path, encode(grid(sheet.pictures, COLUMNS), self.task.source))
            self._report("sample", path=str(path.relative_to(self.run_dir)), **({"rows": list(sheet.rows)} if sheet.rows else {}))

    def _snapshot(self) -> Path:
        """Write a model folder of the generator's running average, both directions where there are two. Returns it."""
        path = self.last_snapshot = self.run_dir / "snapshots" / _name(self.images_seen)
        if not self.main:
            return path
        plan = self.plan
        metrics = self.task.metrics()
        g_state, d_state = self.objective.networks()
        ensure_room(self.run_dir, 4 * sum(t.numel() for s in (g_state, d_state) if s for t in s.values()))
        # A model may be shared: it must not reveal paths of this machine.
        names = dict(path=Path(plan.data.path).name, path_b=Path(plan.data.path_b).name)
        shared = dataclasses.replace(plan, base=Path(plan.base).name, data=dataclasses.replace(plan.data, **names))
        training = {
            "images_seen": self.images_seen,
            "seconds": round(self.seconds, 1),
            "precision": self.precision,
            "hardware": _hardware(self.accelerator),
            **self.started_from,
            **self.task.card_facts(),
            **metrics,
        }
        save_folder(
            path,
            plan.family,
            dataclasses.asdict(self.config),
            g_state,
            title=plan.card.title or self.run_dir.name,
            classes=self.sets.classes,
            licence=plan.card.licence,
            card=training_card(
                plan.card,
                training,
                pictures=self.task.pictures,
                data_hash=self.sets.a.hash,
                other=(len(self.sets.b), self.sets.b.hash) if self.sets.b else None,
                consent=consent_sentences(self.data_consent),
                measured=card_rows(training),
            ),
            thumbnail=Image.fromarray(grid(self.task.thumbnail(), 4)),
            plan=shared.to_toml(),
            discriminator=d_state,
            dtype="float16",
            extra={"training": training, **self.data_consent},
        )
        self._report("snapshot", path=str(path.relative_to(self.run_dir)), **metrics)
        return path


def _started_from(base: ModelInfo | None) -> dict[str, Any]:
    """For config.json and the card: the base, and how many pictures it and its own bases had seen."""
    if base is None:
        return {}
    before = base.extra.get("training", {})
    seen = before.get("images_seen", 0) + before.get("images_seen_before", 0) if isinstance(before, dict) else 0
    return {"base": base.id, "images_seen_before": seen}


def _open_sets(plan: Plan, task: type[TrainingTask]) -> OpenedSets:
    """The plan's training sets. Raises StudioError when they do not match its hashes, or lack the classes it asks for."""
    opened = []
    for path, wanted, name in ((plan.data.path, plan.data.hash, "hash"), (plan.data.path_b, plan.data.hash_b, "hash_b")):
        if name == "hash_b" and not path:
            opened.append(None)
            continue
        images = task.open(plan, path)
        if wanted and wanted != images.hash:
            raise StudioError(
                f"The pictures in {path} are not the ones the plan was made for.",
                f"Bring the first set back, or remove data.{name} from the plan to train on these.",
            )
        opened.append(images)
    if not plan.data.conditional:
        return OpenedSets(*opened)
    if opened[0].labels is None:
        raise StudioError(
            "The plan asks for classes, but the pictures are all in one folder.",
            "Put each class in a sub-folder of its own, or set data.conditional = false.",
        )
    classes = opened[0].classes
    if plan.objective.mismatch > 0 and len(classes) == 1:
        raise StudioError("There is only one class, so none can be wrong.", "Set objective.mismatch = 0.")
    return OpenedSets(opened[0], opened[1], classes)


def _name(images: int) -> str:
    return f"img{images:09d}"


def _hardware(accelerator: Accelerator) -> str:
    if accelerator.device.type == "cuda":
        return f"{accelerator.num_processes} x {torch.cuda.get_device_name()}"
    return f"{accelerator.num_processes} x CPU with {torch.get_num_threads()} threads"
