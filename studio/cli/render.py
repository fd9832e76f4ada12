"""`studio render`, `studio seeds`, `studio mix`: pictures from recipes and seeds."""

import argparse
import sys
from pathlib import Path

from studio.cli.helpers import AddVerb, model_id, open_engine, percent_line
from studio.errors import StudioError

_SET_HELP = "set a parameter, such as psi=0.5 or edit.random:0:3@coarse=1.2; may be given again"


def add_verbs(verb: AddVerb) -> None:
    """Add the verbs to the command line."""
    p = verb("render", "Make a picture again from its recipe: a JSON file, or a saved picture.", "studio render picture.png -o again.png")
    p.add_argument("recipe", type=Path, help="recipe.json, or a picture with a recipe inside")
    p.add_argument("-o", "--out", type=Path, default=Path("picture.png"), help="file to write, .png, .webp or .jpg (default: picture.png)")
    p.add_argument("--set", dest="changes", metavar="ADDRESS=VALUE", action="append", default=[], help=_SET_HELP)
    p.add_argument(
        "--source", type=Path, help="for a translated or upscaled picture: the picture it was made from, if it is no longer kept"
    )

    p = verb("seeds", "Make pictures of many seeds.", "studio seeds 1-25,40 --psi 0.7 --outdir pictures --sheet sheet.png")
    p.add_argument("seeds", help="numbers and ranges, such as 1-25,40")
    p.add_argument("--model", help="name of a model (default: the first)")
    p.add_argument("--psi", type=float, default=0.7, help="truncation: low = near the average, 1 = as trained (default: 0.7)")
    p.add_argument("--class", dest="class_name", help="name or number of a class, for models that have them")
    p.add_argument("--set", dest="changes", metavar="ADDRESS=VALUE", action="append", default=[], help=_SET_HELP)
    p.add_argument("--outdir", type=Path, help="folder for one PNG per seed (default: pictures, unless --sheet is given)")
    p.add_argument("--sheet", type=Path, help="also write all of them onto one sheet")

    p = verb("mix", "Make a style-mixing grid.", "studio mix --rows 1-4 --columns 11-14 --layers coarse -o mix.png")
    p.add_argument("--rows", required=True, help="seeds of the base pictures")
    p.add_argument("--columns", "--cols", required=True, help="seeds that give the style")
    p.add_argument("--layers", default="middle", help="coarse, middle, fine, or numbers such as 0-3 (default: middle)")
    p.add_argument("--model", help="name of a model (default: the first)")
    p.add_argument("--psi", type=float, default=0.7, help="truncation (default: 0.7)")
    p.add_argument("-o", "--out", type=Path, default=Path("mix.png"), help="file to write (default: mix.png)")


def run_render(args: argparse.Namespace) -> None:
    """Make the picture of a recipe. Raises StudioError."""
    from studio.engine.image_recipe import ImageRecipe, recipe_from
    from studio.engine.parameters import with_settings
    from studio.engine.recipe import parse_json
    from studio.provenance.metadata import read_recipe, save_picture

    if not args.recipe.is_file():
        raise StudioError(f"There is no file {args.recipe}.", "Give a recipe.json or a saved picture.")
    is_json = args.recipe.suffix.lower() == ".json"
    recipe = recipe_from(parse_json(args.recipe.read_bytes())) if is_json else read_recipe(args.recipe)
    with open_engine(args.device) as engine:
        if warning := engine.check(recipe):
            print(f"studio: {warning}", file=sys.stderr)
        if isinstance(recipe, ImageRecipe):
            print(_render_again(engine, recipe, args))
            return
        if args.changes:
            recipe = with_settings(recipe, args.changes, engine.facts(recipe.model))
        print(save_picture(engine.render(recipe), engine.stamped(recipe), args.out))


def _render_again(engine, recipe, args: argparse.Namespace) -> Path:
    """A translated or upscaled picture made again from its source."""
    from studio.common.files import sha256_of
    from studio.outputs.animations import animation_info
    from studio.outputs.convert_files import Conversion, convert_file
    from studio.provenance.source_pictures import find_source

    if args.changes:
        raise StudioError("--set is for pictures drawn from a seed.", "This one was made from another picture.")
    source = args.source or find_source(recipe.source)
    if source is None or not source.is_file():
        raise StudioError("The source of this picture is no longer kept here.", "Give it with --source FILE.")
    if args.source and recipe.source and sha256_of(source) != recipe.source:
        print(f"studio: {source.name} is not the original source of this picture: the result will differ", file=sys.stderr)
    ending = args.out.suffix.lower().removeprefix(".")
    # Of an animation the recipe does not say whether every frame was taken: the picture made before shows it.
    conversion = Conversion(
        recipe, "jpeg" if ending == "jpg" else ending, every_frame=ending == "gif" or animation_info(args.recipe) is not None
    )
    with percent_line() as show:
        made = convert_file(engine, conversion, source, args.out.with_suffix(""), lambda done, total: show(source.name, done, total))
    return Path(made.path)


def run_seeds(args: argparse.Namespace) -> None:
    """Make pictures of many seeds. Raises StudioError."""
    from studio.engine.parameters import with_settings
    from studio.engine.recipe import ClassWeight, Recipe, SeedWeight
    from studio.imaging.xmp import DigitalSourceType
    from studio.latents.seeds import parse_seeds
    from studio.outputs.sheets import contact_sheet
    from studio.provenance.metadata import save_picture

    seeds = parse_seeds(args.seeds)
    with open_engine(args.device) as engine:
        model = engine.model(model_id(engine, args.model))
        classes = ()
        if args.class_name is not None:
            classes = (ClassWeight(model.class_index(args.class_name)),)
        plain = [Recipe(model=model.id, seeds=(SeedWeight(s),), psi=args.psi, classes=classes) for s in seeds]
        facts = engine.facts(model.id)
        recipes = [engine.stamped(with_settings(recipe, args.changes, facts)) for recipe in plain]
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


def run_mix(args: argparse.Namespace) -> None:
    """Make a style-mixing grid. Raises StudioError."""
    from studio.imaging.xmp import DigitalSourceType
    from studio.latents.layer_ranges import parse_layers
    from studio.latents.seeds import parse_seeds
    from studio.outputs.sheets import contact_sheet, mix_grid
    from studio.provenance.metadata import save_picture

    rows, columns = parse_seeds(args.rows, 64), parse_seeds(args.columns, 64)
    with open_engine(args.device) as engine:
        model = engine.model(model_id(engine, args.model))
        cells = mix_grid(model.id, rows, columns, parse_layers(args.layers, model.latent_sizes[2]), args.psi)
        pictures = engine.render_many([cell for row in cells for cell in row])
    labels = [f"{r} + {c}" for r in rows for c in columns]
    print(save_picture(contact_sheet(pictures, len(columns), labels), DigitalSourceType.GENERATED, args.out))
