"""The studio's log file."""

import logging
import logging.handlers
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
