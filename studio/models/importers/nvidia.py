"""Importer of NVIDIA's network pickles: StyleGAN2 as stylegan2-ada-pytorch and stylegan3 write it, and StyleGAN3.

pickle_reader reads the file without running it, nvidia_network turns its objects into tensors by the names of torch's
state_dict. The config comes from the shapes of the tensors, which cannot lie, and is checked against what the file says
about itself (nvidia_stylegan2, nvidia_stylegan3). An option that our network lacks ends the import: the pictures would be
wrong.
"""

import dataclasses
import re
from pathlib import Path
from typing import Any

from studio.common.text import some_of
from studio.errors import StudioError
from studio.models.importers import fastgan, nvidia_stylegan2, nvidia_stylegan3, r3gan, strangers
from studio.models.importers.imported import ImportedModel, UnsupportedCheckpoint, excerpt
from studio.models.importers.nvidia_network import PickledNetwork, check_options, expected_tensors, lr_multiplier_of, options_of
from studio.models.importers.pickle_machine import DamagedPickle
from studio.models.importers.pickle_reader import PersistentObject, read_pickle
from studio.networks import get_family
from studio.networks.generative.stylegan2 import Discriminator

_HINT = "Only StyleGAN2 and StyleGAN3 network pickles by NVIDIA's PyTorch code are read."
_AGAIN = "Download it again and compare its size."


def looks_like_pickle(head: bytes) -> bool:
    """Whether a file that begins like this is a pickle that `read` can read or at least name."""
    if len(head) > 1 and head[0] == 0x80:
        return True
    return re.match(rb"c[\w.]+\n[\w.]+\n(p\d+\n|[q()])", head) is not None  # protocols 0 and 1 can begin with a name


def read(path: str | Path) -> ImportedModel:
    """A StyleGAN2 or StyleGAN3 network pickle -> config and tensors of its G_ema (or G, when there is no average of it).

    Raises StudioError that names what was found if it is anything else.
    """
    path = Path(path)
    try:
        return _import(path)
    except UnsupportedCheckpoint as e:
        raise StudioError(f"{path.name} was not imported: it holds {e}.", e.hint or _HINT) from None
    except DamagedPickle:
        raise StudioError(f"{path.name} is damaged or cut short.", _AGAIN) from None
    except OSError as e:
        raise StudioError(f"{path.name} cannot be read: {e.strerror or e}.", _AGAIN) from None
    except MemoryError:
        raise StudioError(f"{path.name} does not fit into memory.", "Close other programs and try again.") from None


def _import(path: Path) -> ImportedModel:
    size = path.stat().st_size
    content = read_pickle(path)
    if isinstance(content, PersistentObject):
        content = {"G_ema": content}
    if not isinstance(content, dict):
        raise UnsupportedCheckpoint(f"a single {type(content).__name__}, not networks")
    key = "G_ema" if content.get("G_ema") is not None else "G"
    if not isinstance(content.get(key), PersistentObject):
        found = some_of([f"'{excerpt(str(k), 30)}'" for k in content], 8) or "nothing"
        raise UnsupportedCheckpoint(f"no generator, but {found}")
    notes = ["It has no averaged generator (G_ema); the last state (G) was taken."] if key == "G" else []

    generator = PickledNetwork(content[key])
    if stranger := strangers.of_modules({name: module.class_name for name, module in generator.modules.items()}):
        raise UnsupportedCheckpoint(stranger.what.removeprefix("holds "), stranger.advice)
    for importer in (r3gan, fastgan):  # whose code bases grew out of NVIDIA's and write such files too
        if importer.recognises(generator.tensors):
            found = importer.read(path, generator.build(size))
            if isinstance(content.get("D"), PersistentObject):
                notes.append(f"Its discriminator was left out: {get_family(found.family).title} cannot be trained here.")
            source = f"{found.source.replace('weights', 'network pickle')}, {key}"
            return dataclasses.replace(found, source=source, notes=(*notes, *found.notes, *_training_data(content)))
    # StyleGAN3's synthesis begins with Fourier features (a module 'input') where StyleGAN2 has a constant.
    family = "stylegan3" if "synthesis.input" in generator.modules else "stylegan2"
    config: Any
    if family == "stylegan3":
        check_options(generator, nvidia_stylegan3.CLASSES, nvidia_stylegan3.OPTIONS)
        config = nvidia_stylegan3.generator_config(generator, lr_multiplier_of(generator), options_of(generator, "", "synthesis"))
        state = generator.load(expected_tensors(get_family(family).generator, config), size)
    else:
        config = nvidia_stylegan2.generator_config(generator)
        state = nvidia_stylegan2.load_tensors(generator, get_family(family).generator, config, size)

    discriminator_state = None
    if isinstance(content.get("D"), PersistentObject) and family == "stylegan3":
        notes.append("Its discriminator was left out: StyleGAN3 cannot be trained here.")
    elif isinstance(content.get("D"), PersistentObject):
        try:
            discriminator = PickledNetwork(content["D"])
            both, clamp = nvidia_stylegan2.discriminator_config(discriminator, config)
            discriminator_state = nvidia_stylegan2.load_tensors(discriminator, Discriminator, both, size)
            config = both
            if clamp != config.conv_clamp:
                notes.append(f"Its discriminator had conv_clamp {clamp}; here it gets the generator's {config.conv_clamp}.")
        except UnsupportedCheckpoint as e:
            # It is only needed for further training; the generator is complete without it.
            notes.append(f"Its discriminator was left out: it holds {e}.")
    return ImportedModel(
        family=family,
        config=dataclasses.asdict(config),
        state_dict=state,
        title=path.stem,
        source=f"NVIDIA network pickle, {key}",
        notes=tuple(notes + _training_data(content)),
        discriminator_state=discriminator_state,
    )


def _training_data(content: dict) -> list[str]:
    kwargs = content.get("training_set_kwargs")
    path = kwargs.get("path") if isinstance(kwargs, dict) else None
    if not isinstance(path, str):
        return []
    # The last part only: the rest of the path reveals something about somebody's computer.
    name = path[-500:].replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
    return [f"The file names its training data: {excerpt(name)}."]
