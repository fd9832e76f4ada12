"""The live channel in a real Chromium, beside the engine alone: `python -m tests.benchmarks.live [MODEL ...] [--seconds 10]`.

A handle is dragged by the page's own script at each frame of the screen, as fast as a hand could. The table tells pictures a second and
the time from a move to the painted pixels, in milliseconds.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from playwright.sync_api import sync_playwright

from studio.engine.engine import Engine
from studio.engine.parameters import TABLE
from studio.engine.recipe import Recipe
from studio.ui.app import launch
from tests.browser.conftest import FLAGS
from tests.get_chromium import find

_DRAG = """(seconds) => new Promise((done) => {
  const began = performance.now(), frames = ganStudio.frames, latencies = [];
  let seen = frames, step = 0;
  const input = document.querySelector("#psi input[type=range]");
  const set = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value").set;
  const tick = () => {
    if (ganStudio.frames !== seen) { seen = ganStudio.frames; latencies.push(ganStudio.latencyMs); }
    if (performance.now() - began > seconds * 1000)
      return done({ pictures: (ganStudio.frames - frames) / (performance.now() - began) * 1000, latencies });
    set.call(input, (0.7 + 0.5 * Math.sin(++step / 10)).toFixed(2));
    input.dispatchEvent(new Event("input", { bubbles: true }));
    requestAnimationFrame(tick);
  };
  tick();
})"""


def engine_alone(engine: Engine, model: str, seconds: float) -> float:
    """Pictures a second of the engine, asked one after the other as the channel does."""
    recipe, made = Recipe(model=model), 0
    engine.submit("alone", recipe).result()
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        recipe = TABLE["psi"].set(recipe, 0.7 + 0.5 * float(np.sin(made / 10)))
        engine.submit("alone", recipe).result()
        made += 1
    return made / (time.perf_counter() - began)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=["lpc-characters"], help="ids of models (default: the one that comes along)")
    parser.add_argument("--seconds", type=float, default=10.0, help="of dragging for each model")
    args = parser.parse_args()
    path = find()
    if path is None:
        raise SystemExit("There is no Chromium.")
    app, url, engine, supervisor = launch(inbrowser=False, device="cpu", block=False)
    try:
        with sync_playwright() as p, tempfile.TemporaryDirectory(prefix="studio-live-") as profile:
            context = p.chromium.launch_persistent_context(Path(profile), executable_path=path, args=FLAGS, headless=True)
            print("| Model | Engine alone, pictures/s | Live, pictures/s | Share | Move to pixels: median ms | 95 % ms | Engine ms |")
            print("|---|---|---|---|---|---|---|")
            for model in args.models:
                alone = engine_alone(engine, model, args.seconds)
                page = context.new_page()
                page.goto(f"{url}?recipe={Recipe(model=model).to_link()}")
                page.wait_for_selector("#explore-stage img", timeout=120_000)
                page.wait_for_selector("body[data-live=live]", timeout=120_000)
                page.evaluate(_DRAG, args.seconds / 4)
                found = page.evaluate(_DRAG, args.seconds)
                page.close()
                latencies = found["latencies"] or [float("nan")]
                median, late = np.percentile(latencies, 50), np.percentile(latencies, 95)
                live = found["pictures"]
                print(f"| {model} | {alone:.1f} | {live:.1f} | {live / alone:.2f} | {median:.0f} | {late:.0f} | {1000 / alone:.0f} |")
            context.close()
    finally:
        app.close()
        engine.close()
        supervisor.close()


if __name__ == "__main__":
    main()
