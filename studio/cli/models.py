"""`studio models`, `studio import`: the library on the command line."""

import argparse
import sys

from studio.cli.helpers import AddVerb, progress_line
from studio.models.endings import endings_in_words


def add_verbs(verb: AddVerb) -> None:
    """Add the verbs to the command line."""
    p = verb(
        "import",
        "Import a model made elsewhere: from a file, a URL, or a repository on the Hugging Face Hub. No code in it is executed.",
        "studio import network.pkl --name cats\n  studio import https://example.org/network.pkl\n  studio import user/name",
    )
    p.add_argument("source", help=f"a checkpoint ({endings_in_words()}), a model folder or a zip of one, URL, or user/name")
    p.add_argument("--name", help="name in the library (default: from the source)")
    p.add_argument("--revision", help="branch, tag or commit of a repository (default: its main branch)")
    p.add_argument("--sha256", help="checksum that the file must have")
    p.add_argument(
        "--statistics",
        choices=["picture", "running"],
        default="picture",
        help="of pix2pix and CycleGAN with batch norm: those of each picture, as published, or the running ones (default: picture)",
    )

    verb("models", "List the models in the library, and folders that are broken.", "studio models")


def run_import(args: argparse.Namespace) -> None:
    """Import a model. Raises StudioError."""
    from studio.models.acquire.add import add
    from studio.models.library import default_library

    # The Hub's token comes from HF_TOKEN or the login; as an argument it would be visible in the process list.
    with progress_line() as progress:
        info = add(
            args.source,
            default_library(),
            name=args.name,
            revision=args.revision,
            sha256=args.sha256,
            statistics=args.statistics,
            progress=progress,
        )
    print(f"Imported as '{info.id}' ({', '.join(_facts(info))}): {info.path}")


def _facts(info) -> list[str]:
    return [f"x{info.scale}"] if info.scale else [f"{info.resolution} px", f"{len(info.classes) or 'no'} classes"]


def run_models(args: argparse.Namespace) -> None:
    """List the models."""
    from studio.models.library import default_library
    from studio.networks import get_family

    found, broken = default_library().scan()
    width = max([len(m.id) for m in found], default=4)
    for m in found:
        family = get_family(m.family).title
        print(f"{m.id:<{width}}  {family}  {'  '.join(_facts(m))}  {m.licence}".rstrip())
    for b in broken:
        print(f"broken: {b.path}: {b.reason}", file=sys.stderr)
    if not found:
        print("There is no model yet. Import one with 'studio import FILE', or train one.")
