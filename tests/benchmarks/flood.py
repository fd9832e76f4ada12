"""How long a visitor waits while another one floods the studio: `python -m tests.benchmarks.flood [--renders 60] [--waiting 64]`.

Opens a studio for strangers in a process of its own. One visitor asks for pictures through the API, one after the other: first alone,
then while another visitor has as many waiting as the studio takes of 64, and sends a new one for each that is done. Prints what the
first one waits for a picture (median and 95th percentile) and for a light event, and how many times as long as in a quiet studio.
"""

import argparse
import itertools
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator

import httpx
import numpy as np

from studio.engine.recipe import Recipe, SeedWeight
from studio.ui.access.middleware import COOKIE
from studio.ui.access.visitors import Visitors

_seeds = itertools.count()  # no picture is asked for twice: it would come from a cache


class Visitor:
    """A browser with a cookie of its own.  model: of its pictures."""

    def __init__(self, url: str, model: str):
        self.web = httpx.Client(base_url=url, cookies={COOKIE: Visitors.new_cookie()}, timeout=600)
        self.model = model

    def ask(self) -> str | None:
        """Ask for a picture -> id of the event; None when the studio takes no more of this visitor."""
        recipe = Recipe(model=self.model, seeds=(SeedWeight(next(_seeds)),))
        answer = self.web.post("/gradio_api/call/render", json={"data": [recipe.to_dict()]})
        return answer.json()["event_id"] if answer.is_success else None

    def receive(self, event: str) -> bool:
        """Wait for the picture of an event. Returns whether it came."""
        return "event: complete" in self.web.get(f"/gradio_api/call/render/{event}").text

    def render(self) -> None:
        """Ask for a picture, and wait for it. Raises RuntimeError when it does not come."""
        event = self.ask()
        if event is None or not self.receive(event):
            raise RuntimeError("the picture did not come")

    def look(self) -> None:
        """Read a page without pictures."""
        self.web.get("/gradio_api/info").raise_for_status()


class Flood:
    """A visitor with as many pictures waiting as the studio takes, until the context ends.  taken: at first.  done: since then."""

    def __init__(self, visitor: Visitor, waiting: int):
        self.visitor, self.waiting, self.taken, self.done = visitor, waiting, 0, 0
        self._over, self._lock, self._places = threading.Event(), threading.Lock(), threading.Semaphore(0)
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> "Flood":
        events = [self.visitor.ask() for _ in range(self.waiting)]
        taken = [event for event in events if event is not None]
        self.taken = len(taken)
        self._threads = [threading.Thread(target=self._go_on, args=(event,), daemon=True) for event in taken]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc) -> None:
        self._over.set()
        for _ in self._threads:
            self._places.release()
        for thread in self._threads:
            thread.join()

    def _go_on(self, event: str | None) -> None:
        while True:
            if event is not None:
                came = self.visitor.receive(event)
                with self._lock:
                    self.done += came
                self._places.release()
            self._places.acquire()
            if self._over.is_set():
                return
            event = self.visitor.ask()  # None: more were taken while some were done than may wait


def studio(home: str, model: str) -> tuple[subprocess.Popen, str]:
    """A studio for strangers in a process of its own -> (process, URL)."""
    words = ["--no-browser", "--device", "cpu", "--visitors", "--tabs", "explore", "--models", model]
    environment = {**os.environ, "STUDIO_HOME": home, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen([sys.executable, "-m", "studio", *words], env=environment, stdout=subprocess.PIPE, text=True)
    for line in process.stdout or ():
        if found := re.search(r"is open at (http://\S+)", line):
            return process, found[1].rstrip("/")
    raise RuntimeError("the studio did not open")


def times(act, count: int) -> np.ndarray:
    """Milliseconds of each of several."""

    def each() -> Iterator[float]:
        for _ in range(count):
            began = time.perf_counter()
            act()
            yield (time.perf_counter() - began) * 1000

    return np.array(list(each()))


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--renders", type=int, default=60, help="pictures that the second visitor asks for, each time (default: 60)")
    parser.add_argument("--waiting", type=int, default=64, help="pictures that the flood asks for at once (default: 64)")
    parser.add_argument("--model", default="lpc-characters", help="of the pictures (default: lpc-characters)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        process, url = studio(home, args.model)
        try:
            visitor = Visitor(url, args.model)
            times(visitor.render, 5)
            quiet = {"a picture": times(visitor.render, args.renders), "a light event": times(visitor.look, args.renders)}
            with Flood(Visitor(url, args.model), args.waiting) as flood:
                flooded = {"a picture": times(visitor.render, args.renders), "a light event": times(visitor.look, args.renders)}
        finally:
            process.terminate()
            process.wait(timeout=60)
    print(f"of {args.waiting} pictures that the flood asked for at once {flood.taken} were taken; it got {flood.done} meanwhile\n")
    print(f"{'what the other visitor waits for':<34}{'median ms':>10}{'p95 ms':>10}")
    for what in quiet:
        for state, found in (("quiet", quiet[what]), ("flooded", flooded[what])):
            print(f"{what + ', ' + state:<34}{np.median(found):>10.1f}{np.percentile(found, 95):>10.1f}")
        ratio = np.percentile(flooded[what], 95) / np.percentile(quiet[what], 95)
        aim = " (the aim: less than 2)" if what == "a picture" else ""
        print(f"{'':<34}p95 is {ratio:.2f} times as long{aim}", flush=True)


if __name__ == "__main__":
    main()
