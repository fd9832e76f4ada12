"""Words for choosing a kind of model: the list in step 2 of Train, and the table "Which one should I use?"."""

import html
from pathlib import Path

from studio.training.methods import METHODS, Method
from studio.ui.components.pictures import file_url

FRONT = ("stylegan2", "projected", "stylegan", "biggan", "dcgan")  # the others are for the curious
_PICTURES = Path(__file__).resolve().parents[2] / "assets" / "families"  # of the repository; a wheel has none

# name -> (when to pick it, what it costs)
_ADVICE = {
    "stylegan2": (
        "You have thousands of pictures and want the finest, with smooth walks and style mixing.",
        "Patience: hours on a graphics card, a night on a processor.",
    ),
    "projected": ("You have a few dozen to a few thousand pictures.", "Each step takes longer, but good pictures come sooner."),
    "stylegan": (
        "You like a softer, painterly look, or want to watch pictures grow from small to large.",
        "Like StyleGAN2, and the fine parts come last.",
    ),
    "biggan": (
        "Your pictures are in classes that differ a lot.",
        "The hungriest for memory and for pictures; may break down when trained too long: keep a good moment.",
    ),
    "dcgan": ("A first try, or little pictures up to 64 px on a slow machine.", "Little time; rough pictures, and no style mixing."),
    "hinge": ("A plain DCGAN swings back and forth.", "A little more work a step than DCGAN."),
    "lsgan": ("A DCGAN stops learning early.", "As little as DCGAN."),
    "wgan-gp": (
        "You want steady learning and, of the small ones, the most variety; and a curve that tells how it goes.",
        "A little more than DCGAN.",
    ),
    "wgan": ("To compare with WGAN-GP.", "Slow to learn."),
    "cgan": ("Small pictures in clear classes, quickly.", "As little as DCGAN; the pictures must be in sub-folders."),
    "gan": ("To see where it all began.", "Next to nothing, and you get noise."),
    "cyclegan": (
        "Two heaps that need not match, and both ways: summer to winter, and winter to summer.",
        "The most work a picture of all that turn pictures into others.",
    ),
    "cut": ("Two heaps that need not match, and one way is enough.", "Half of CycleGAN's work."),
    "pix2pix": ("Pairs of the same name: before and after.", "Quick; the pairs must lie exactly over each other."),
    "colourise": ("Your own coloured pictures, to colour others as you would.", "Quick; no second set is needed."),
    "lineart": ("Your own finished pictures, to fill drawings of lines as you would.", "Quick; no second set is needed."),
    "faithful": ("Your art larger, and nothing made up.", "Minutes to an hour on one core; a factor of 2 takes longer than 4."),
    "sharp": ("Your art larger with crisp lines and textures, as for prints.", "Some times the work of Faithful; details may be wrong."),
    "mend": (
        "Scans, old files and pictures from the web, enlarged and mended at once.",
        "A little more than Sharp; asked of clean pictures, it smooths.",
    ),
}


def kind_choices(goal: str, everything: bool, suits: str | None = None) -> list[tuple[str, str]]:
    """(label, name of the kind) for a Radio, title and sentence in a line each.

    goal: what they are for.  everything: also the seldom needed ones.  suits: name of the kind that suits the pictures, which is marked.
    """
    shown = [k for k in METHODS if k.goal == goal and (everything or k.name in FRONT or k.name == suits or not k.generates)]
    return [(f"{k.title}\n{'Suits your pictures. ' if k.name == suits else ''}{_sentence(k)}", k.name) for k in shown]


def _sentence(kind: Method) -> str:
    return kind.sentence[0].upper() + kind.sentence[1:]


def advice_html() -> str:
    """The table of all kinds. A kind whose picture lies in assets/families/<name>.webp shows it."""
    rows = []
    for kind in METHODS:
        when, costs = _ADVICE.get(kind.name, (_sentence(kind), ""))
        path = _PICTURES / f"{kind.name}.webp"
        picture = f'<img src="{file_url(path)}" alt="What a {html.escape(kind.title)} drew" loading="lazy">' if path.is_file() else ""
        cost = f'<span class="gs-cost">It costs: </span>{html.escape(costs)}' if costs else ""
        rows.append(f'<tr><th scope="row">{html.escape(kind.title)}{picture}</th><td>{html.escape(when)}</td><td>{cost}</td></tr>')
    head = '<thead><tr><th scope="col">Kind</th><th scope="col">Pick it when</th><th scope="col">What it costs</th></tr></thead>'
    return f'<table class="gs-advice">{head}<tbody>{"".join(rows)}</tbody></table>'
