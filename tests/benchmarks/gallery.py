"""How fast the gallery is with many pictures: `python -m tests.benchmarks.gallery [--pictures 10000] [--no-browser]`.

Makes that many small files with recipes inside, half PNG, half WebP, in a temporary home, and prints what an artist waits for: the
first refresh and the next one, a page, a search, the small views of a page, and the tab's first paint in a real browser.
"""

import argparse
import os
import random
import tempfile
import time
from pathlib import Path

import numpy as np

from studio.engine.recipe import Recipe, SeedWeight
from studio.gallery.gallery import Gallery
from studio.gallery.items import Query
from studio.provenance.metadata import encode

PAGE = 60


def fill(home: Path, count: int) -> None:
    """Real files of 64 px, written without forcing each to disk."""
    rng, now = np.random.default_rng(0), time.time()
    picture = rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)
    for folder in ("explore", "classes"):
        (home / "outputs" / folder).mkdir(parents=True)
    for i in range(count):
        kind = "webp" if i % 2 else "png"
        recipe = Recipe(model=f"model-{i % 7}", seeds=(SeedWeight(i),), psi=0.7)
        picture[:16, :16] = rng.integers(0, 255, 3)
        path = home / "outputs" / ("explore", "classes")[i % 3 == 0] / f"{i:06d}-seed{i}.{kind}"
        path.write_bytes(encode(picture, recipe, kind))
        os.utime(path, (now - i, now - i))


def timed(what: str, act, times: int = 1) -> None:
    """Print the quickest of several: what else the machine does only ever adds."""
    best = float("inf")
    for _ in range(times):
        began = time.perf_counter()
        act()
        best = min(best, time.perf_counter() - began)
    print(f"{what:42} {best * 1000:10,.1f} ms", flush=True)


def paint(home: Path) -> None:
    """From the press on the tab to the first pictures of the page."""
    from playwright.sync_api import sync_playwright

    from studio.ui.app import launch
    from tests.browser.conftest import FLAGS
    from tests.conftest import save_tiny
    from tests.get_chromium import find

    save_tiny(home / "models")
    os.environ["STUDIO_HOME"] = str(home)
    app, url, engine, supervisor = launch(inbrowser=False, device="cpu", block=False)
    try:
        with sync_playwright() as p:
            browser = p.chromium.launch(executable_path=find(), args=FLAGS)
            for what in ("the tab's first paint", "the same for the next visitor"):
                page = browser.new_page()
                page.goto(url)
                page.wait_for_selector("#explore-stage img")
                page.wait_for_load_state("networkidle")

                def press(page=page):
                    page.get_by_role("tab", name="Gallery").click()
                    page.wait_for_function("[...document.querySelectorAll('#gallery-grid img')].some((i) => i.complete && i.naturalWidth)")

                timed(what, press)
                page.close()
            browser.close()
    finally:
        app.close()
        engine.close()
        supervisor.close()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=10_000)
    parser.add_argument("--no-browser", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        fill(home, args.pictures)
        gallery = Gallery.at(home)
        print(f"{args.pictures:,} pictures")
        timed("first refresh (every recipe is read)", gallery.refresh)
        timed("refresh when nothing has changed", gallery.refresh, 3)
        timed(f"a page of {PAGE}", lambda: gallery.page(Query(), 0, PAGE), 5)
        timed("the last page", lambda: gallery.page(Query(), args.pictures - PAGE, PAGE), 5)
        seed = random.Random(0).randrange(args.pictures)
        timed("a search for a seed", lambda: gallery.page(Query(text=f"seed {seed}"), 0, PAGE), 5)
        timed("a search that finds a seventh, counted", lambda: gallery.count(Query(text="model-3")), 5)
        timed("what there is to filter by", gallery.choices, 5)
        items = gallery.page(Query(), 0, PAGE)
        timed(f"small views of a page of {PAGE}, made", lambda: [gallery.thumbnail(i) for i in items])
        timed("the same, kept", lambda: [gallery.thumbnail(i) for i in items], 3)
        gallery.close()
        if not args.no_browser:
            paint(home)


if __name__ == "__main__":
    main()
