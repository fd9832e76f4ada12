"""Names from strangers' files and archives, made safe to write on every system and safe to show."""

import re
import unicodedata
from collections.abc import Iterable

_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # devices on Windows, whatever the ending
_LONGEST = 80  # characters; with a class and the set's folder it stays below Windows' 260


def safe_filename(text: str, fallback: str = "picture") -> str:
    """A file or folder name without slashes, control and direction characters, leading dots, and device names."""
    text = unicodedata.normalize("NFC", text.encode(errors="replace").decode())
    text = "".join("_" if c in '<>:"/\\|?*' or unicodedata.category(c)[0] == "C" or not c.isprintable() else c for c in text)
    text = text[:_LONGEST].strip(" .")
    while len(text.encode()) > 180:  # 255 bytes is the most that Linux takes
        text = text[:-1]
    text = text.rstrip(" .")
    if text.upper().startswith("__MACOSX"):
        text = "_" + text.lstrip("_")
    return f"_{text}" if _RESERVED.fullmatch(text) else text or fallback


def printable(name: str, longest: int = 160) -> str:
    """A name fit for the screen: one line, nothing invisible, at most `longest` characters or so."""
    name = "".join(c if c.isprintable() else "?" for c in name.encode(errors="replace").decode())
    return name if len(name) <= longest else f"{name[: longest // 2]}...{name[-longest // 2 :]}"


def some_of(names: Iterable[str], most: int = 5) -> str:
    """The first names of a list and how many follow, so that none is dropped without a word: 'a, b and 3 more'."""
    names = list(names)
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


class UniqueNames:
    """Names without duplicates: 'a.png', then 'a-2.png'. Case is ignored, as some file systems do."""

    def __init__(self):
        self._taken: set[str] = set()
        self._next: dict[str, int] = {}

    def __call__(self, folder: str, stem: str, ending: str) -> str:
        """folder '' or 'a/b', stem 'x', ending '.png' -> 'a/b/x.png', or with a number after the stem."""
        first = f"{folder}/{stem}" if folder else stem
        key = f"{first}{ending}".casefold()
        name, number = f"{first}{ending}", self._next.get(key, 2)
        while name.casefold() in self._taken:
            name, number = f"{first}-{number}{ending}", number + 1
        self._next[key] = number
        self._taken.add(name.casefold())
        return name


class SafeFolders:
    """Folders with names safe to write. Different folders stay different when their names are shortened; case is ignored."""

    def __init__(self):
        self._safe: dict[tuple[str, str], str] = {}  # (safe path above, folder in lower case) -> safe path
        self._unique = UniqueNames()

    def __call__(self, folders: tuple[str, ...]) -> tuple[str, ...]:
        """('a?', 'b') -> ('a_', 'b'), or with a number where another folder beside it is called so already."""
        path = ""
        for folder in folders:
            key = (path, folder.casefold())
            if key not in self._safe:
                self._safe[key] = self._unique(path, safe_filename(folder, "folder"), "")
            path = self._safe[key]
        return tuple(path.split("/")) if path else ()


def short_repr(value) -> str:
    """The repr of a value for an error message, at most 60 characters."""
    try:
        text = repr(value)
    except ValueError:  # Python refuses to write out integers of thousands of digits
        return "a number of thousands of digits"
    text = text.encode("ascii", "backslashreplace").decode() if not text.isprintable() else text
    return text if len(text) <= 60 else text[:57] + "..."
