"""One process for all tests of jobs, from which their workers are forked."""

from collections.abc import Callable, Iterator

import pytest

from tests.component.jobs.warm_workers import WarmLauncher, WorkerServer


@pytest.fixture(scope="session")
def worker_server() -> Iterator[WorkerServer]:
    server = WorkerServer()
    yield server
    server.close()


@pytest.fixture
def warm(worker_server) -> Callable[..., WarmLauncher]:
    """Makes launchers whose workers start at once."""
    return lambda patch="": WarmLauncher(worker_server, patch)
