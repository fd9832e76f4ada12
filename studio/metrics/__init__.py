"""Metrics of generated and upscaled pictures. Importing this package registers every metric: each file of the folder is looked at."""

import importlib
import pkgutil

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
