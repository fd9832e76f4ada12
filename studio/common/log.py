"""The studio's log file."""

import logging
import logging.handlers
from collections.abc import Callable
from pathlib import Path

from studio.settings import get_settings


def start_log() -> Path | None:
    """Send the studio's log, stack traces included, to home/studio.log (at most 6 MB, rotated). Returns its path.

    If that file cannot be written, the log goes to standard error and None is returned.
    """
    path = get_settings().home / "studio.log"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handler: logging.Handler = logging.handlers.RotatingFileHandler(path, maxBytes=2 << 20, backupCount=2, encoding="utf-8")
    except OSError:
        path, handler = None, logging.StreamHandler()
    logger = logging.getLogger("studio")
    for old in list(logger.handlers):
        logger.removeHandler(old)
        old.close()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger.addHandler(handler)
    logger.propagate = False
    return path


class _ShowWarnings(logging.Handler):
    """Passes the text of warnings and errors on to a person."""

    def __init__(self, show: Callable[[str], None]):
        super().__init__(logging.WARNING)
        self.show = show

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self.show(record.getMessage())
        except Exception:
            self.handleError(record)


def show_warnings(name: str, show: Callable[[str], None] | None) -> None:
    """Show the warnings of the logger `name` to a person as well, such as in a toast. None = no longer. Replaces an earlier `show`."""
    logger = logging.getLogger(name)
    for old in [handler for handler in logger.handlers if isinstance(handler, _ShowWarnings)]:
        logger.removeHandler(old)
    if show is not None:
        logger.addHandler(_ShowWarnings(show))
