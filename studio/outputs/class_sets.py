"""Class sets: pictures by class in one zip, to look at, to give away, or to train on."""

import csv
import io
import json
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from studio.common.files import atomic_path, ensure_room
from studio.common.progress import Cancel, Progress, raise_if_cancelled, report
from studio.common.text import UniqueNames, safe_filename
from studio.engine.engine import Engine
from studio.engine.recipe import ClassWeight, Recipe, SeedWeight
from studio.errors import StudioError
from studio.inference.model import Model
from studio.latents.seeds import MAX_SEED, check_seed
from studio.provenance.metadata import encode_signed
from studio.provenance.policy import provenance_policy

_RESERVED_NAMES = (("README", ".txt"), ("manifest", ".csv"), ("manifest", ".json"))
_README = """All pictures in this archive were made by AI, with GAN Studio.
Model: {title} ({id}, SHA-256 of its weights {hash}).

There is one folder per class. manifest.csv and manifest.json name {named} of each picture{inside}. The licence of the pictures is
that of the model: {licence}.
"""
_WITH_RECIPES = ("the class, the seed and the recipe", "; the recipe is\nalso inside each file")  # named, inside


@dataclass(frozen=True)
class Filling:
    """Result of `fill_up`.  make: class of the model -> number of pictures to make.  unmatched: classes of the data set that
    the model does not draw."""

    make: dict[int, int]
    unmatched: tuple[str, ...]


def fill_up(counts: Mapping[str, int], model_classes: Sequence[str]) -> Filling:
    """Number of pictures to make of each class, so that every class of a data set becomes as large as its largest one.

    counts: class name -> pictures in the data set.  Names match regardless of case. Classes of the model that the data set
    does not have are left out.
    """
    largest = max(counts.values(), default=0)
    known = {name.casefold(): i for i, name in reversed(list(enumerate(model_classes)))}
    found = {name: known.get(name.casefold()) for name in counts}
    make = {index: largest - counts[name] for name, index in found.items() if index is not None and counts[name] < largest}
    return Filling(make, tuple(name for name, index in found.items() if index is None))


def export_set(
    engine: Engine,
    model: str,
    per_class: int | Mapping[int, int],
    path: str | Path,
    psi: float = 1.0,
    seed: int = 0,
    same_seeds: bool = False,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> Path:
    """Write pictures by class into a zip: one folder per class, PNGs with their recipes inside, and a manifest. When the provenance
    policy is the AI label alone, it contains no recipes and no seeds.

    per_class: how many of each class, or {class: how many}.  psi: truncation; 1 keeps all of the variety.
    seed: of the first picture, counting up from there. Each picture has its own seed; with same_seeds each class begins at
    `seed` again.  progress: called with (done, all).  cancel: asked before each picture; when true CancelledError is raised.

    One picture is in memory at a time. The file appears whole or not at all. Except for signatures, the same arguments give the
    same bytes on one device.  Raises StudioError when the model has no classes, a number cannot be used, or the disk is full.
    """
    path, loaded = Path(path).expanduser(), engine.model(model)
    counts = _counts(loaded, per_class)
    seed, total, done = check_seed(seed), sum(counts.values()), 0
    info = engine.library.get(model)
    hash = info.hash
    folders, with_recipes = _folders(loaded.classes), provenance_policy().includes_recipe

    def entries() -> Iterator[tuple[str, int, Recipe]]:
        """(file, class, recipe) of every picture; iterated once for the pictures and once for each manifest."""
        number = 0
        for index, count in counts.items():
            for i in range(count):
                s = (seed + (i if same_seeds else number)) % (MAX_SEED + 1)
                recipe = Recipe(model=model, model_hash=hash, seeds=(SeedWeight(s),), psi=psi, classes=(ClassWeight(index),))
                yield f"{folders[index]}/{f'seed{s:06d}' if with_recipes else f'picture{i + 1:06d}'}.png", index, recipe
                number += 1

    try:
        with atomic_path(path) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
            for name, _, recipe in entries():
                raise_if_cancelled(cancel)
                data = encode_signed(engine.render(recipe), recipe)
                ensure_room(path.parent, len(data))
                archive.writestr(_entry(name), data)
                done += 1
                report(progress, done, total)
            _write_manifests(archive, entries, loaded, hash, with_recipes)
            licence = info.licence or "not stated"
            named, inside = _WITH_RECIPES if with_recipes else ("the class", "")
            text = _README.format(title=info.title, id=model, hash=hash, licence=licence, named=named, inside=inside)
            archive.writestr(_entry("README.txt"), text)
    except OSError as e:
        raise StudioError(f"The set could not be saved: {e}.", "Free some space or choose another folder.") from None
    return path


def _counts(model: Model, per_class: int | Mapping[int, int]) -> dict[int, int]:
    if not model.c_dim:
        raise StudioError(f"The model '{model.id}' has no classes.", "Choose a model that was trained with classes.")
    wanted = dict(per_class) if isinstance(per_class, Mapping) else dict.fromkeys(range(model.c_dim), per_class)
    for index, count in wanted.items():
        model.class_index(index)
        if not isinstance(count, int) or isinstance(count, bool) or not 0 <= count <= 1_000_000:
            raise StudioError(f"The number of pictures is {count!r:.40}.", "It must be a whole number from 0 to 1,000,000.")
    counts = {index: wanted[index] for index in sorted(wanted) if wanted[index]}
    if not counts:
        raise StudioError("There is no picture to make.", "Ask for at least one picture per class.")
    return counts


def _folders(classes: Sequence[str]) -> list[str]:
    """Class names, which are untrusted -> safe and distinct folder names."""
    unique = UniqueNames()
    for stem, ending in _RESERVED_NAMES:
        unique("", stem, ending)
    return [unique("", safe_filename(name, f"class-{i}"), "") for i, name in enumerate(classes)]


def _entry(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)  # dated 1980, so that the same set has the same bytes
    info.external_attr = 0o644 << 16
    return info


def _write_manifests(
    archive: zipfile.ZipFile, entries: Callable[[], Iterator[tuple[str, int, Recipe]]], model: Model, hash: str, with_recipes: bool
) -> None:
    """Write manifest.csv and manifest.json.  with_recipes: seeds and recipes too."""
    with archive.open(_entry("manifest.csv"), "w", force_zip64=True) as raw:
        text = io.TextIOWrapper(raw, encoding="utf-8", newline="", write_through=True)
        table = csv.writer(text)
        table.writerow(("file", "class", *(("seed", "recipe") if with_recipes else ())))
        for name, index, recipe in entries():
            table.writerow((name, model.classes[index], *((recipe.seed, recipe.to_json()) if with_recipes else ())))
        text.detach()
    with archive.open(_entry("manifest.json"), "w", force_zip64=True) as raw:
        head = {"made_by": "GAN Studio", "ai_generated": True, "model": model.id, "model_hash": hash}
        raw.write(json.dumps(head, ensure_ascii=False)[:-1].encode() + b', "pictures": [')
        for i, (name, index, recipe) in enumerate(entries()):
            row = {"file": name, "class": model.classes[index]}
            row |= {"seed": recipe.seed, "recipe": recipe.to_dict()} if with_recipes else {}
            raw.write((",\n" if i else "\n").encode() + json.dumps(row, ensure_ascii=False).encode())
        raw.write(b"\n]}\n")
