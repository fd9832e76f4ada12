"""The text of toasts: nothing of it is HTML, and strangers learn no path of this machine."""

import html
import re
import tempfile
from pathlib import Path

from studio.settings import get_settings

# An absolute path of two parts or more; its last part may be shown. Addresses (https://...) are none.
_PATH = re.compile(r"(?<![\w:/.\\])(?:/[^\s/'\"<>:,;]+)+/([^\s/'\"<>:,;]*)|(?<!\w)[A-Za-z]:\\(?:[^\s\\'\"<>:,;]+\\)*([^\s\\'\"<>:,;]*)")


def toast_text(text: str, strangers: bool) -> str:
    """The text as HTML that shows just this text.  strangers: without paths of this machine, see `without_paths`."""
    return html.escape(without_paths(text) if strangers else text, quote=False)


def without_paths(text: str) -> str:
    """The text with the last part alone of each path: '/home/ada/gan-studio/a.png' -> 'a.png'."""
    settings = get_settings()
    for folder in (settings.home, settings.shipped, Path(tempfile.gettempdir())):  # their names may have spaces
        text = text.replace(f"{folder}/", "/studio/").replace(f"{folder}\\", "C:\\studio\\").replace(str(folder), "its folder")
    return _PATH.sub(lambda m: m.group(1) or m.group(2) or "its folder", text)
