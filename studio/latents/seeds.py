"""Lists of seeds as people write them."""

import re

from studio.errors import StudioError
from studio.latents.sampling import check_seed


def parse_seeds(text: str, most: int = 10_000) -> list[int]:
    """'7', '1,5,9' or '1-25, 40' -> seeds in that order. Raises StudioError for anything else, or more than `most`."""
    seeds: list[int] = []
    for part in str(text).replace(";", ",").split(","):
        found = re.fullmatch(r"\s*(\d{1,12})\s*(?:-\s*(\d{1,12})\s*)?", part)
        if not found:
            raise StudioError(f"'{str(text)[:60]}' is no list of seeds.", "Write numbers and ranges such as 1-9, 12, 40.")
        low, high = int(found[1]), int(found[2] or found[1])
        if low > high:
            raise StudioError(f"The range {low}-{high} runs backwards.", f"Write {high}-{low}.")
        if len(seeds) + high - low + 1 > most:
            raise StudioError(f"'{str(text)[:60]}' is more than {most} seeds.", f"Ask for at most {most}.")
        seeds += [check_seed(s) for s in range(low, high + 1)]
    return seeds
