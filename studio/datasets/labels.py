"""Class labels of a set: the sub-folders that its pictures lie in."""

from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath


def folder_of(name: str) -> PurePosixPath:
    """The folder of a picture's name. Some old programs write zips with the slashes of Windows."""
    return PurePosixPath(name.replace("\\", "/")).parent


def class_names(folders: Sequence[PurePosixPath]) -> list[str]:
    """Names of classes for sub-folders: the path below the folder that all have in common, 'elf' or 'elf/male'.

    folders: each once, sorted; at least one.
    """
    common = folders[0]
    while not all(f.is_relative_to(common) for f in folders):
        common = common.parent
    return [str(f.relative_to(common)) if f != common else common.name or "other" for f in folders]


def count_classes(names: Iterable[str]) -> dict[str, int]:
    """Pictures a class, in the order and with the names that training gives them; empty if there is one class.

    names: of the pictures in a set, 'cats/tom.png'.
    """
    counts: dict[PurePosixPath, int] = {}
    for name in names:
        folder = PurePosixPath(name).parent
        counts[folder] = counts.get(folder, 0) + 1
    order = sorted(counts)
    return dict(zip(class_names(order), (counts[f] for f in order), strict=True)) if len(order) > 1 else {}


def class_folders(folders: Sequence[tuple[str, ...]]) -> list[str]:
    """Folder in the set for each picture, 'a/b', without the folders that all have in common.

    folders: of each picture, from the outermost on. Loose pictures beside classes get a class of their own.
    """
    if not folders:
        return []
    common = folders[0]
    while any(f[: len(common)] != common for f in folders):
        common = common[:-1]
    below = [f[len(common) :] for f in folders]
    if all(not b for b in below):
        return [""] * len(below)
    loose = (common[-1] if common else "other",)
    return ["/".join(b or loose) for b in below]
