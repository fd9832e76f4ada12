"""Several people who drag at once: `python -m tests.benchmarks.live_visitors [--visitors 8] [--seconds 10] [--model lpc-characters]`.

Each has a live channel of their own on one studio and drags the truncation without a pause. Prints the pictures a second that one alone
gets and that each of several gets, and how the memory of the process grows from the middle of the movement to its end.
"""

import argparse
import itertools
import json
import threading
import time

import numpy as np
import psutil
from websockets.sync.client import connect

from studio.engine.recipe import Recipe
from studio.ui.app import launch
from studio.ui.live.endpoint import LiveEndpoint
from studio.ui.session import Session


class Hand(threading.Thread):
    """A hand that drags until `end`.  pictures: that came.  longest: seconds that one of them took."""

    def __init__(self, url: str, live: LiveEndpoint, model: str, end: float):
        super().__init__(daemon=True)
        self.session, self.end, self.pictures, self.longest = Session(recipe=Recipe(model=model)), end, 0, 0.0
        self.address = f"{url.rstrip('/').replace('http', 'ws', 1)}/live?token={live.invite(self.session)}"

    def run(self) -> None:
        with connect(self.address, max_size=None, open_timeout=60) as socket:
            for n in itertools.count(1):
                began = time.monotonic()
                if began >= self.end:
                    return
                psi = round(0.7 + 0.5 * float(np.sin(n / 10)), 4)
                socket.send(json.dumps({"n": n, "control": "psi", "values": [psi]}))
                data = socket.recv(60)
                assert isinstance(data, bytes)
                header = json.loads(data[4 : 4 + int.from_bytes(data[:4], "little")])
                socket.send(json.dumps({"ack": header["frame"]}))
                self.pictures += 1
                self.longest = max(self.longest, time.monotonic() - began)


def drag(url: str, live: LiveEndpoint, model: str, hands: int, seconds: float) -> tuple[np.ndarray, float, float]:
    """So many hands at once -> (pictures a second of each, the longest wait in seconds, MB that the process grew in the second half)."""
    found = [Hand(url, live, model, time.monotonic() + seconds) for _ in range(hands)]
    process = psutil.Process()
    for hand in found:
        hand.start()
    found[0].join(seconds / 2)
    middle = process.memory_info().rss
    for hand in found:
        hand.join()
    return np.array([h.pictures / seconds for h in found]), max(h.longest for h in found), (process.memory_info().rss - middle) / 1e6


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--visitors", type=int, default=8, help="people who drag at once (default: 8)")
    parser.add_argument("--seconds", type=float, default=10.0, help="of dragging, each time (default: 10)")
    parser.add_argument("--model", default="lpc-characters", help="of the pictures (default: lpc-characters)")
    args = parser.parse_args()
    app, url, engine, supervisor = launch(inbrowser=False, device="cpu", block=False)
    try:
        drag(url, app.live, args.model, 1, min(2.0, args.seconds))
        print(f"{'dragging':<12}{'pictures/s, the slowest':>25}{'the fastest':>13}{'longest wait ms':>17}{'memory, MB':>12}")
        alone = 0.0
        for hands in (1, args.visitors):
            rates, longest, grown = drag(url, app.live, args.model, hands, args.seconds)
            alone = alone or float(rates[0])
            print(f"{hands:<12}{rates.min():>25.1f}{rates.max():>13.1f}{longest * 1000:>17.0f}{grown:>+12.1f}", flush=True)
        print(f"each gets at least {rates.min() / alone:.3f} of what one alone does (the aim: {0.1 * 8 / args.visitors:.2f})")
    finally:
        app.close()
        engine.close()
        supervisor.close()


if __name__ == "__main__":
    main()
