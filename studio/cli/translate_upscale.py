"""`studio translate`, `studio upscale`: pictures, animations and videos through a model, alone, in folders or in zips."""

import argparse
import sys
from pathlib import Path

from studio.cli.helpers import AddVerb, model_id, open_engine, percent_line
from studio.errors import StudioError


def add_verbs(verb: AddVerb) -> None:
    """Add the verbs to the command line."""
    p = verb("translate", "Translate pictures and videos into another style.", "studio translate photos/ --model horse2zebra -o zebras")
    _add_files(p)
    p.add_argument("--direction", choices=("AtoB", "BtoA"), default="AtoB", help="which way (default: AtoB)")
    p.add_argument("--strength", type=float, default=1.0, help="1 = the translation alone, 0 = the source (default: 1)")
    p.add_argument("--keep-colour", action="store_true", help="keep the colours of the source (luminance only)")
    p.add_argument("--repeat", type=int, default=1, help="passes in a row, 1 to 8 (default: 1)")

    p = verb(
        "upscale",
        "Upscale pictures and videos with a model that draws the detail.",
        "studio upscale scan.png --model drawings-x4 -o large.png",
    )
    _add_files(p)
    p.add_argument("--seamless", action="store_true", help="for tiles of a pattern: opposite borders keep fitting together")
    size = p.add_mutually_exclusive_group()
    size.add_argument("--scale", type=float, default=0.0, help="factor, 1 to 16 (default: the model's own)")
    size.add_argument("--size", type=int, default=0, metavar="PX", help="pixels of the longer side, instead of a factor")
    p.add_argument("--strength", type=float, default=1.0, help="1 = the model alone, 0 = plain resizing (default: 1)")


def _add_files(p: argparse.ArgumentParser) -> None:
    p.add_argument("files", type=Path, nargs="+", help="pictures, animations, videos, folders (their tree is kept) and zips")
    p.add_argument("--model", help="name of a model (default: the first that can do it)")
    p.add_argument(
        "-o", "--out", type=Path, help="a file for one file, else a folder or a .zip (default: named after the first and the model)"
    )
    p.add_argument(
        "--type",
        dest="file_type",
        choices=("png", "jpeg", "webp", "gif"),
        help="file type of pictures; gif for animations alone (default: that of -o, or png, and for animations what they are)",
    )
    p.add_argument("--quality", type=int, help="of WebP and JPEG, 1 to 100 (default: a lossless WebP, a JPEG of 92)")
    p.add_argument("--first-frame", action="store_true", help="of an animation take the first frame alone (default: every frame)")
    p.add_argument(
        "--pattern",
        default="{name}",
        help="names of the results in a folder or zip: {name}, {number}, {model}, {scale}, as in '{name}_x{scale}' (default: {name})",
    )
    p.add_argument("--tile", type=int, default=0, metavar="PX", help="side of the tiles, to save memory (default: as the machine allows)")
    p.add_argument("--smoothing", choices=("none", "light", "strong"), default="none", help="of videos, against flicker (default: none)")


def run_translate(args: argparse.Namespace) -> None:
    """Translate files. Raises StudioError."""
    from studio.networks import Task

    options = dict(direction=args.direction, strength=args.strength, keep_colour=args.keep_colour, repeat=args.repeat)
    _run(args, Task.TRANSLATE, "translate", options, 0)


def run_upscale(args: argparse.Namespace) -> None:
    """Upscale files. Raises StudioError."""
    from studio.networks import Task

    _run(args, Task.UPSCALE, "upscale", dict(scale=args.scale, strength=args.strength, seamless=args.seamless), args.size)


def _run(args: argparse.Namespace, task, verb: str, options: dict, longer_side: int) -> None:
    from studio.engine.image_recipe import ImageRecipe
    from studio.outputs.convert_files import Conversion, convert_file, convert_sources

    for path in args.files:
        if not path.exists():
            raise StudioError(f"There is nothing at {path}.", "Give pictures, videos, folders or zips.")
    single = _single_target(args)
    with open_engine(args.device) as engine:
        model = model_id(engine, args.model, task)
        recipe = ImageRecipe(model, verb=verb, tile=args.tile, **options)
        type_ = _file_type(args, single)
        conversion = Conversion(recipe, type_, args.smoothing, longer_side, args.quality, args.pattern, not args.first_frame)
        first = args.files[0]
        with percent_line() as show:
            if single is not None:
                target = single.with_suffix("") if args.out is not None else single.with_name(f"{single.name}-{model}")
                _say(convert_file(engine, conversion, first, target, lambda done, total: show(first.name, done, total)))
                return
            name = f"{first.stem if first.is_file() else first.resolve().name}-{model}"
            out = args.out or Path(f"{name}.zip" if len(args.files) == 1 and _is_zip(first) else name)
            failed = 0
            for result in convert_sources(engine, conversion, args.files, out, show):
                if result.problem:
                    failed += 1
                    print(f"studio: {result.name}: {result.problem}", file=sys.stderr)
                else:
                    _say(result)
    if failed:
        raise StudioError(f"{failed} of the files could not be used.", "The others are done.")


def _say(made) -> None:
    """Print where a result is, and what an artist should know of it."""
    print(made.path)
    if made.remark:
        print(f"studio: {made.name}: {made.remark}", file=sys.stderr)


def _single_target(args: argparse.Namespace) -> Path | None:
    """Path of the result of a single picture or video: --out, else the name of the source; None when a folder or zip is written.

    Raises StudioError when the ending of --out does not fit.
    """
    from studio.outputs.animations import animation_info
    from studio.outputs.convert_files import FILE_TYPES, MOVING_TYPES, is_video

    first, out = args.files[0], args.out
    if len(args.files) > 1 or not first.is_file() or _is_zip(first):
        return None
    if out is None:
        return Path(first.stem)
    if out.suffix == "" or out.is_dir() or _is_zip(out):
        return None
    moves = not args.first_frame and animation_info(first) is not None
    types = {t: f".{t}" for t in MOVING_TYPES} if moves else FILE_TYPES
    endings = [".mp4"] if is_video(first) else [ending for name, ending in types.items() if args.file_type in (None, name)]
    if out.suffix.lower() not in endings:
        raise StudioError(f"{first.name} cannot be saved as {out.name}.", f"Its name must end in {' or '.join(endings)}.")
    return out


def _file_type(args: argparse.Namespace, single: Path | None) -> str:
    """File type of pictures: as asked for, else by the ending of --out; '' = PNG, and for animations what they are."""
    ending = single.suffix.lower().removeprefix(".") if single is not None and args.out is not None else ""
    return args.file_type or {"mp4": "", "jpg": "jpeg"}.get(ending, ending)


def _is_zip(path: Path) -> bool:
    return path.suffix.lower() == ".zip"
