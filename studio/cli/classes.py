"""`studio classes`: export of class sets on the command line."""

import argparse
import sys
from pathlib import Path

from studio.cli.helpers import AddVerb, open_engine
from studio.errors import StudioError


def add_verb(verb: AddVerb) -> None:
    """Add the verb 'classes' to the command line."""
    p = verb(
        "classes",
        "Export pictures of each class as a zip of folders with a manifest.",
        "studio classes --model NAME --per-class 10 -o set.zip",
    )
    p.add_argument("--model", help="name of a model (default: the first that has classes)")
    p.add_argument("--class", dest="names", action="append", help="name or number of a class; may be given again (default: all)")
    p.add_argument("--per-class", type=int, default=10, help="pictures per class (default: 10)")
    p.add_argument(
        "--fill-up", metavar="SET", help="instead of --per-class: bring each class of this training set up to the size of its largest one"
    )
    p.add_argument("--psi", type=float, default=1.0, help="truncation: low = near the average, 1 = as trained (default: 1)")
    p.add_argument("--seed", type=int, default=0, help="seed of the first picture (default: 0)")
    p.add_argument("--same-seeds", action="store_true", help="the same seeds in each class")
    p.add_argument("-o", "--out", type=Path, default=Path("set.zip"), help="file to write (default: set.zip)")


def run(args: argparse.Namespace) -> None:
    """Export the set. Raises StudioError."""
    from studio.outputs.class_sets import export_set

    with open_engine(args.device) as engine:
        model = engine.model(args.model or _first_with_classes(engine))
        indices = [model.class_index(name) for name in args.names] if args.names else range(model.c_dim)
        wanted = _lacking(model, args.fill_up, indices) if args.fill_up else {index: int(args.per_class) for index in indices}
        bar = sys.stderr.isatty()

        def progress(done: int, total: int) -> None:
            if bar:
                print(f"\r{done:,} of {total:,} pictures", end="\n" if done == total else "", file=sys.stderr, flush=True)

        print(export_set(engine, model.id, wanted, args.out, args.psi, args.seed, args.same_seeds, progress))


def _first_with_classes(engine) -> str:
    from studio.models.folder import num_classes

    for info in engine.library.scan()[0]:
        if num_classes(info):
            return info.id
    raise StudioError("There is no model with classes.", "Train one with sub-folders as classes, or import one.")


def _lacking(model, set_id: str, indices) -> dict[int, int]:
    from studio.datasets.store import DataSetStore
    from studio.outputs.class_sets import fill_up

    stored = DataSetStore().get(set_id)
    filling = fill_up(stored.classes, model.classes)
    if filling.unmatched:
        print(f"studio: the model does not draw: {', '.join(filling.unmatched)}", file=sys.stderr)
    wanted = {k: n for k, n in filling.make.items() if k in indices}
    if not wanted:
        raise StudioError(f"There is nothing to make for '{stored.title}'.", "Its classes are balanced, or the model has none of them.")
    return wanted
