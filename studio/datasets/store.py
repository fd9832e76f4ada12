"""Store of the studio's training sets: each is kept once, in a folder named by its content, and never changed."""

from __future__ import annotations  # inside the class, `list` is its method

import contextlib
import dataclasses
import datetime
import hashlib
import json
import logging
import os
import secrets
import shutil
import stat
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from studio.common import toml
from studio.common.files import atomic_write, fsync_path
from studio.common.progress import Cancel, ItemProgress
from studio.datasets.ingest import ingest
from studio.datasets.ingest_report import COLOURS, EARLIER_COLOURS, OWNERSHIP, IngestReport
from studio.datasets.labels import Labels, pictures_per_class
from studio.datasets.pairs import PairNames
from studio.datasets.picture_files import content_hash
from studio.datasets.previews import adopt_previews, small_picture
from studio.datasets.rights import UNKNOWN, Consent
from studio.datasets.set_card import SET_FORMAT, read_card
from studio.datasets.sources import Limits, UploadedFile
from studio.datasets.staged_pictures import write_synced
from studio.errors import StudioError
from studio.imaging.colour import Colour, colour_text
from studio.imaging.crop import crop as crop_square
from studio.settings import get_settings

_LEFTOVER = 7 * 24 * 3600  # seconds after which nobody waits for a staged ingestion any more
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DataSet:
    """A training set in the store."""

    id: str
    """SHA-256 of names and contents: the hash of `ImageSet` and of `Plan.data`."""
    path: Path
    """Its folder, for `Plan.data.path`."""
    title: str
    count: int
    """Pictures."""
    classes: dict[str, int]
    """Pictures per class; empty if there is one class."""
    owned: bool
    """Whether whoever added it confirmed `OWNERSHIP`."""
    created: str
    """ISO 8601, UTC."""
    card: dict[str, Any]
    """All of set.json but the pictures."""
    consent: Consent = Consent()
    """Whose pictures they are."""
    already: str = ""
    """When the pictures that were added are those of this set: a sentence that says so; '' = it is new."""

    @property
    def answered(self) -> bool:
        """Whether somebody stated whose pictures they are or, in sets of earlier studios, that they may be used."""
        return self.owned or self.consent.answer != UNKNOWN

    @property
    def colour_managed(self) -> bool:
        """Whether colour profiles were applied when the pictures were added."""
        return self.card.get("colours") == COLOURS

    @property
    def remark(self) -> str:
        """What an artist should know of a set that an earlier studio made; '' = nothing."""
        return "" if self.colour_managed else EARLIER_COLOURS

    def names(self) -> list[str]:
        """Names of the pictures, 'cats/tom.png', sorted."""
        return [name for name, _ in read_card(self.path).pictures]

    def pair_names(self) -> PairNames:
        """The names by which its pictures find partners in another set."""
        card = read_card(self.path)
        return PairNames.of([name for name, _ in card.pictures], card.origins)

    def picture(self, name: str) -> Path:
        """File of one picture. Raises StudioError if the set has none of that name."""
        path = self.path / "pictures" / name
        if ".." in Path(name).parts or Path(name).is_absolute() or not path.is_file():
            raise StudioError(f"The set '{self.title}' has no picture '{name}'.", "Reload the page to see what it holds.")
        return path


