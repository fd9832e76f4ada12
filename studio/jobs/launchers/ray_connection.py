"""Connection to a Ray cluster: its job API and the files that its dashboard serves."""

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Any

from studio.jobs.launchers.ray_worker import OUTBOX

_TIMEOUTS = (10, 60)  # seconds without an answer: to connect, to read on


class RayConnection:
    """Ray's job API at `address`, see RayLauncher.

    heard: called whenever the cluster answers.  Raises OSError (ConnectionError) when it does not, as all methods do.
    """

    def __init__(self, address: str, heard: Callable[[], None] = lambda: None):
        from ray.job_submission import JobSubmissionClient

        self._heard = heard
        try:
            self._client = JobSubmissionClient(address)
        except (RuntimeError, ValueError) as e:
            raise ConnectionError(str(e)) from None
        heard()

    def info(self, handle: str) -> Any | None:
        """Ray's details of a submission; None when it knows nothing of it, as after a restart."""
        try:
            info = self._client.get_job_info(handle)
        except RuntimeError as e:
            if "404" in str(e):
                return None
            raise ConnectionError(str(e)) from None
        if not info.status.is_terminal():
            self._heard()  # of an ended one only the results matter
        return info

    def submit(self, **arguments: Any) -> None:
        """Submit a job. Raises RuntimeError when the cluster refuses it."""
        self._client.submit_job(**arguments)

    def run_shell(self, line: str, node: str) -> None:
        """Run a line of shell on the machine whose resource is called `node`."""
        with contextlib.suppress(RuntimeError):
            self._client.submit_job(entrypoint=line, entrypoint_resources={node: 0.001})

    def stop(self, handle: str) -> None:
        """Stop a submission. Raises RuntimeError when there is none."""
        self._client.stop_job(handle)

    def logs(self, handle: str) -> str:
        """What the submission has printed."""
        return self._client.get_job_logs(handle)

    def has_gpus(self) -> bool:
        """Whether a machine of the cluster has a graphics card."""
        nodes = self._get("/api/v0/nodes", limit=1000).json()["data"]["result"]["result"]
        return any(n["state"] == "ALIVE" and n["resources_total"].get("GPU", 0) >= 1 for n in nodes)

    def read(self, node_id: str, name: str) -> Iterator[bytes]:
        """The contents of a file in the outbox of a machine, in chunks."""
        parameters = dict(node_id=node_id, filename=f"{OUTBOX}/{name}", lines=-1, timeout=3600)
        with self._get("/api/v0/logs/file", **parameters) as answer:
            for chunk in answer.iter_content(1 << 20):
                self._heard()
                yield chunk

    def _get(self, path: str, **parameters: Any):
        """An answer of the dashboard."""
        import requests

        token = os.environ.get("RAY_AUTH_TOKEN", "")
        answer = requests.get(
            self._client.get_address() + path,
            params=parameters,
            headers={"Authorization": f"Bearer {token}"} if token else {},
            timeout=_TIMEOUTS,
            stream=True,
        )
        answer.raise_for_status()
        self._heard()
        return answer
