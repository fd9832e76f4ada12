"""The training loop: data, steps, events, sheets, snapshots, exact resume. One path for CPU, GPU and several GPUs."""

import dataclasses
import io
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import psutil
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from PIL import Image

from studio.common.files import atomic_write, ensure_room
from studio.datasets.full_size import FullSizeImages
from studio.datasets.image_set import ImageSet
from studio.errors import StudioError
from studio.imaging.colour import parse_colour
from studio.imaging.pixels import to_uint8
from studio.imaging.xmp import DigitalSourceType, xmp_packet
from studio.metrics.evaluation import SetEvaluator
from studio.metrics.registry import card_rows
from studio.models.card import training_card
from studio.models.folder import ModelInfo, build_network, open_folder, read_tensors, save_folder
from studio.models.library import default_library
from studio.models.rights import consent_sentences, of_sets, to_extra
from studio.networks import Task, get_family
from studio.settings import get_settings
from studio.training.data.patches import PatchBatch, PatchData
from studio.training.data.translation import TranslationBatch, TranslationData
from studio.training.events import EventLog
from studio.training.objectives import objective_of
from studio.training.objectives.adversarial import Batch
from studio.training.plan import Plan
from studio.training.plan_checks import check_plan, choose_precision, family_config, pictures_at_once
from studio.training.randomness import DataOrder, generator

_STATE_FORMAT = 1
_SHEET_SIDE = 8  # pictures a row of the sample sheet
_LUMA = (0.299, 0.587, 0.114)  # brightness of red, green and blue (ITU-R BT.601)


