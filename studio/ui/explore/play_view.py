"""HTML of the panel Play, which its script (static/play.js) fills, and the parameters that it may move."""

import html
import json
from collections.abc import Iterable

from studio.engine.parameters import Parameter

_SLIDERS = "".join(
    f"<label><span>Slider {i + 1}</span>"
    f'<input type="range" name="slider" data-index="{i}" data-part="slider{i}" min="0" max="1" step="0.01"></label>'
    for i in range(4)
)
PANEL = f"""
<div class="gs-play">
<div class="bar">
<button type="button" name="play" data-part="play" aria-pressed="false">Play</button>
<button type="button" name="add">Add a route</button>
<label><span>Tempo (beats a minute)</span><input type="number" name="bpm" data-part="bpm" min="20" max="300" step="1"></label>
<button type="button" name="tap">Tap the tempo</button>
</div>
<div class="warning" role="alert" data-part="warning" hidden>This flashes faster than three times a second, which can harm people with
photosensitive epilepsy. Take more beats, or a softer shape.</div>
<div class="words" role="status" data-part="words"></div>
<div data-part="routes"></div>
<div class="hand">
<div class="sliders">{_SLIDERS}</div>
<div class="pad" data-part="pad" tabindex="0" role="application" aria-label="Pad: arrow keys move the dot"><i data-part="dot"></i></div>
</div>
<div class="bar">
<button type="button" name="microphone">Listen to the microphone</button>
<button type="button" name="tab">Listen to another tab</button>
<label class="file">Listen to a sound file<input type="file" name="sound" accept="audio/*"></label>
<button type="button" name="silence">Stop listening</button>
</div>
<div class="bar"><label><span><input type="checkbox" data-part="notes"> MIDI notes open pins</span></label></div>
<div class="bar"><span>Presets on keys:</span><span class="bar" data-part="slots"></span>
<button type="button" name="store" data-part="store" aria-pressed="false">Keep</button>
<label><span>Crossfade, s</span><input type="number" name="fade" data-part="fade" min="0" max="60" step="0.5"></label>
<button type="button" name="save">Save as a file</button>
<label class="file">Open a file<input type="file" name="open" accept=".json"></label>
</div>
</div>
"""


def parameters_html(found: Iterable[Parameter], walk: bool) -> str:
    """The parameters where the script finds them.  walk: whether there are pins to walk along."""
    rows = [
        {"address": p.address, "label": p.label, "low": p.low, "high": p.high, "step": p.step, "type": p.type}
        for p in found
        if p.type != "choice"
    ]
    if walk:
        rows.append({"address": "walk", "label": "Walk along the pins", "low": 0, "high": 1, "step": 0.01, "type": "number"})
    return f'<i data-parameters="{html.escape(json.dumps(rows), quote=True)}"></i>'
