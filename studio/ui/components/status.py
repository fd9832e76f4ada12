"""The status line at the bottom of the page."""

from studio.engine.engine import Engine
from studio.ui.components.notes import note


def status_html(engine: Engine) -> str:
    """Model, device, and how long the last picture took."""
    return note(status_words(engine))


def status_words(engine: Engine) -> str:
    """The words of the line, HTML."""
    now = engine.status()
    parts = [f"model <b>{now['model'] or 'none'}</b>", f"device <b>{now['device']}</b> ({now['precision']})"]
    if now["last_ms"]:
        parts.append(f"<b>{now['last_ms']:.0f} ms</b> per picture")
    if now["steps_all"] and now["steps_run"] < now["steps_all"]:
        parts.append(f"{now['steps_run']} of {now['steps_all']} layers computed")
    return " · ".join(parts)