def train(
    plan: Plan,
    run_dir: str | Path,
    on_event: Callable[[dict[str, Any]], None] | None = None,
    should_stop: Callable[[], bool | str] | None = None,
    clock: Callable[[], float] = time.monotonic,
    device: str | None = None,
) -> Path:
    """Train as `plan` says, in the folder `run_dir`; go on from its state when it holds one.

    A run that was killed at any moment and is started again goes through the same numbers, and ends with the
    same weights, as one that was not (same machine, same number of threads).

    on_event: called with each event that is also appended to run_dir/events.jsonl.
    should_stop: asked once a step, by the first process for all; when true the state is saved and the function returns. The answer 'finish' also
    makes a last sheet and snapshot.
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
            raise StudioError(f"Another training is at work in {run_dir}.", "Wait for it, or choose another folder.") from None
    try:
        snapshot = _Run(plan, run_dir, on_event, should_stop, clock, accelerator).go()
        # Of several processes one that just ended, while threads still listen to the others, would be aborted now and then.
        accelerator.wait_for_everyone()
        accelerator.end_training()
        return snapshot
    finally:
        lock.release()


class _Run:
    """One call of `train`."""

    def __init__(self, plan, run_dir, on_event, should_stop, clock, accelerator):
        self.run_dir, self.clock, self.accelerator = run_dir, clock, accelerator
        self.on_event = on_event or (lambda event: None)
        self.should_stop = should_stop or (lambda: False)
        self.main = accelerator.is_main_process

        base = self._base(plan)
        check_plan(plan, family_config(plan, base), accelerator.num_processes)
        task = get_family(plan.family).task
        self.upscales, translates = task is Task.UPSCALE, task is Task.TRANSLATE
        self.images = _open_images(plan, plan.data.path, "hash")
        self.images_b = _open_images(plan, plan.data.path_b, "hash_b") if plan.data.path_b else None
        hashes = dict(hash=self.images.hash, hash_b=self.images_b.hash if self.images_b else "")
        plan = dataclasses.replace(plan, data=dataclasses.replace(plan.data, **hashes))
        if plan.data.conditional and self.images.labels is None:
            raise StudioError(
                "The plan asks for classes, but the pictures are all in one folder.",
                "Put each class in a sub-folder of its own, or set data.conditional = false.",
            )
        self.classes = self.images.classes if plan.data.conditional else ()
        if plan.objective.mismatch > 0 and len(self.classes) == 1:
            raise StudioError("There is only one class, so that none can be wrong.", "Set objective.mismatch = 0.")
        self.config = family_config(plan, base, len(self.classes))
        self.plan = self._agree_with_run(plan)
        self.precision = choose_precision(plan.precision, accelerator.device, translates)

        counts = np.bincount(self.images.labels, minlength=len(self.classes)).tolist() if self.classes else []
        kind = objective_of(self.plan)
        self.objective = kind(self.plan, self.config, counts, accelerator, self.precision)
        # What comes in twos: both sides of a translation, or patches small and large.
        self.sides: TranslationData | PatchData | None = None
        if translates:
            self.sides = TranslationData(self.plan, self.config, self.images, self.images_b, kind.paired, accelerator.device)
        elif self.upscales:
            self.sides = PatchData(self.plan, self.config, self.images, self.objective.G.multiple, accelerator.device)
        self.order = DataOrder(len(self.images), plan.seed)
        self.micro = pictures_at_once(self.plan, accelerator.num_processes)
        self.step, self.seconds, self.log_sums, self.log_count = 0, 0.0, {}, 0
        self.last_snapshot: Path | None = None
        self.evaluators: dict[str, SetEvaluator] = {}
        self.transferred: dict[str, Any] = {}
        before = base.extra.get("training", {}) if base else {}
        seen = before.get("images_seen", 0) + before.get("images_seen_before", 0) if isinstance(before, dict) else 0
        self.began_from = {"base": base.id, "images_seen_before": seen} if base else {}
        said = plan.card.data() if plan.card.consent else of_sets(hashes.values())
        self.data_consent = to_extra(said, base)
        events_length = 0
        state = self._load_state()
        if state is not None:
            events_length = state["events_length"]
        elif base is not None:
            discriminator = base.path / "discriminator.safetensors"
            d_state = read_tensors(discriminator) if discriminator.is_file() else None
            told = self.objective.start_from(build_network(base).state_dict(), d_state)
            self.transferred = {who: {"copied": len(t.copied) + len(t.partly), "new": list(t.new)} for who, t in told.items()}
        self.events = EventLog(run_dir / "events.jsonl", events_length) if self.main else None

    # -- setting up ----------------------------------------------------------------------------------------------

    @staticmethod
    def _base(plan: Plan) -> ModelInfo | None:
        if not plan.base:
            return None
        return open_folder(Path(plan.base)) if Path(plan.base).is_dir() else default_library().get(plan.base)

    def _agree_with_run(self, plan: Plan) -> Plan:
        """A run folder belongs to one plan; only its budget, the words of its card and the pictures at once may change."""
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

    def _load_state(self) -> dict | None:
        path = self.run_dir / "state.pt"
        if not path.exists():
            return None
        state = torch.load(path, map_location="cpu", weights_only=True)
        if state.get("format") != _STATE_FORMAT:
            raise StudioError(f"{path} was written by another version of the studio.", "Train with that version, or start anew.")
        self.objective.load_state_dict(state["objective"])
        self.step, self.seconds = state["step"], state["seconds"]
        self.log_sums, self.log_count = state["log_sums"], state["log_count"]
        self.last_snapshot = self.run_dir / state["last_snapshot"] if state["last_snapshot"] else None
        return state

    def _save_state(self) -> None:
        if not self.main:
            return
        state = {
            "format": _STATE_FORMAT,
            "objective": self.objective.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
            "log_sums": self.log_sums,
            "log_count": self.log_count,
            "last_snapshot": str(self.last_snapshot.relative_to(self.run_dir)) if self.last_snapshot else "",
            "events_length": self.events.sync(),  # what was told is on disk before the state that counts on it
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

    def go(self) -> Path:
        budget = self.plan.budget
        total_steps = math.ceil(budget.kimg * 1000 / self.plan.pictures_a_step)
        if self.step == 0:
            self._tell(
                "start",
                total_images=total_steps * self.plan.pictures_a_step,
                pictures=len(self.images),
                precision=self.precision,
                device=str(self.accelerator.device),
                processes=self.accelerator.num_processes,
                transferred=self.transferred,
                **(self.sides.facts if self.sides else {}),
            )
            self._save_reals()
            self._sheet()
        mark = self.clock()
        stopped = False
        while self.step < total_steps:
            wish = self._wish()
            if wish:
                stopped = True
                if wish == "finish" and self.step:
                    self._sheet()
                    self._snapshot()
                break
            stats = self.objective.step(self.step, self._batches(), self.images_seen)
            self.step += 1
            now = self.clock()
            self.seconds, mark = self.seconds + now - mark, now
            self._log(stats)
            last = self.step == total_steps
            if last or self._due(budget.sample_kimg):
                self._sheet()
            if last or self._due(budget.snapshot_kimg):
                self._snapshot()
            if last or self._due(budget.state_kimg):
                self._save_state()
        if stopped:
            self._save_state()
        elif self.main and self.events is not None:
            self._tell("done", snapshot=str(self.last_snapshot.relative_to(self.run_dir)))
        if self.last_snapshot is None:
            self._snapshot()
            self._save_state()
        if self.events is not None:
            self.events.sync()
            self.events.close()
        return self.last_snapshot

    def _wish(self) -> bool | str:
        """What the first process is asked for. All stop at the same step, or some would wait for the others for ever."""
        if self.accelerator.num_processes == 1:
            return self.should_stop()
        said = [self.should_stop() if self.main else False]
        return broadcast_object_list(said, from_process=0)[0]

    def _due(self, kimg: float) -> bool:
        """Whether this step is the first to reach another multiple of `kimg`."""
        every = kimg * 1000
        return self.images_seen // every > (self.images_seen - self.plan.pictures_a_step) // every

    def _batches(self) -> list[list[Batch | TranslationBatch | PatchBatch]]:
        """For each turn of the discriminator this process's micro-batches of real pictures. Which pictures, and which are
        flipped, hangs on the step and the place in it alone."""
        plan, process = self.plan, self.accelerator.process_index
        turn = plan.optimizer.batch // self.micro  # micro-batches of all processes together
        mine = turn // self.accelerator.num_processes
        starts = [k * turn + process * mine for k in range(plan.objective.n_critic)]
        return [[self._batch(index) for index in range(start, start + mine)] for start in starts]

    def _batch(self, index: int) -> Batch | TranslationBatch | PatchBatch:
        """Micro-batch `index` of the step."""
        plan = self.plan
        if self.sides:
            return self.sides.batch(self.step, index, self.images_seen + index * self.micro, self.micro)
        rows = self.order.indices(self.images_seen + index * self.micro, self.micro)
        pixels = torch.from_numpy(np.ascontiguousarray(self.images.array[rows]))
        if plan.data.mirror:
            flips = torch.rand(plan.pictures_a_step, generator=generator(plan.seed, "mirror", self.step)) < 0.5
            flip = flips[index * self.micro : (index + 1) * self.micro]
            pixels = torch.where(flip[:, None, None, None], pixels.flip(2), pixels)
        # NHWC seen as NCHW is channels_last already.
        images = pixels.to(self.accelerator.device).permute(0, 3, 1, 2).float() / 127.5 - 1
        if self.config.img_channels == 1:
            images = (images * images.new_tensor(_LUMA)[:, None, None]).sum(dim=1, keepdim=True)
        c = torch.zeros(self.micro, self.config.c_dim)
        if self.config.c_dim:
            c[torch.arange(self.micro), torch.from_numpy(self.images.labels[rows])] = 1
        return Batch(index, images, c.to(self.accelerator.device))

    # -- what people see -----------------------------------------------------------------------------------------

    def _tell(self, kind: str, **values) -> None:
        if not self.main:
            return
        event = {"type": kind, "step": self.step, "images": self.images_seen, **values}
        self.events.write(event)
        self.on_event(event)

    def _log(self, stats: dict[str, float]) -> None:
        for name, value in stats.items():
            total, count = self.log_sums.get(name, (0.0, 0))
            self.log_sums[name] = (total + value, count + 1)
        self.log_count += 1
        if self._due(self.plan.budget.log_kimg):
            means = {name: total / count for name, (total, count) in self.log_sums.items()}
            on_card = self.accelerator.device.type == "cuda"
            memory = torch.cuda.max_memory_allocated() if on_card else psutil.Process().memory_info().rss
            self._tell("step", seconds=round(self.seconds, 3), memory=memory, **means)
            self.log_sums, self.log_count = {}, 0

    def _pictures(self, count: int, stream: str = "fixed latents") -> np.ndarray:
        """uint8 (count, H, W, 3) of fixed latents."""
        return np.concatenate([to_uint8(x) for x in self.objective.fixed_samples(count, stream)])

    def _save_reals(self) -> None:
        if self.main:
            rows = DataOrder(len(self.images), self.plan.seed + 1).indices(0, _SHEET_SIDE**2)
            pictures = self.sides.reals(_SHEET_SIDE**2) if self.sides else self.images.array[rows]
            atomic_write(self.run_dir / "reals.webp", _webp(_grid(pictures, _SHEET_SIDE)))

    def _sheet(self) -> None:
        """Pictures of the same latents, or what becomes of the same pictures, as time goes by."""
        if self.main:
            path = self.run_dir / "samples" / f"{_name(self.images_seen)}.webp"
            rows = self._answers() if self.sides else {}
            pictures = np.concatenate(list(rows.values())) if rows else self._pictures(_SHEET_SIDE**2)
            atomic_write(
                path, _webp(_grid(pictures, _SHEET_SIDE), DigitalSourceType.COMPOSITE if self.sides else DigitalSourceType.GENERATED)
            )
            self._tell("sample", path=str(path.relative_to(self.run_dir)), **({"rows": list(rows)} if rows else {}))

    def _answers(self) -> dict[str, np.ndarray]:
        """What a row of the sheet shows -> its pictures, uint8 (8, H, W, 3)."""
        (batch,) = self.sides.fixed(_SHEET_SIDE, "sheet", _SHEET_SIDE)
        return {name: to_uint8(x) for name, x in self.objective.rows(batch)}

    def _thumbnail(self) -> np.ndarray:
        """Sixteen pictures; of a model that changes pictures, rows of what goes in above rows of what comes out."""
        if not self.sides:
            return _grid(self._pictures(16), 4)
        rows = self._answers()
        given, made = (rows["low"], rows["ours"]) if self.upscales else list(rows.values())[:2]
        return _grid(np.concatenate([given[:4], made[:4], given[4:], made[4:]]), 4)

    def _metrics(self) -> dict[str, Any]:
        """KID of generated pictures against real ones: of what A became against B, and the other way round as 'kid_b2a'.
        Of an upscaler PSNR and SSIM on the pictures held back."""
        if self.upscales:
            return self.sides.measure(self.objective.upscaled)
        count = self.plan.budget.metric_images
        if not count:
            return {}
        if not self.sides:
            return self._evaluator("", self.images.array).measure(self._pictures(count, "metric"))
        out: dict[str, Any] = {}
        for direction, ending in (("AtoB", ""), ("BtoA", "_b2a")):
            if direction in self.objective.directions and min(self.sides.size("A"), self.sides.size("B")) > 1:
                batches = self.sides.fixed(min(count, self.sides.size(direction[0])), "metric", 16)
                made = [self.objective.translated(b.a if direction == "AtoB" else b.b, direction) for b in batches]
                pictures = np.concatenate([to_uint8(x) for x in made])
                out |= self._evaluator(direction, self.sides.centred(direction[-1])).measure(pictures, ending=ending)
        return out

    def _evaluator(self, name: str, real: np.ndarray) -> SetEvaluator:
        if name not in self.evaluators:
            self.evaluators[name] = SetEvaluator(real, seed=self.plan.seed, device=self.accelerator.device)
        return self.evaluators[name]

    def _snapshot(self) -> None:
        """A model folder of the generator's running average, both directions where there are two."""
        path = self.last_snapshot = self.run_dir / "snapshots" / _name(self.images_seen)
        if not self.main:
            return
        plan = self.plan
        metrics = self._metrics()
        g_state, d_state = self.objective.networks()
        ensure_room(self.run_dir, 4 * sum(t.numel() for s in (g_state, d_state) if s for t in s.values()))
        # A model may be given away: where things lie on this machine is nobody's business.
        names = dict(path=Path(plan.data.path).name, path_b=Path(plan.data.path_b).name)
        shared = dataclasses.replace(plan, base=Path(plan.base).name, data=dataclasses.replace(plan.data, **names))
        training = {
            "images_seen": self.images_seen,
            "seconds": round(self.seconds, 1),
            "precision": self.precision,
            "hardware": _hardware(self.accelerator),
            **self.began_from,
            **({"learned_by": self.objective.words} if self.upscales else {}),
            **metrics,
        }
        save_folder(
            path,
            plan.family,
            dataclasses.asdict(self.config),
            g_state,
            title=plan.card.title or self.run_dir.name,
            classes=self.classes,
            licence=plan.card.licence,
            card=training_card(
                plan.card,
                training,
                pictures=len(self.sides if self.upscales else self.images),
                data_hash=self.images.hash,
                other=(len(self.images_b), self.images_b.hash) if self.images_b else None,
                consent=consent_sentences(self.data_consent),
                measured=card_rows(training),
            ),
            thumbnail=Image.fromarray(self._thumbnail()),
            plan=shared.to_toml(),
            discriminator=d_state,
            dtype="float16",
            extra={"training": training, **self.data_consent},
        )
        self._tell("snapshot", path=str(path.relative_to(self.run_dir)), **metrics)