class DataSetStore:
    """The training sets below a folder.

    home: the folder (default: the studio's own).  now: clock for the cards.
    """

    def __init__(
        self,
        home: Path | None = None,
        now: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(datetime.timezone.utc),
    ):
        self.home = Path(home) if home is not None else get_settings().datasets
        self._now = now

    # -- adding --------------------------------------------------------------------------------------------------

    def ingest(
        self,
        paths: Iterable[str | Path | UploadedFile],
        *,
        owned: bool,
        consent: Consent = Consent(),
        title: str = "",
        ground: Colour = (255, 255, 255),
        classes: bool = True,
        keep_equal: bool = False,
        every_frame: bool = True,
        limits: Limits = Limits(),
        progress: ItemProgress | None = None,
        cancel: Cancel | None = None,
        workers: int = 2,
    ) -> IngestReport:
        """Ingest pictures into this store -> the report for `add`. Parameters as in `ingest.ingest`."""
        self.sweep()
        return ingest(
            paths,
            owned=owned,
            consent=consent,
            title=title,
            ground=ground,
            classes=classes,
            keep_equal=keep_equal,
            every_frame=every_frame,
            limits=limits,
            home=self.home,
            progress=progress,
            cancel=cancel,
            workers=workers,
        )

    def add(self, report: IngestReport, *, crop: str = "centre") -> DataSet:
        """Make a set from an ingestion. The same pictures under the same names give the set that exists already; it then takes over
        a yes to `OWNERSHIP` and the new consent.

        crop: the artist's choice, for the card only: training follows its plan.
        Raises StudioError if no picture is usable or the pictures cannot be stored; the report stays usable then.
        """
        if not report.accepted:
            why = "".join(f" {name}: {text}." for name, text in report.rejected[:1])
            formats = "PNG, JPEG, WebP, GIF, BMP, TIFF, HEIC or AVIF"
            raise StudioError(f"There is no picture that can be used.{why}", f"Give {formats} files, or a video.")
        if not (report.staged / "pictures").is_dir():
            raise StudioError("The pictures that were waiting to be stored are gone.", "Add them again.")
        card = {
            "title": report.title,
            "owned": report.owned,
            "statement": OWNERSHIP,
            "consent": report.consent.to_dict(),
            "ground": colour_text(report.ground),
            "crop": crop,
            "colours": COLOURS,
            "rejected": report.rejected,
            "duplicates": report.duplicates,
            "near": report.near,
            "origins": report.origins.to_dict(),
            "videos": report.videos,
            "places_removed": report.locations_removed,
            "changed": {a.name: f"{a.source}: {a.note}" for a in report.accepted if a.note},
        }
        return self._finish(report.staged, [(a.name, a.sha) for a in report.accepted], card, report.labels)

    def without(self, id: str, names: Iterable[str]) -> DataSet:
        """Make a set without the pictures `names`. The old one stays as it is; the two share their files if the disk supports that.

        Raises StudioError for a name that is not in the set, or if no picture would remain.
        """
        old = self.get(id)
        full = read_card(old.path)
        card, gone = full.raw, set(names)
        unknown = sorted(gone - {name for name, _ in full.pictures})
        if unknown:
            raise StudioError(f"The set '{old.title}' has no picture '{unknown[0]}'.", "Reload the page to see what it holds.")
        if not gone:
            return old
        rest = [(name, sha) for name, sha in full.pictures if name not in gone]
        if not rest:
            raise StudioError("No picture would remain.", "Delete the set instead.")
        staged = self.home / f".intake-{secrets.token_hex(6)}.part"
        try:
            (staged / "previews").mkdir(parents=True)
            for name, sha in rest:
                target = staged / "pictures" / name
                target.parent.mkdir(parents=True, exist_ok=True)
                _link(old.path / "pictures" / name, target)
                preview = old.path / "previews" / f"{sha}.webp"
                if preview.is_file():
                    _link(preview, staged / "previews" / preview.name)
            near = [[n for n in group if n not in gone] for group in card.get("near", [])]
            changed = {name: text for name, text in card.get("changed", {}).items() if name not in gone}
            kept = {k: v for k, v in card.items() if k not in ("id", "format", "created", "count", "classes", "labels")}
            kept |= {"near": [g for g in near if len(g) > 1], "changed": changed, "made_from": old.id}
            kept["removed"] = [*card.get("removed", []), *sorted(gone)]
            return self._finish(staged, rest, kept, full.labels.among(name for name, _ in rest))
        except OSError as e:
            raise StudioError(f"The new set cannot be stored: {e.strerror or e}.", f"Is there room on the disk of {self.home}?") from e
        finally:
            shutil.rmtree(staged, ignore_errors=True)

    def _finish(self, staged: Path, pictures: list[tuple[str, str]], card: dict[str, Any], labels: Labels) -> DataSet:
        """Make a set of a staged folder: its card is written, all of it synced to disk, then the folder is renamed to its hash."""
        pictures = sorted(pictures)
        id = content_hash(((name, bytes.fromhex(sha)) for name, sha in pictures), labels)
        target = self.home / id
        if target.is_dir():
            adopt_previews(staged, target)
            shutil.rmtree(staged, ignore_errors=True)
            found = self._update_answers(id, card)
            return dataclasses.replace(found, already=_already(found, card["title"], Consent.from_dict(card.get("consent"))))
        card = {
            "format": SET_FORMAT,
            "id": id,
            "created": self._now().isoformat(timespec="seconds"),
            "count": len(pictures),
            "classes": pictures_per_class((name for name, _ in pictures), labels),
            **({"labels": labels.to_dict()} if labels else {}),
            **card,
            "pictures": pictures,
        }
        try:
            write_synced(staged / "set.json", json.dumps(card, ensure_ascii=True, indent=1).encode())
            for folder, _, files in os.walk(staged / "pictures"):
                for file in files:
                    os.chmod(os.path.join(folder, file), stat.S_IREAD | stat.S_IRGRP | stat.S_IROTH)
                fsync_path(Path(folder))
            fsync_path(staged)
            os.replace(staged, target)
        except OSError as e:
            if target.is_dir():  # another process was quicker with the same pictures
                shutil.rmtree(staged, ignore_errors=True)
                return self.get(id)
            raise StudioError(f"The set cannot be stored: {e.strerror or e}.", f"Is there room on the disk of {self.home}?") from e
        fsync_path(self.home)
        return self.get(id)

    def _update_answers(self, id: str, added: dict[str, Any]) -> DataSet:
        full, owned, consent = read_card(self.home / id), added["owned"], Consent.from_dict(added.get("consent"))
        card = {**full.raw, "pictures": full.pictures}
        new = {**card, "owned": card["owned"] or owned, **{k: v for k, v in added.items() if k == "colours"}}
        if consent.answer != UNKNOWN:
            new |= {"owned": owned, "consent": consent.to_dict()}
        if new != card:
            # The card is about the pictures; only the pictures never change.
            atomic_write(self.home / id / "set.json", json.dumps(new, indent=1).encode())
        return self.get(id)

    # -- finding -------------------------------------------------------------------------------------------------

    def list(self) -> list[DataSet]:
        """All sets, the newest first. One that cannot be read is logged and left out."""
        out = []
        for path in self.home.iterdir() if self.home.is_dir() else ():
            if path.is_dir() and not path.name.startswith("."):
                try:
                    out.append(_stored(path))
                except StudioError as e:
                    _log.warning("%s", e)
        return sorted(out, key=lambda s: (s.created, s.id), reverse=True)

    def get(self, id: str) -> DataSet:
        """The set whose id begins with `id`, or whose title is `id`. Raises StudioError if there is none or several."""
        if len(id) == 64 and id.isalnum() and (self.home / id).is_dir():
            return _stored(self.home / id)
        sets = self.list()
        found = [s for s in sets if id and s.id.startswith(id)] or [s for s in sets if s.title == id]
        if len(found) == 1:
            return found[0]
        if found:
            raise StudioError(f"'{id}' may be any of {len(found)} training sets.", "Give more letters of the id.")
        raise StudioError(f"There is no training set '{id}'.", "'studio dataset list' shows those that exist.")

    def changed(self, id: str) -> list[str]:
        """Names of pictures whose files are missing or changed. Reads all of them."""
        stored = self.get(id)
        wrong = []
        for name, sha in read_card(stored.path).pictures:
            file = stored.path / "pictures" / name
            if not file.is_file() or hashlib.sha256(file.read_bytes()).hexdigest() != sha:
                wrong.append(name)
        return wrong

    # -- looking -------------------------------------------------------------------------------------------------

    def sheet(
        self, id: str, page: int = 0, per_page: int = 60, crop: str = "centre", resolution: int = 96, ground: Colour = (255, 255, 255)
    ) -> list[tuple[str, np.ndarray]]:
        """One page of the training set, cropped as training will: [(name, (resolution, resolution, 3) uint8)].

        page: from 0; pages beyond the last are empty. Pages are made from the previews, so that one costs the same in any set; a
        picture that can no longer be read is shown in the background colour.
        """
        stored = self.get(id)
        pictures = read_card(stored.path).pictures[page * per_page : (page + 1) * per_page]
        return [(name, crop_square(small_picture(stored, name, sha, ground), resolution, crop, ground)) for name, sha in pictures]

    def some(
        self, id: str, names: Iterable[str], crop: str = "centre", resolution: int = 96, ground: Colour = (255, 255, 255)
    ) -> list[np.ndarray]:
        """The pictures `names` as `sheet` shows them, in that order, (resolution, resolution, 3) uint8 each."""
        stored = self.get(id)
        shas = dict(read_card(stored.path).pictures)
        return [crop_square(small_picture(stored, name, shas[name], ground), resolution, crop, ground) for name in names]

    # -- deleting ------------------------------------------------------------------------------------------------

    def dependants(self, id: str, folders: Iterable[Path] | None = None, others: Iterable[str] = ()) -> list[str]:
        """Sentences on what depends on the set, to be shown before `delete`.

        folders: their sub-folders with a plan.toml are looked at (default: the studio's models and runs).
        others: further sentences of the caller, such as trainings that wait in a queue.
        """
        stored = self.get(id)
        if folders is None:
            folders = (get_settings().models, get_settings().runs)
        out = []
        for top in folders:
            for file in sorted(Path(top).glob("*/plan.toml")):
                try:
                    data = toml.loads(file.read_text(encoding="utf-8")).get("data", {})
                    uses = stored.id in (data.get("hash"), data.get("hash_b")) or any(
                        stored.id in Path(str(data.get(path, ""))).parts for path in ("path", "path_b")
                    )
                except (OSError, ValueError, AttributeError):
                    continue
                if uses and (file.parent / "config.json").is_file():
                    out.append(f"The model '{file.parent.name}' was trained on it; it still works, but cannot be trained again.")
                elif uses:
                    out.append(f"The training '{file.parent.name}' learns from it and could not continue.")
        return [*out, *others]

    def delete(self, id: str) -> None:
        """Delete a set permanently. Ask first, and show `dependants`. Sets made from it keep their pictures."""
        stored = self.get(id)
        # Once renamed, it is gone from every listing; then its files are deleted.
        deleted = self.home / f".deleted-{secrets.token_hex(6)}.part"
        try:
            os.replace(stored.path, deleted)
        except OSError as e:
            raise StudioError(
                f"The set '{stored.title}' cannot be deleted: {e.strerror or e}.", "Does a program have its pictures open?"
            ) from e
        fsync_path(self.home)
        _remove(deleted)

    def sweep(self, older_than: float = _LEFTOVER, now: Callable[[], float] = time.time) -> None:
        """Remove what killed ingestions and deletions left behind, if untouched for `older_than` seconds."""
        for path in self.home.glob(".*.part") if self.home.is_dir() else ():
            with contextlib.suppress(OSError):
                if path.name.startswith(".deleted-") or now() - path.stat().st_mtime > older_than:
                    _remove(path)


