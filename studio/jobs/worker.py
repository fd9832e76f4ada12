"""Worker: one training in a process of its own, `python -m studio.jobs.worker RUN_DIR`.

It trains by RUN_DIR/job.toml, obeys requests in RUN_DIR/control, and writes RUN_DIR/outcome.json when it ends by itself. It
needs no app: training continues when the app closes. A launcher may start it several times for one training, one process per
graphics card (environment RANK and WORLD_SIZE); they start and end together.
"""

import contextlib
import json
import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path

OUTCOME = "outcome.json"
_RESERVE = ".reserve"  # a file in the run folder that keeps room on the disk for the outcome


def main(argv: list[str]) -> int:
    """Train. argv: the run folder. Returns 0 when the training ended or was asked to end, 1 when it could not continue."""
    run_dir = Path(argv[0])
    first, several = os.environ.get("RANK", "0") == "0", os.environ.get("WORLD_SIZE", "1") != "1"
    if several:
        threading.Thread(target=_end_with, args=[os.getppid()], daemon=True).start()
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(message)s")
    signals: list[str] = []
    for name in ("SIGTERM", "SIGINT"):
        signal.signal(getattr(signal, name), lambda *_: signals.append("pause"))
    if hasattr(os, "nice"):
        os.nice(5)  # the app comes first on a shared processor

    # Imported late, so that a signal during the seconds this takes is handled.
    import torch

    from studio.common.files import atomic_write, is_disk_full
    from studio.errors import NoRoom, StudioError
    from studio.jobs.requests import CONTROL, JOB_PLAN
    from studio.jobs.throttle import Throttle
    from studio.settings import get_settings
    from studio.training.plan import Plan
    from studio.training.trainer import train

    throttle = Throttle(get_settings().home)
    control = run_dir / CONTROL

    def requested() -> str:
        throttle.wait()
        if signals:
            return signals[0]
        try:
            return control.read_text()
        except OSError:
            return ""

    result: dict[str, str] = {}
    reserve = run_dir / _RESERVE
    with contextlib.suppress(OSError):
        reserve.write_bytes(bytes(64 << 10))

    def show(event: dict) -> None:
        if event["type"] in ("start", "sample", "snapshot", "done"):
            print(json.dumps(event), flush=True)

    def end(outcome: str, message: str = "") -> None:
        result.update(outcome=outcome, message=message)

    def stop() -> str:
        request = requested()
        if request:
            result["wish"] = request
        return request

    try:
        device = (
            "cpu" if several and not torch.cuda.is_available() else None
        )  # accelerate lets processes on CPUs find each other only when asked for the CPU
        train(Plan.load(run_dir / JOB_PLAN), run_dir, on_event=show, should_stop=stop, clock=time.monotonic, device=device)
        end({"": "done", "finish": "done", "pause": "paused", "cancel": "cancelled"}.get(result.get("wish", ""), "paused"))
    except (torch.OutOfMemoryError, MemoryError) as e:
        logging.warning("out of memory: %s", e)
        end("memory")
    except NoRoom as e:
        end("room", str(e))
    except StudioError as e:
        logging.error("%s", e)
        end("failed", str(e))
    except Exception as e:
        logging.exception("the training failed")
        full = is_disk_full(e)
        # Losing another process is not a failure of this one: without an outcome it counts as a worker that died.
        gone = several and (isinstance(e, torch.distributed.DistError) or "gloo" in str(e))
        text = f"Something unexpected went wrong: {type(e).__name__}. The log of the training has the details."
        if full:
            end("room", "The disk is full. Free some space, then resume the training: it continues from its last state.")
        else:
            end("gone" if gone else "failed", text)

    well = result["outcome"] in ("done", "paused", "cancelled")
    try:
        # Of several processes the first one reports the outcome, and whichever failed first reports the failure: the others then only
        # notice that it is gone.
        if result["outcome"] != "gone" and (first or not well) and not (several and (run_dir / OUTCOME).exists()):
            reserve.unlink(missing_ok=True)  # on a full disk there is room for the outcome then
            atomic_write(run_dir / OUTCOME, json.dumps(result).encode())
    except OSError:
        logging.exception("the outcome cannot be written")  # the supervisor then reads the log
    print(json.dumps(result), flush=True)
    if several and not well:
        os._exit(1)  # a regular exit would wait for the other processes, which wait for this one
    return 0 if well else 1


def _end_with(parent: int) -> None:
    """Exit when the launcher of several processes has died: nothing else would end processes that wait for each other."""
    while os.getppid() == parent:
        time.sleep(0.25)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
