"""The worker: one training in a process of its own, `python -m studio.jobs.worker RUN_DIR`.

It follows RUN_DIR/job.toml, does what RUN_DIR/control asks, and leaves RUN_DIR/outcome.json when it ends by itself. It
needs no app: when that closes, the training goes on.
"""

import json
import logging
import os
import signal
import sys
import time
from pathlib import Path

OUTCOME = "outcome.json"


def main(argv: list[str]) -> int:
    """argv: the run folder. Returns 0 when the training ended or was asked to end, 1 when it failed."""
    run_dir = Path(argv[0])
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(message)s")
    asked = []
    for name in ("SIGTERM", "SIGINT"):
        signal.signal(getattr(signal, name), lambda *_: asked.append("pause"))
    if hasattr(os, "nice"):
        os.nice(5)  # the page comes first on a shared processor

    # Late, so that a wish during the seconds of importing is heard.
    import torch

    from studio.errors import NoRoom, StudioError
    from studio.jobs.courtesy import Courtesy
    from studio.jobs.orders import CONTROL, JOB_PLAN
    from studio.settings import get_settings
    from studio.training.plan import Plan
    from studio.training.trainer import train

    courtesy = Courtesy(get_settings().home)
    control = run_dir / CONTROL

    def wish() -> str:
        courtesy.wait()
        if asked:
            return asked[0]
        try:
            return control.read_text()
        except OSError:
            return ""

    told: dict = {}

    def show(event: dict) -> None:
        if event["type"] in ("start", "sample", "snapshot", "done"):
            print(json.dumps(event), flush=True)

    def end(outcome: str, message: str = "") -> None:
        told.update(outcome=outcome, message=message)

    def stop() -> str:
        answer = wish()
        if answer:
            told["wish"] = answer
        return answer

    try:
        train(Plan.load(run_dir / JOB_PLAN), run_dir, on_event=show, should_stop=stop, clock=time.monotonic)
        asked_for = told.get("wish", "")
        end({"": "done", "finish": "done", "pause": "paused", "cancel": "cancelled"}.get(asked_for, "paused"))
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
        end("failed", f"Something went wrong that should not: {type(e).__name__}. The log of the training has the details.")
    from studio.settings import atomic_write

    try:
        atomic_write(run_dir / OUTCOME, json.dumps(told).encode())
    except OSError:
        logging.exception("the outcome cannot be written")  # whoever looks after it then reads the log
    print(json.dumps(told), flush=True)
    return 0 if told["outcome"] not in ("failed",) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