def _stored(path: Path) -> DataSet:
    full = read_card(path)
    try:
        card, consent = full.raw, Consent.from_dict(full.raw.get("consent"))
        return DataSet(card["id"], path, card["title"], card["count"], full.classes, card["owned"], card["created"], card, consent)
    except KeyError as e:
        raise StudioError(f"The training set in {path} cannot be read: its card lacks {e}.", "Add its pictures again.") from None


def _already(found: DataSet, title: str, given: Consent) -> str:
    said = f"These are the pictures of the set '{found.title}', which is here already: nothing was stored a second time"
    said += f", and the title '{title}' is not used." if title != found.title else "."
    kept = f" What was said before about whose they are still holds: {found.consent.sentence}"
    return said + (kept if given.answer == UNKNOWN and found.consent.answer != UNKNOWN else "")


def _link(source: Path, target: Path) -> None:
    # Sets never change, so two of them may share a file; where the disk cannot do that it is copied.
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
        fsync_path(target)


def _remove(folder: Path) -> None:
    for parent, _, files in os.walk(folder):
        for file in files:
            with contextlib.suppress(OSError):
                os.chmod(os.path.join(parent, file), stat.S_IWRITE | stat.S_IREAD)  # Windows deletes nothing that is read-only
    shutil.rmtree(folder, ignore_errors=True)
