"""Layer ranges: which rows of w+ govern what (StyleGAN, Karras 2019, Sec. 3.1), and how people write them."""

import re

from studio.errors import StudioError

LAYER_RANGE_NAMES = ("coarse", "middle", "fine")


def layer_ranges(num_ws: int) -> dict[str, tuple[int, int]]:
    """The three half-open row ranges by name, for a network of `num_ws` rows.

    coarse: pose and outline (4-8 px), middle: features (16-32 px), fine: colour and texture (above).
    Rows of a small network are divided in the same proportion. With fewer than three rows each name stands for all of them, so that
    no range is empty.
    """
    if num_ws < len(LAYER_RANGE_NAMES):
        return dict.fromkeys(LAYER_RANGE_NAMES, (0, num_ws))
    a, b = (4, 8) if num_ws >= 10 else (max(1, num_ws * 2 // 5), max(2, num_ws * 4 // 5))
    return {"coarse": (0, a), "middle": (a, b), "fine": (b, num_ws)}


def parse_layers(text: str, num_ws: int) -> tuple[int, int]:
    """'coarse', 'middle', 'fine', 'all' or 'first-last' (counted from 0, last included) -> half-open range."""
    text = text.strip().lower()
    if text == "all":
        return 0, num_ws
    if text in LAYER_RANGE_NAMES:
        return layer_ranges(num_ws)[text]
    found = re.fullmatch(r"(\d+)(?:\s*-\s*(\d+))?", text)
    low, high = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
    if not low <= high < num_ws:
        raise StudioError(f"'{text}' is no range of layers.", f"Say coarse, middle, fine, all, or numbers like 0-{num_ws - 1}.")
    return low, high + 1
