"""Make sure there is a Chromium for the browser tests: one that is here, Debian's as root, else Playwright's own."""

import os
import shutil
import subprocess
import sys

# The shell is the same browser without windows of its own, which take much of the time of a page that is not looked at.
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def find() -> str | None:
    """Path of a Chromium, or None."""
    asked = os.environ.get("STUDIO_CHROMIUM")
    if asked:
        return asked
    for name in NAMES:
        path = shutil.which(name)
        if path:
            return path
    try:
        from playwright.sync_api import sync_playwright

        with sync_playwright() as p:
            path = p.chromium.executable_path
    except Exception:  # Playwright may be absent or unable to start; then there is none of its own either
        return None
    return path if os.path.exists(path) else None


def main() -> int:
    if find():
        return 0
    print("Getting Chromium for the browser tests ...", flush=True)
    if os.name == "posix" and os.geteuid() == 0 and shutil.which("apt-get"):
        quiet = {"stdout": subprocess.DEVNULL, "env": {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}}
        subprocess.run(["apt-get", "update", "-qq"], check=False, **quiet)
        for package in ("chromium-headless-shell", "chromium"):
            if not find():
                subprocess.run(["apt-get", "install", "-y", "-qq", package], check=False, **quiet)
    if not find():
        subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], check=False)
    if not find():
        print("No Chromium could be installed; install one, or set STUDIO_CHROMIUM to its path.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
