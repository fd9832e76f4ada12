"""Opening of a plan's image sets: as squares of its resolution, or at full size."""

from studio.datasets.full_size import FullSizeImages
from studio.datasets.image_set import ImageSet
from studio.imaging.colour import parse_colour
from studio.settings import get_settings
from studio.training.plan import Plan


def open_squares(plan: Plan, path: str) -> ImageSet:
    """The pictures in `path` as squares of the plan's load size, or of its resolution. Raises StudioError as `ImageSet.open`."""
    side = plan.data.load_size or plan.data.resolution
    return ImageSet.open(path, side, get_settings().cache, ground=parse_colour(plan.data.ground), crop=plan.data.crop)


def open_full_size(plan: Plan, path: str) -> FullSizeImages:
    """The pictures in `path` at their full size. Raises StudioError as `FullSizeImages.open`."""
    return FullSizeImages.open(path, get_settings().cache, ground=parse_colour(plan.data.ground))