def _open_images(plan: Plan, path: str, hash_name: str) -> ImageSet | FullSizeImages:
    """One of the plan's sets of pictures, held against its hash."""
    size, wanted, ground = plan.data.load_size or plan.data.resolution, getattr(plan.data, hash_name), parse_colour(plan.data.ground)
    if get_family(plan.family).task is Task.UPSCALE:
        images = FullSizeImages.open(path, get_settings().cache, ground=ground)
    else:
        images = ImageSet.open(path, size, get_settings().cache, ground=ground, crop=plan.data.crop)
    if wanted and wanted != images.hash:
        raise StudioError(
            f"The pictures in {path} are not the ones the plan was made for.",
            f"Bring the first set back, or remove data.{hash_name} from the plan to train on these.",
        )
    return images


def _name(images: int) -> str:
    return f"img{images:09d}"


def _grid(pictures: np.ndarray, columns: int) -> np.ndarray:
    """(N, H, W, 3) -> one picture, row by row."""
    n, h, w, c = pictures.shape
    return pictures.reshape(n // columns, columns, h, w, c).swapaxes(1, 2).reshape(n // columns * h, columns * w, c)


def _webp(picture: np.ndarray, origin: DigitalSourceType | None = None) -> bytes:
    """origin: the mark it carries; None = no network made it."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "WEBP", lossless=True, xmp=xmp_packet(origin).encode() if origin else b"")
    return buffer.getvalue()


def _hardware(accelerator: Accelerator) -> str:
    if accelerator.device.type == "cuda":
        return f"{accelerator.num_processes} x {torch.cuda.get_device_name()}"
    return f"{accelerator.num_processes} x CPU with {torch.get_num_threads()} threads"
