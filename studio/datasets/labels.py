"""Class labels of a set: those of a label file or, without one, the sub-folders that the pictures lie in."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

# Folders that tools fill with so many pictures each ('00000', '00001'; '01000'): they say nothing about what is in them.
_PACKING = re.compile(r"\d{5,8}")


@dataclass(frozen=True)
class Labels:
    """Labels from a label file such as the dataset.json of NVIDIA's tools."""

    classes: tuple[str, ...]
    """Names of the classes; a class may have no picture."""
    of: Mapping[str, int]
    """Name of a picture, with forward slashes -> index of its class. Pictures that are not in it have none."""

    def __bool__(self) -> bool:
        return bool(self.of)

    def among(self, names: Iterable[str]) -> "Labels":
        """The labels of these pictures; the classes stay."""
        return Labels(self.classes, {name: self.of[name] for name in names if name in self.of})

    def to_dict(self) -> dict:
        """Plain data for a set's card."""
        return {"classes": list(self.classes), "of": dict(self.of)}

    @classmethod
    def from_dict(cls, raw) -> "Labels":
        """The labels in a set's card, of which those of earlier studios have none. Raises ValueError, KeyError or TypeError."""
        if not raw:
            return NO_LABELS
        classes, of = tuple(map(str, raw["classes"])), {str(name): int(index) for name, index in raw["of"].items()}
        if any(not 0 <= index < len(classes) for index in of.values()):
            raise ValueError("a picture has a class that does not exist")
        return cls(classes, of)


NO_LABELS = Labels((), {})


def label_pictures(names: Sequence[str], labels: Labels = NO_LABELS) -> tuple[tuple[str, ...], list[int | None]]:
    """Names of the classes, and the class of each picture: those of the label file if it has any, else the sub-folders.

    names: of the pictures, with forward slashes.  Without classes, or with a single sub-folder: ((), [None, ...]).
    """
    if labels:
        return labels.classes, [labels.of.get(name) for name in names]
    folders = [folder_of(name) for name in names]
    order = sorted(set(folders))
    if len(order) < 2:
        return (), [None] * len(names)
    index = {folder: i for i, folder in enumerate(order)}
    return tuple(class_names(order)), [index[folder] for folder in folders]


def folder_of(name: str) -> PurePosixPath:
    """The folder that makes a picture's class: without folders that only pack so many pictures each ('00000').

    Some old programs write zips with the slashes of Windows.
    """
    parts = PurePosixPath(name.replace("\\", "/")).parent.parts
    return PurePosixPath(*(p for p in parts if not is_packing(p)))


def is_packing(folder: str) -> bool:
    """Whether a folder's name is a number of five to eight digits, as tools name the folders that they pack pictures into."""
    return bool(_PACKING.fullmatch(folder))


def class_names(folders: Sequence[PurePosixPath]) -> list[str]:
    """Names of classes for sub-folders: the path below the folder that all have in common, 'elf' or 'elf/male'.

    folders: each once, sorted; at least one.
    """
    common = folders[0]
    while not all(f.is_relative_to(common) for f in folders):
        common = common.parent
    return [str(f.relative_to(common)) if f != common else common.name or "other" for f in folders]


def pictures_per_class(names: Iterable[str], labels: Labels = NO_LABELS) -> dict[str, int]:
    """Pictures per class, in the order and with the names that training gives them; empty if there is one class.

    names: of the pictures in a set, 'cats/tom.png'.
    """
    classes, indices = label_pictures(list(names), labels)
    counts = Counter(indices)
    return {name: counts[i] for i, name in enumerate(classes)} if len(classes) > 1 else {}


def common_folder(folders: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """The folder that all pictures have in common, but for folders that only pack them: label files name those.

    folders: of each picture, from the outermost on; at least one.
    """
    common = folders[0]
    while any(f[: len(common)] != common for f in folders) or (common and is_packing(common[-1])):
        common = common[:-1]
    return common


def class_folders(folders: Sequence[tuple[str, ...]]) -> list[str]:
    """Folder in the set for each picture, 'a/b', without the folders that all have in common.

    folders: of each picture, from the outermost on. Loose pictures beside classes get a class of their own.
    """
    if not folders:
        return []
    common = common_folder(folders)
    below = [f[len(common) :] for f in folders]
    meaning = [tuple(part for part in b if not is_packing(part)) for b in below]
    if not any(meaning):
        return ["/".join(b) for b in below]
    loose = (common[-1] if common and not is_packing(common[-1]) else "other",)
    return ["/".join(b if means else (*loose, *b)) for b, means in zip(below, meaning, strict=True)]
