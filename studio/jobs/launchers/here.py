"""Which launcher the environment asks for."""

import os

from studio.jobs.launchers import Launcher
from studio.jobs.launchers.local import LocalLauncher
from studio.jobs.launchers.ray import RayLauncher
from studio.settings import environment_integer


def make_launcher() -> Launcher:
    """A Ray cluster when STUDIO_RAY has its address, otherwise this machine; STUDIO_PROCESSES=N lets N processes of it,
    one a graphics card, work on one training.

    Raises StudioError when a variable makes no sense, or Ray is not installed.
    """
    address = os.environ.get("STUDIO_RAY", "").strip()
    if address:
        return RayLauncher(address)
    return LocalLauncher(processes=environment_integer("STUDIO_PROCESSES", 1, least=1))
