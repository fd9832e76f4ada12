"""Which launcher the environment asks for."""

import os

from studio.errors import StudioError
from studio.jobs.launchers import Launcher
from studio.jobs.launchers.local import LocalLauncher


def make_launcher() -> Launcher:
    """A Ray cluster when STUDIO_RAY has its address, otherwise this machine; STUDIO_PROCESSES=N lets N processes of it,
    one a graphics card, work on one training.

    Raises StudioError when a variable makes no sense, or Ray is not installed.
    """
    address = os.environ.get("STUDIO_RAY", "").strip()
    if address:
        from studio.jobs.launchers.ray import RayLauncher

        return RayLauncher(address)
    return LocalLauncher(processes=whole_number("STUDIO_PROCESSES", 1, least=1))


def whole_number(name: str, default: int | None, least: int) -> int | None:
    """A number from the environment. Raises StudioError when it is none, or below `least`."""
    text = os.environ.get(name, "").strip()
    if not text:
        return default
    if not text.isdecimal() or int(text) < least:
        raise StudioError(f"The environment's {name} is '{text}'.", f"It must be a whole number, {least} or more.")
    return int(text)
