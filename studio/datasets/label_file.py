"""Label files: dataset.json, in which the tools of StyleGAN2 and StyleGAN3 keep the class of each picture."""

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from studio.datasets.labels import NO_LABELS, Labels

LABEL_FILE = "dataset.json"
MAX_LABEL_FILE = 256 << 20  # bytes
_MOST_CLASSES = 10_000  # beyond that, numbers are names of classes rather than their indices
_ESCAPED = str.maketrans({"\b": "/b", "\f": "/f", "\n": "/n", "\r": "/r", "\t": "/t"})
_TRAILING_COMMA = re.compile(r'("(?:[^"\\]|\\.)*")|,(?=\s*[\]}])')
_LONE_BACKSLASH = re.compile(r'\\(?!["/])')


@dataclass
class FoundLabels:
    """What the label files of one source say."""

    of: dict[str, int | str] = field(default_factory=dict)
    """Name of a picture in the source, with forward slashes -> its label."""
    remarks: list[tuple[str, str]] = field(default_factory=list)
    """(label file, a sentence on what of it could not be used)."""


def is_label_file(name: str) -> bool:
    """Whether a file in a folder or zip is a label file, by its name."""
    return PurePosixPath(name.replace("\\", "/")).name.lower() == LABEL_FILE


def read_label_files(files: Iterable[tuple[str, Callable[[], bytes]]], names: Iterable[str]) -> FoundLabels:
    """Labels of the pictures `names` by the label files of the same source.

    files: (name, function that reads it); the names in a label file count from its own folder.  names: of the pictures, with forward
    slashes. A label file that cannot be read is a remark, and so are pictures with several labels: they have no class.
    """
    found, known = FoundLabels(), set(names)
    for name, read in files:
        folder = PurePosixPath(name.replace("\\", "/")).parent
        try:
            entries = _entries(read())
        except (OSError, ValueError, RecursionError) as e:
            found.remarks.append((name, f"its labels cannot be read: {e}"))
            continue
        several: set[str] = set()
        here: dict[str, int | str] = {}
        for picture, raw in entries:
            label, ambiguous = _label(raw)
            path = str(folder / picture) if picture else ""
            if ambiguous or (label is not None and here.get(path, label) != label):
                several.add(path)
            elif label is not None:
                here[path] = label
        for path in several:
            here.pop(path, None)
        several &= known
        missing = [path for path in here if path not in known]
        found.of |= {path: label for path, label in here.items() if path in known}
        if several:
            what = "picture has several labels at once; it gets" if len(several) == 1 else "pictures have several labels at once; they get"
            found.remarks.append((name, f"{len(several):,} {what} no class"))
        if missing and len(missing) < len(here):
            what = "picture has a label but is" if len(missing) == 1 else "pictures have a label but are"
            found.remarks.append((name, f"{len(missing):,} {what} not there"))
        if here and not found.of:
            found.remarks.append((name, "none of its labels is for a picture here"))
    return found


def to_labels(found: dict[str, int | str]) -> Labels:
    """Labels by index. Numbers are indices, as in NVIDIA's tools, so that class 7 stays class 7 whichever are there; names are sorted."""
    if not found:
        return NO_LABELS
    kinds = set(found.values())
    if all(isinstance(k, int) and 0 <= k < _MOST_CLASSES for k in kinds):
        classes = tuple(str(i) for i in range(max(int(k) for k in kinds) + 1))
        return Labels(classes, {name: int(label) for name, label in found.items()})
    order = sorted(kinds, key=lambda k: (isinstance(k, str), k if isinstance(k, int) else 0, str(k)))
    classes = tuple(map(str, order))
    if len(set(classes)) < len(classes):  # 3 and "3"
        return to_labels({name: str(label) for name, label in found.items()})
    index = {kind: i for i, kind in enumerate(order)}
    return Labels(classes, {name: index[label] for name, label in found.items()})


def _entries(data: bytes) -> list[tuple[str, Any]]:
    """(picture with forward slashes, raw label) of a label file. Raises ValueError for a file that is none."""
    raw = _parse(data)
    labels = raw.get("labels", raw) if isinstance(raw, dict) else raw
    if labels is None:
        return []
    rows = labels.items() if isinstance(labels, dict) else labels
    if not isinstance(labels, (dict, list)):
        raise ValueError("it has no list of labels")
    out = []
    for row in rows:
        if not isinstance(row, (list, tuple)) or len(row) < 2 or not isinstance(row[0], str):
            raise ValueError("its list of labels does not consist of a name and a label each")
        name = row[0].translate(_ESCAPED).replace("\\", "/")
        out.append((re.sub(r"^(\./|/)+", "", name), row[1] if len(row) == 2 else list(row[1:])))
    return out


def _parse(data: bytes) -> Any:
    """Content of a JSON file, with the trailing commas and single backslashes that people leave in one. Raises ValueError."""
    if len(data) > MAX_LABEL_FILE:
        raise ValueError(f"larger than {MAX_LABEL_FILE >> 20} MB")
    text = data.decode("utf-8-sig")
    tidy = _TRAILING_COMMA.sub(lambda m: m.group(1) or "", text)
    single = _LONE_BACKSLASH.sub("/", text.replace("\\\\", "/"))
    problem: Exception | None = None
    for attempt in (text, tidy, _TRAILING_COMMA.sub(lambda m: m.group(1) or "", single)):
        try:
            return json.loads(attempt)
        except ValueError as e:
            problem = e
    raise ValueError(f"not JSON ({problem})")


def _label(raw: Any) -> tuple[int | str | None, bool]:
    """(label or None, whether there are several at once) of a raw label: a number, a name, null, or a vector with one number a class."""
    if isinstance(raw, bool) or raw is None or raw == [] or raw == "":
        return (int(raw), False) if isinstance(raw, bool) else (None, False)
    if isinstance(raw, int):
        return raw, False
    if isinstance(raw, float):
        return (int(raw), False) if raw.is_integer() else (None, True)
    if isinstance(raw, str):
        return raw.strip() or None, False
    if not isinstance(raw, list) or any(isinstance(x, (list, dict)) for x in raw):
        return None, True
    if len(raw) == 1:
        return _label(raw[0])
    if all(isinstance(x, (int, float)) and x in (0, 1) for x in raw):
        ones = [i for i, x in enumerate(raw) if x == 1]
        return (ones[0] if len(ones) == 1 else None), len(ones) > 1
    return None, True
