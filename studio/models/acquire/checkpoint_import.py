"""Import of a foreign checkpoint into the library, as a model folder."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from studio.errors import StudioError
from studio.models.acquire.first_picture import first_picture
from studio.models.folder import ModelInfo, safe_name, save_folder
from studio.models.importers import Statistics, import_file
from studio.models.library import Library
from studio.models.network_builder import load_network
from studio.networks.generative.latent_generator import LatentGenerator


def import_checkpoint(
    library: Library,
    path: str | Path,
    name: str | None = None,
    *,
    licence: str = "",
    notes: Sequence[str] = (),
    extra: Mapping[str, Any] | None = None,
    statistics: Statistics = "picture",
) -> ModelInfo:
    """Import a foreign checkpoint into the library's first folder, with a thumbnail and a card.

    The weights keep the precision of the file, so that pictures equal those of the original.  name: of the model, or the next
    free one if it is taken, and its title; None = both are made from the file.  licence: of the model, '' = unknown.
    notes: more sentences for the card.  extra: more facts for its config.json.  statistics: see `import_file`.
    Raises StudioError when the file cannot be read or the name is not allowed.
    """
    path = Path(path).expanduser()
    check_model_name(name)
    found = import_file(path, statistics)
    network = load_network(found.family, found.config, found.state_dict, path.name)
    generates = isinstance(network, LatentGenerator)
    c_dim = network.c_dim if generates else 0
    card = f"Imported from `{path.name}` ({found.source}). Its licence is that of the original.\n\n" + "\n".join((*found.notes, *notes))
    return save_folder(
        library.roots[0] / library.free_name(name or safe_name(found.title)),
        found.family,
        found.config,
        found.state_dict,
        title=name or found.title,
        classes=found.classes if len(found.classes) == c_dim else tuple(str(i) for i in range(c_dim)),
        licence=licence,
        card=card,
        thumbnail=first_picture(network),
        discriminator=found.discriminator_state,
        dtype=found.dtype,
        extra={"imported_from": path.name, **(extra or {})},
    )


def check_model_name(name: str | None) -> None:
    """Raises StudioError when a model cannot have this name (in lower case)."""
    if name is not None and safe_name(name) != name.lower():
        raise StudioError(f"'{name:.100}' cannot be the name of a model.", "Use letters, digits, '.', '_' and '-'.")
