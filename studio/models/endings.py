"""Endings of the checkpoint files that can be imported. Importers go by what is in a file; these serve to find and to name it."""

CHECKPOINT_ENDINGS = (".pkl", ".pth", ".pt", ".ckpt", ".safetensors", ".bin", ".param")


def endings_in_words(last: str = "or", endings: tuple[str, ...] = CHECKPOINT_ENDINGS) -> str:
    """The endings as a sentence lists them: '.pkl, .pth or .bin'."""
    return f"{', '.join(endings[:-1])} {last} {endings[-1]}"
