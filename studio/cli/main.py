"""The studio without a browser: the same verbs on the command line."""

import argparse
import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from studio import __version__
from studio.cli import classes, datasets, jobs, provenance, share
from studio.common.progress import StageProgress
from studio.errors import StudioError

_EPILOG = """examples:
  studio                                   open the studio in the browser
  studio models                            list the models that are here
  studio seeds 1-25 --sheet sheet.png      pictures of 25 seeds, and one sheet of them
  studio mix --rows 1-4 --columns 11-14 --layers middle
  studio render picture.png -o again.png   make a saved picture again, from the recipe inside
  studio import network.pkl                take over a model of others, from a file, a URL or the Hub
  studio train plan.toml --out runs/cats   train a model

`studio VERB --help` tells more of each. Your models and pictures are kept in ~/gan-studio (or in $STUDIO_HOME).
"""


def _parser() -> argparse.ArgumentParser:
    plain = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="studio", description="Explore, mix and train generative models of pictures.", epilog=_EPILOG, formatter_class=plain
    )
    parser.add_argument("--version", action="version", version=f"GAN Studio {__version__}")
    parser.add_argument("--home", type=Path, help="folder for your models and pictures (default: $STUDIO_HOME or ~/gan-studio)")
    parser.add_argument("--device", help="cpu, cuda, cuda:1, mps (default: the best there is)")
    page = parser.add_argument_group("opening the studio in a browser")
    page.add_argument("--host", help="address to listen on (default: 127.0.0.1, this machine only; 0.0.0.0 = everyone)")
    page.add_argument("--port", type=int, help="port to listen on (default: the first free one from 7860)")
    page.add_argument("--share", action="store_true", help="also open a temporary public link (Gradio's)")
    page.add_argument(
        "--auth", metavar="USER:PASSWORD", action="append", default=[], help="ask for this name and password; may be given again"
    )
    page.add_argument("--auth-file", type=Path, metavar="FILE", help="ask for a name and password of this file, one user:password a line")
    page.add_argument("--tabs", metavar="TABS", help="show only these tabs, such as explore,mix")
    page.add_argument("--models", metavar="MODELS", help="offer only these models, such as cats,dogs; nothing is trained then")
    page.add_argument("--no-train", action="store_true", help="open without the Train tab")
    page.add_argument(
        "--visitors",
        action=argparse.BooleanOptionalAction,
        help="strangers may come: each has files of their own, and nobody trains "
        "(default: with --share, or a --host for others, without --auth)",
    )
    page.add_argument("--no-browser", action="store_true", help="do not open a browser window")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", title="verbs (none: open the studio)")

    def verb(name: str, text: str, example: str) -> argparse.ArgumentParser:
        sub = verbs.add_parser(name, help=text, description=text, epilog=f"example:\n  {example}", formatter_class=plain)
        # Given again here, so that it may stand behind the verb as well.
        sub.add_argument("--device", default=argparse.SUPPRESS, help="cpu, cuda, ... (default: the best there is)")
        return sub

    p = verb(
        "render", "Make the picture of a recipe: a JSON file, or a picture that was saved here.", "studio render picture.png -o again.png"
    )
    p.add_argument("recipe", type=Path, help="recipe.json, or a PNG or WebP with a recipe inside")
    p.add_argument("-o", "--out", type=Path, default=Path("picture.png"), help="file to write, .png or .webp (default: picture.png)")

    p = verb("seeds", "Make pictures of many seeds.", "studio seeds 1-25,40 --psi 0.7 --outdir pictures --sheet sheet.png")
    p.add_argument("seeds", help="numbers and ranges, such as 1-25,40")
    p.add_argument("--model", help="name of a model (default: the first)")
    p.add_argument("--psi", type=float, default=0.7, help="truncation: low = near the average, 1 = as trained (default: 0.7)")
    p.add_argument("--class", dest="class_name", help="name or number of a class, for models that have them")
    p.add_argument("--outdir", type=Path, help="folder for one PNG a seed (default: pictures, unless --sheet is given)")
    p.add_argument("--sheet", type=Path, help="also write all of them on one picture")

    p = verb("mix", "Make a style-mixing grid.", "studio mix --rows 1-4 --columns 11-14 --layers coarse -o mix.png")
    p.add_argument("--rows", required=True, help="seeds that give the rest")
    p.add_argument("--columns", "--cols", required=True, help="seeds that give the style")
    p.add_argument("--layers", default="middle", help="coarse, middle, fine, or numbers such as 0-3 (default: middle)")
    p.add_argument("--model", help="name of a model (default: the first)")
    p.add_argument("--psi", type=float, default=0.7, help="truncation (default: 0.7)")
    p.add_argument("-o", "--out", type=Path, default=Path("mix.png"), help="file to write (default: mix.png)")

    p = verb(
        "import",
        "Take a model of others into the library: a file, an address, or a repository of the Hugging Face Hub. Nothing in it is executed.",
        "studio import network.pkl --name cats\n  studio import https://example.org/network.pkl\n  studio import user/name",
    )
    p.add_argument("source", help="a checkpoint (.pkl, .pth, .pt, .safetensors, .param), a model folder or a zip of one, URL, or user/name")
    p.add_argument("--name", help="name in the library (default: from the source)")
    p.add_argument("--revision", help="branch, tag or commit of a repository (default: its main branch)")
    p.add_argument("--sha256", help="checksum that the file must have")

    verb("models", "List the models that are here, and the folders that are broken.", "studio models")

    p = verb("train", "Train a model; the same command again goes on where it stopped.", "studio train plan.toml --out runs/cats")
    p.add_argument("plan", type=Path, help="plan.toml (README.md has one to begin with)")
    p.add_argument("--out", type=Path, required=True, help="folder of the run: state, sheets, snapshots")

    classes.add_verb(verb)
    datasets.add_verb(verb)
    jobs.add_verb(verb)
    provenance.add_verb(verb)
    share.add_verbs(verb)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command line. Returns the exit status: 0 done, 1 a fault of the studio, 2 something you can mend, 130 stopped."""
    args = _parser().parse_args(argv)
    if args.home is not None:
        os.environ["STUDIO_HOME"] = str(args.home)
    try:
        _VERBS[args.verb](args)
    except StudioError as e:
        print(f"studio: {e}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except Exception:
        import logging

        from studio.common.log import start_log

        path = start_log()
        logging.getLogger("studio").exception("the command failed")
        where = f"in {path}" if path else "above"
        print(f"studio: something went wrong that should not; the details are {where}", file=sys.stderr)
        return 1
    return 0


def _run(args) -> None:
    print("Starting the studio ...", flush=True)
    from studio.ui.access.login import read_accounts
    from studio.ui.access.policy import ServingPolicy, comma_separated, is_open_to_strangers
    from studio.ui.app import launch

    visitors = args.visitors
    if visitors is None:
        visitors = is_open_to_strangers(args.host, args.share, read_accounts(args.auth, args.auth_file))
    policy = ServingPolicy(
        models=comma_separated(args.models), tabs=comma_separated(args.tabs), training=not args.no_train, visitors=visitors
    )
    launch(args.host, args.port, args.share, args.auth, not args.no_browser, args.device, policy=policy, auth_file=args.auth_file)


def _engine(args):
    from studio.common.log import show_warnings
    from studio.engine.engine import Engine
    from studio.provenance.signing import LOG

    show_warnings(LOG, lambda text: print(f"studio: {text}", file=sys.stderr))

    return Engine(device=args.device)


def _model_name(engine, wanted: str | None) -> str:
    if wanted:
        return engine.library.get(wanted).id
    from studio.networks import Task

    found = next((m.id for m in engine.library.scan()[0] if m.task is Task.GENERATE), None)
    if found is None:
        raise StudioError("There is no model yet that draws.", "Import one with 'studio import FILE', or train one.")
    return found


def _render(args) -> None:
    from studio.engine.recipe import Recipe
    from studio.provenance.metadata import read_recipe, save_picture

    if not args.recipe.is_file():
        raise StudioError(f"There is no file {args.recipe}.", "Give a recipe.json or a saved picture.")
    is_json = args.recipe.suffix.lower() == ".json"
    recipe = Recipe.from_json(args.recipe.read_bytes()) if is_json else read_recipe(args.recipe, Recipe)
    with _engine(args) as engine:
        warning = engine.check(recipe)
        if warning:
            print(f"studio: {warning}", file=sys.stderr)
        save_picture(engine.render(recipe), engine.stamped(recipe), args.out)
    print(args.out)


def _seeds(args) -> None:
    from studio.engine.recipe import ClassWeight, Recipe, SeedWeight
    from studio.imaging.xmp import DigitalSourceType
    from studio.latents.seeds import parse_seeds
    from studio.outputs.sheets import contact_sheet
    from studio.provenance.metadata import save_picture

    seeds = parse_seeds(args.seeds)
    with _engine(args) as engine:
        model = engine.model(_model_name(engine, args.model))
        classes = ()
        if args.class_name is not None:
            classes = (ClassWeight(model.class_index(args.class_name)),)
        recipes = [engine.stamped(Recipe(model=model.id, seeds=(SeedWeight(s),), psi=args.psi, classes=classes)) for s in seeds]
        outdir = args.outdir or (None if args.sheet else Path("pictures"))
        pictures = []
        for seed, recipe in zip(seeds, recipes, strict=True):
            pictures.append(engine.render(recipe))
            if outdir:
                print(save_picture(pictures[-1], recipe, outdir / f"seed{seed:04d}.png"))
        if args.sheet:
            columns = max(1, round(len(seeds) ** 0.5))
            sheet = contact_sheet(pictures, columns, [str(s) for s in seeds])
            print(save_picture(sheet, DigitalSourceType.GENERATED, args.sheet))


def _mix(args) -> None:
    from studio.imaging.xmp import DigitalSourceType
    from studio.latents.layer_ranges import parse_layers
    from studio.latents.seeds import parse_seeds
    from studio.outputs.sheets import contact_sheet, mix_grid
    from studio.provenance.metadata import save_picture

    rows, columns = parse_seeds(args.rows, 64), parse_seeds(args.columns, 64)
    with _engine(args) as engine:
        model = engine.model(_model_name(engine, args.model))
        cells = mix_grid(model.id, rows, columns, parse_layers(args.layers, model.latent_sizes[2]), args.psi)
        pictures = engine.render_many([cell for row in cells for cell in row])
    labels = [f"{r} + {c}" for r in rows for c in columns]
    print(save_picture(contact_sheet(pictures, len(columns), labels), DigitalSourceType.GENERATED, args.out))


def _import(args) -> None:
    from studio.models.acquire.add import add
    from studio.models.library import default_library

    # For the Hub, the token is that of HF_TOKEN or of the login: on the command line others could read it.
    with _progress_line() as progress:
        info = add(args.source, default_library(), name=args.name, revision=args.revision, sha256=args.sha256, progress=progress)
    print(f"Imported as '{info.id}' ({', '.join(_facts(info))}): {info.path}")


@contextlib.contextmanager
def _progress_line() -> Iterator[StageProgress]:
    """One line on the terminal that tells what is done; nothing where the output goes to a file."""
    width, shown = 0, ""

    def tell(what: str, done: int, total: int | None) -> None:
        nonlocal width, shown
        parts = f" {done / 1e6:,.1f} MB" + (f" of {total / 1e6:,.1f} MB ({done / total:.0%})" if total else "") if done else " ..."
        line = f"{what}{parts}"
        if line != shown and sys.stderr.isatty():
            print(f"\r{line:<{width}}", end="", file=sys.stderr, flush=True)
            width, shown = max(width, len(line)), line

    try:
        yield tell
    finally:
        if width:
            print(f"\r{'':<{width}}\r", end="", file=sys.stderr, flush=True)


def _facts(info) -> list[str]:
    return [f"x{info.scale}"] if info.scale else [f"{info.resolution} px", f"{len(info.classes) or 'no'} classes"]


def _models(args) -> None:
    from studio.models.library import default_library
    from studio.networks import get_family

    found, broken = default_library().scan()
    width = max([len(m.id) for m in found], default=4)
    for m in found:
        kind = get_family(m.family).title
        print(f"{m.id:<{width}}  {kind}  {'  '.join(_facts(m))}  {m.licence}".rstrip())
    for b in broken:
        print(f"broken: {b.path}: {b.reason}", file=sys.stderr)
    if not found:
        print("There is no model yet. Import one with 'studio import FILE', or train one.")


def _train(args) -> None:
    from studio.metrics import registry
    from studio.training.plan import Plan
    from studio.training.trainer import train

    stop = []

    def ask_to_stop(*_):
        if stop:
            raise KeyboardInterrupt  # a second Ctrl-C does not wait for the state to be saved
        stop.append(True)
        print("\nStopping after this step; the same command goes on from here.", flush=True)

    for name in ("SIGINT", "SIGTERM"):
        signal.signal(getattr(signal, name), ask_to_stop)
    plan = Plan.load(args.plan)
    goal, began = plan.budget.kimg * 1000, []

    def show(event: dict) -> None:
        if event["type"] == "start":
            print(f"{event['pictures']:,} pictures; training on {event['device']} in {event['precision']}", flush=True)
        elif event["type"] == "step":
            if not began:
                began.extend((event["images"], event["seconds"]))
            speed = (event["images"] - began[0]) / max(event["seconds"] - began[1], 1e-9)
            numbers = "  ".join(f"{k} {v:.3f}" for k, v in event.items() if k in _TOLD)
            left = _duration((goal - event["images"]) / speed) if speed > 0 else "..."
            print(f"{event['images'] / 1000:8.1f} kimg  {numbers}  {speed:5.1f} images/s  {left} left", flush=True)
        elif event["type"] == "snapshot":
            measured = "".join(f"  {metric.line(event)}" for metric in registry.measured(event))
            print(f"          snapshot {event['path']}{measured}", flush=True)

    snapshot = train(plan, args.out, on_event=show, should_stop=lambda: bool(stop), clock=time.monotonic, device=args.device)
    if os.environ.get("RANK", "0") == "0":  # of several processes one speaks
        print(f"{'Stopped' if stop else 'Done'}: {snapshot}")


def _duration(seconds: float) -> str:
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min"


_TOLD = ("loss_g", "loss_d", "r1", "ada_p", "cycle", "l1", "perceptual", "psnr")  # of what a step measures

_VERBS = {
    None: _run,
    "render": _render,
    "seeds": _seeds,
    "mix": _mix,
    "import": _import,
    "models": _models,
    "train": _train,
    "classes": classes.run,
    "dataset": datasets.run,
    "jobs": jobs.run,
    "marks": provenance.run,
    "share": share.run_share,
    "space": share.run_space,
}
