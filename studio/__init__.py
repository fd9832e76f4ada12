"""GAN Studio: explore, mix and train generative models of pictures.

>>> import studio
>>> model = studio.load("lpc-characters")            # a name, a model folder, or a foreign checkpoint
>>> image = studio.Engine().render(studio.Recipe(model="lpc-characters"))   # uint8, (H, W, 3)
"""

import importlib

__version__ = "0.1.0"

# Names are imported on first use, so that `studio --help` doesn't wait for torch.
_HOMES = {
    "Engine": "studio.engine.engine",
    "Recipe": "studio.engine.recipe",
    "Area": "studio.engine.area",
    "Bend": "studio.engine.bend",
    "Canvas": "studio.engine.canvas",
    "ColourGrade": "studio.engine.colour_grade",
    "Motion": "studio.motion.motion",
    "StudioError": "studio.errors",
    "Plan": "studio.training.plan",
    "PlanChoices": "studio.training.plan_builder",
    "build_plan": "studio.training.plan_builder",
    "train": "studio.training.trainer",
    "load": "studio.inference.model",
    "dataset": "studio.datasets.training_pictures",
    "pairs": "studio.datasets.training_pictures",
    "keep_snapshot": "studio.models.manage",
}

__all__ = list(_HOMES)  # pyright: ignore[reportUnsupportedDunderAll] - the names are imported on first use


def __getattr__(name: str):
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'studio' has no attribute {name!r}")
