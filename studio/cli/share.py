"""`studio share`, `studio space`: upload models and Spaces to the Hub from the command line."""

import argparse
import sys
from pathlib import Path

from studio.cli.helpers import AddVerb
from studio.common.progress import Progress
from studio.errors import StudioError

_TOKEN = "The token comes from HF_TOKEN or 'hf auth login'; otherwise you are asked for it, and it is not stored."


def add_verbs(verb: AddVerb) -> None:
    """Add the verbs to the command line."""
    p = verb("share", f"Upload a model to the Hugging Face Hub. {_TOKEN}", "studio share cats anna/cats --licence CC-BY-4.0")
    p.add_argument("model", help="name of a model")
    p.add_argument("repo", metavar="user/name", help="its name on the Hub; a name alone means your own account")
    p.add_argument("--public", action="store_true", help="everybody can see it (default: only you)")
    p.add_argument("--licence", help="what others may do with it, such as CC-BY-4.0 (default: the model's own)")

    p = verb("space", f"Make a Space: a studio with chosen models as a web page. {_TOKEN}", "studio space cats -o cats-space")
    p.add_argument("models", metavar="MODEL", nargs="+", help="names of models")
    p.add_argument("-o", "--out", type=Path, required=True, metavar="FOLDER", help="folder to write; 'python app.py' in it starts it")
    p.add_argument("--tabs", help="tabs to show, such as explore,mix (default: those that the models can be used in)")
    p.add_argument("--title", help="title of the Space (default: the first model's)")
    p.add_argument("--licence", help="licence of the Space (default: those of the models)")
    p.add_argument("--from-hub", metavar="MODEL=user/name", action="append", default=[], help="fetch this model from the Hub at startup")
    p.add_argument(
        "--training", action="store_true", help="models can be trained there, with a graphics card and the secret STUDIO_TRAINING=1"
    )
    p.add_argument("--push", metavar="user/name", help="also upload it to the Hub")
    p.add_argument("--public", action="store_true", help="everybody can see it (default: only you)")
    p.add_argument("--hardware", help="hardware by the Hub's name: zero-a10g, t4-small, ... (default: the free one)")


def run_share(args: argparse.Namespace) -> None:
    """Upload a model. Raises StudioError when it fails."""
    from studio.models.library import default_library
    from studio.sharing.hub import push_model

    info = default_library().get(args.model)
    licence = args.licence or info.licence
    print(push_model(info, args.repo, token=_token(), private=not args.public, licence=licence, progress=_progress()))


def run_space(args: argparse.Namespace) -> None:
    """Make a Space, and upload it if asked to. Raises StudioError when it fails."""
    from studio.models.library import default_library
    from studio.sharing.space import make_space, push_space
    from studio.ui.access.serving import ServingPolicy, comma_separated
    from studio.ui.tabs import tabs_for

    library = default_library()
    infos = [library.get(name) for name in dict.fromkeys(args.models)]
    tabs = comma_separated(args.tabs) or tabs_for(infos)
    ServingPolicy(tabs=tabs)  # raises for an unknown tab
    by_id = dict(pair.split("=", 1) for pair in args.from_hub if "=" in pair)
    if len(by_id) < len(args.from_hub):
        raise StudioError("--from-hub lacks a model or a name.", "Write --from-hub MODEL=user/name.")
    licence = args.licence or " and ".join(dict.fromkeys(i.licence for i in infos if i.licence))
    folder = make_space(
        infos, args.out, tabs=tabs, title=args.title or infos[0].title, training=args.training, by_id=by_id, licence=licence
    )
    print(folder)
    if args.push:
        print(push_space(folder, args.push, token=_token(), private=not args.public, hardware=args.hardware, progress=_progress()))


def _token() -> str | None:
    """A token typed on the terminal, if none is stored on this computer; None without a terminal."""
    from studio.sharing.hub import known_token

    if known_token() or not sys.stdin.isatty():
        return None
    import getpass

    return getpass.getpass("Your Hub token (huggingface.co/settings/tokens): ")


def _progress() -> Progress:
    """Progress that prints each tenth once."""
    printed = -1

    def show(done: int, all_: int) -> None:
        nonlocal printed
        tenth = 10 * done // max(all_, 1)
        if tenth > printed:
            printed = tenth
            print(f"{10 * tenth:3} % of {all_ / 1e6:.1f} MB", file=sys.stderr, flush=True)

    return show
