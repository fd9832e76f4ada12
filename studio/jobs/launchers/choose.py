"""Choice of a launcher by environment variables."""

import os

from studio.jobs.launchers.base import Launcher
from studio.jobs.launchers.local import LocalLauncher
from studio.jobs.launchers.ray import RayLauncher
from studio.settings import environment_integer


def choose_launcher() -> Launcher:
    """A Ray cluster when STUDIO_RAY holds its address, otherwise this machine.

    With STUDIO_PROCESSES=N, N processes of this machine, one per graphics card, train one model together.
    Raises StudioError when a variable makes no sense, or Ray is not installed.
    """
    address = os.environ.get("STUDIO_RAY", "").strip()
    if address:
        return RayLauncher(address)
    return LocalLauncher(processes=environment_integer("STUDIO_PROCESSES", 1, least=1) or 1)
