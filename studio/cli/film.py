"""`studio film`: films from a motion, from seeds, or from a sound."""

import argparse
import sys
from pathlib import Path

from studio.cli.helpers import AddVerb, model_id, open_engine, percent_line
from studio.errors import StudioError

_SECONDS = 12.0
_OF_THE_MOTION = ("model", "seeds", "seconds", "interpolation", "easing", "psi")


def add_verb(verb: AddVerb) -> None:
    """Add the verb 'film' to the command line."""
    p = verb(
        "film",
        "Render a film: of a motion (a JSON file), from seed to seed, a noise loop, or to a sound.",
        "studio film --seeds 1,5,9 --seconds 12 --loop -o walk.mp4",
    )
    p.add_argument(
        "motion", type=Path, nargs="?", help="motion.json, or a film that has its motion inside; without it, the options below make one"
    )
    p.add_argument("--model", help="name of a model (default: the first)")
    p.add_argument("--seeds", help="numbers and ranges such as 1,5,9: the key frames")
    p.add_argument("--seconds", type=float, help=f"length (default: {_SECONDS:g}, or that of the sound)")
    p.add_argument("--loop", action="store_true", help="return to the first seed; without seeds: a noise loop")
    p.add_argument(
        "--interpolation", choices=("linear", "spline", "slerp"), help="between seeds: in w, a curve in w, in z (default: spline)"
    )
    p.add_argument("--easing", choices=("linear", "ease", "bounce", "circular", "hold"), help="between seeds (default: linear)")
    p.add_argument("--psi", type=float, help="truncation: low = near the average, 1 = as trained (default: 0.7)")
    p.add_argument(
        "--set", dest="changes", metavar="ADDRESS=VALUE", action="append", default=[], help="set a parameter; may be given again"
    )
    p.add_argument("--sound", type=Path, help="a sound file that the film has; without a motion and --loop it also drives the pictures")
    p.add_argument("--fps", type=float, help="frames a second (default: 30, or the motion's)")
    p.add_argument("--size", type=int, metavar="PX", help="pixels of the longer side (default: the model's, at least 512)")
    p.add_argument("--preview", action="store_true", help="small and quick: pictures of at most 256 px")
    p.add_argument("--codec", choices=("h264", "h265", "vp9", "prores"), help="of a video (default: by its ending)")
    p.add_argument("--save-motion", type=Path, metavar="FILE", help="also write the motion as JSON, to change it and render it again")
    p.add_argument(
        "-o", "--out", type=Path, default=Path("film.mp4"), help=".mp4, .webm, .mov, .gif, .webp, .zip or a folder (default: film.mp4)"
    )


def run(args: argparse.Namespace) -> None:
    """Render the film. Raises StudioError."""
    from studio.outputs.film_format import film_format

    film_format(args.out, args.codec or "")
    with open_engine(args.device) as engine:
        motion, features = _motion(args, engine)
        if args.save_motion is not None:
            from studio.common.files import atomic_write

            atomic_write(args.save_motion, motion.to_json().encode())
        with percent_line() as show:
            made = motion.render(
                args.out,
                engine,
                sound=args.sound,
                fps=args.fps,
                size=args.size,
                preview=args.preview,
                codec=args.codec or "",
                features=features,
                progress=lambda done, total: show(args.out.name, done, total),
                remark=lambda sentence: print(f"studio: {sentence}", file=sys.stderr),
            )
    print(made)


def _motion(args: argparse.Namespace, engine):
    """The motion, and the features of the sound if they are known."""
    from studio.motion.motion import Motion

    made_here = [f"--{name.replace('_', '-')}" for name in _OF_THE_MOTION if getattr(args, name) is not None]
    made_here += ["--loop"] * args.loop + ["--set"] * bool(args.changes)
    if args.motion is not None:
        if made_here:
            raise StudioError(f"{made_here[0]} is part of the motion.", f"Change it in {args.motion.name}, or leave the motion out.")
        motion = Motion.load(args.motion)
        sound = args.sound or motion.sound_file()
        return motion, _listen(sound) if motion.follows_sound and sound is not None else None
    if args.seeds is None and args.sound is None and not args.loop:
        raise StudioError("There is nothing to make a film of.", "Give a motion.json, --seeds 1,5,9, --loop or --sound FILE.")
    return _made(args, engine)


def _listen(sound: Path):
    """Features of a sound, after a word that it takes a while: librosa is compiled when it is first used."""
    from studio.motion.features import analyse

    if sys.stderr.isatty():
        print(f"Listening to {sound.name} ...", file=sys.stderr)
    return analyse(sound)


def _made(args: argparse.Namespace, engine):
    from studio.engine.parameters import with_settings
    from studio.engine.recipe import Recipe, number
    from studio.latents.seeds import parse_seeds
    from studio.motion.presets import following_sound, noise_loop, through_seeds
    from studio.motion.timing import MAX_SECONDS

    id = model_id(engine, args.model)
    facts = engine.facts(id)
    base = with_settings(Recipe(model=id, psi=0.7 if args.psi is None else args.psi), args.changes, facts)
    seeds = parse_seeds(args.seeds, 4096) if args.seeds is not None else []
    seconds = None if args.seconds is None else number(args.seconds, 0.04, MAX_SECONDS, "The length in seconds")
    if args.sound is not None and not args.loop and args.interpolation is None:
        features = _listen(args.sound)
        motion = following_sound(base, features, args.sound, facts, seeds)
        return motion if seconds is None else motion.replace(duration=seconds), features
    if not seeds:
        return noise_loop(base, seconds or _SECONDS, base.seed), None
    interpolation, easing = args.interpolation or "spline", args.easing or "linear"
    return through_seeds(base, seeds, seconds or _SECONDS, args.loop, interpolation, easing), None
