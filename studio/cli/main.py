"""The command `studio`: opens the studio in the browser, or runs a verb without one."""

import argparse
import os
import sys
from pathlib import Path

from studio import __version__
from studio.cli import classes, datasets, film, jobs, models, provenance, render, share, train, translate_upscale
from studio.common.threads import yield_idle_threads
from studio.errors import StudioError

_EPILOG = """examples:
  studio                                   open the studio in the browser
  studio models                            list the models
  studio seeds 1-25 --sheet sheet.png      pictures of 25 seeds, and one sheet of them
  studio mix --rows 1-4 --columns 11-14 --layers middle
  studio render picture.png -o again.png   make a saved picture again, from the recipe inside
  studio translate photos/ -o paintings    translate a folder of pictures into another style
  studio upscale scan.png -o large.png     upscale a picture
  studio film --seeds 1,5,9 -o walk.mp4    a film from seed to seed; --sound track.wav makes one to a sound
  studio import network.pkl                import a model from a file, a URL or the Hub
  studio train plan.toml --out runs/cats   train a model

`studio VERB --help` says more about each. Your models and pictures are kept in ~/gan-studio (or in $STUDIO_HOME).
"""


def _parser() -> argparse.ArgumentParser:
    plain = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="studio", description="Explore, mix and train generative models of pictures.", epilog=_EPILOG, formatter_class=plain
    )
    parser.add_argument("--version", action="version", version=f"GAN Studio {__version__}")
    parser.add_argument("--home", type=Path, help="folder for your models and pictures (default: $STUDIO_HOME or ~/gan-studio)")
    parser.add_argument("--device", help="cpu, cuda, cuda:1, mps (default: the best available)")
    page = parser.add_argument_group("opening the studio in a browser")
    page.add_argument("--host", help="address to listen on (default: 127.0.0.1, this machine only; 0.0.0.0 = everyone)")
    page.add_argument("--port", type=int, help="port to listen on (default: the first free one from 7860)")
    page.add_argument("--share", action="store_true", help="also open a temporary public link (Gradio's)")
    page.add_argument(
        "--auth", metavar="USER:PASSWORD", action="append", default=[], help="require this name and password; may be given again"
    )
    page.add_argument("--auth-file", type=Path, metavar="FILE", help="require a name and password from this file, one user:password a line")
    page.add_argument("--tabs", metavar="TABS", help="show only these tabs, such as explore,mix")
    page.add_argument("--models", metavar="MODELS", help="offer only these models, such as cats,dogs; nothing is trained then")
    page.add_argument("--no-train", action="store_true", help="open without the Train tab")
    page.add_argument(
        "--visitors",
        action=argparse.BooleanOptionalAction,
        help="open to the public: each visitor has their own files, and nobody can train "
        "(default: with --share, or a --host that others can reach, without --auth)",
    )
    page.add_argument("--no-browser", action="store_true", help="do not open a browser window")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", title="verbs (none: open the studio)")

    def verb(name: str, text: str, example: str) -> argparse.ArgumentParser:
        sub = verbs.add_parser(name, help=text, description=text, epilog=f"example:\n  {example}", formatter_class=plain)
        # Repeated here, so that it may follow the verb as well.
        sub.add_argument("--device", default=argparse.SUPPRESS, help="cpu, cuda, ... (default: the best available)")
        return sub

    render.add_verbs(verb)
    translate_upscale.add_verbs(verb)
    models.add_verbs(verb)
    train.add_verbs(verb)
    classes.add_verb(verb)
    film.add_verb(verb)
    datasets.add_verb(verb)
    jobs.add_verb(verb)
    provenance.add_verb(verb)
    share.add_verbs(verb)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command line. Returns the exit status: 0 done, 1 a bug in the studio, 2 a StudioError, 130 interrupted."""
    args = _parser().parse_args(argv)
    yield_idle_threads()
    if args.home is not None:
        os.environ["STUDIO_HOME"] = str(args.home)
    try:
        _VERBS[args.verb](args)
        sys.stdout.flush()  # a closed pipe shows here
    except StudioError as e:
        print(f"studio: {e}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # whoever read the lines has closed the pipe, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python would complain as it ends
        return 0
    except Exception as e:
        import logging

        from studio.common.files import storage_problem
        from studio.common.log import start_log

        if problem := storage_problem(e):
            print(f"studio: {problem}", file=sys.stderr)
            return 2
        if isinstance(e, OSError):
            name = f" ({e.filename})" if e.filename else ""
            print(f"studio: A file cannot be read or written{name}: {e.strerror or e}. Check it, or name another one.", file=sys.stderr)
            return 2
        path = start_log()
        logging.getLogger("studio").exception("the command failed")
        where = f"in {path}" if path else "above"
        print(f"studio: an unexpected error occurred; the details are {where}", file=sys.stderr)
        return 1
    return 0


def _run(args) -> None:
    print("Starting the studio ...", flush=True)
    from studio.ui.access.login import read_accounts
    from studio.ui.access.serving import ServingPolicy, comma_separated, is_open_to_strangers
    from studio.ui.app import launch

    visitors = args.visitors
    if visitors is None:
        visitors = is_open_to_strangers(args.host, args.share, read_accounts(args.auth, args.auth_file))
    policy = ServingPolicy(
        models=comma_separated(args.models), tabs=comma_separated(args.tabs), training=not args.no_train, visitors=visitors
    )
    launch(args.host, args.port, args.share, args.auth, not args.no_browser, args.device, policy=policy, auth_file=args.auth_file)


_VERBS = {
    None: _run,
    "render": render.run_render,
    "seeds": render.run_seeds,
    "mix": render.run_mix,
    "translate": translate_upscale.run_translate,
    "upscale": translate_upscale.run_upscale,
    "import": models.run_import,
    "models": models.run_models,
    "plan": train.run_plan,
    "train": train.run_train,
    "classes": classes.run,
    "film": film.run,
    "dataset": datasets.run,
    "jobs": jobs.run,
    "marks": provenance.run,
    "share": share.run_share,
    "space": share.run_space,
}
