"""`studio share` and `studio space`: models and Spaces to the Hub, without a browser."""

import argparse
import sys
from pathlib import Path

from studio.cli.helpers import AddVerb
from studio.common.progress import Progress
from studio.errors import StudioError

_TOKEN = "The token is that of HF_TOKEN or of 'hf auth login'; otherwise it is asked for, and kept nowhere."


def add_verbs(verb: AddVerb) -> None:
    """Add the verbs to the command line."""
    p = verb("share", f"Put a model on the Hub of Hugging Face. {_TOKEN}", "studio share cats anna/cats --licence CC-BY-4.0")
    p.add_argument("model", help="name of a model")
    p.add_argument("repo", metavar="user/name", help="its name on the Hub; a name alone is one of your own account")
    p.add_argument("--public", action="store_true", help="everybody may see it (default: only you)")
    p.add_argument("--licence", help="what others may do with it, such as CC-BY-4.0 (default: the model's own)")

    p = verb("space", f"Make a Space: a studio of chosen models, for a web page of its own. {_TOKEN}", "studio space cats -o cats-space")
    p.add_argument("models", metavar="MODEL", nargs="+", help="names of models")
    p.add_argument("-o", "--out", type=Path, required=True, metavar="FOLDER", help="folder to write; 'python app.py' in it starts it")
    p.add_argument("--tabs", help="such as explore,mix (default: those in which the models can do something)")
    p.add_argument("--title", help="(default: the first model's)")
    p.add_argument("--licence", help="(default: those of the models)")
    p.add_argument("--from-hub", metavar="MODEL=user/name", action="append", default=[], help="fetch this model from the Hub at its start")
    p.add_argument(
        "--training", action="store_true", help="models can be trained there, with a graphics card and the secret STUDIO_TRAINING=1"
    )
    p.add_argument("--push", metavar="user/name", help="also put it on the Hub")
    p.add_argument("--public", action="store_true", help="everybody may see it (default: only you)")
    p.add_argument("--hardware", help="as the Hub names it: zero-a10g, t4-small, ... (default: the free one)")


def run_share(args: argparse.Namespace) -> None:
    """`studio share`. Raises StudioError when it cannot be done."""
    from studio.models.library import default_library
    from studio.sharing.hub import push_model

    info = default_library().get(args.model)
    licence = args.licence or info.licence
    print(push_model(info, args.repo, token=_token(), private=not args.public, licence=licence, progress=_progress()))


def run_space(args: argparse.Namespace) -> None:
    """`studio space`. Raises StudioError when it cannot be done."""
    from studio.models.library import default_library
    from studio.sharing.space import make_space, push_space
    from studio.ui.access.policy import ServingPolicy, comma_separated
    from studio.ui.tabs import tabs_for

    library = default_library()
    infos = [library.get(name) for name in dict.fromkeys(args.models)]
    tabs = comma_separated(args.tabs) or tabs_for(infos)
    ServingPolicy(tabs=tabs)  # says it when there is no such tab
    by_id = dict(pair.split("=", 1) for pair in args.from_hub if "=" in pair)
    if len(by_id) < len(args.from_hub):
        raise StudioError("--from-hub has no model or no name.", "Write --from-hub MODEL=user/name.")
    licence = args.licence or " and ".join(dict.fromkeys(i.licence for i in infos if i.licence))
    folder = make_space(
        infos, args.out, tabs=tabs, title=args.title or infos[0].title, training=args.training, by_id=by_id, licence=licence
    )
    print(folder)
    if args.push:
        print(push_space(folder, args.push, token=_token(), private=not args.public, hardware=args.hardware, progress=_progress()))


def _token() -> str | None:
    """What was typed, when this computer knows none and somebody is there to type."""
    from studio.sharing.hub import known_token

    if known_token() or not sys.stdin.isatty():
        return None
    import getpass

    return getpass.getpass("Your token of the Hub (huggingface.co/settings/tokens): ")


def _progress() -> Progress:
    """Tells each tenth once."""
    told = [-1]

    def tell(done: int, all_: int) -> None:
        tenth = 10 * done // max(all_, 1)
        if tenth > told[0]:
            told[0] = tenth
            print(f"{10 * tenth:3} % of {all_ / 1e6:.1f} MB", file=sys.stderr, flush=True)

    return tell
