"""Files that cannot be imported, named by their signatures, with a sentence each on what to do with them.

A signature is the first bytes of a file, the names of the parts of a zip or folder, the names of tensors, the modules of a network
pickle, or, when nothing in the file says more, the ending of its name. Nothing of a file is run, and nothing is read but these.
"""

import codecs
import itertools
import re
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from studio.common.archives import directory_bytes

_MAX_DIRECTORY = 8 << 20  # bytes of a zip's list of parts
_MAX_NAMES = 20_000  # tensors or files that are looked at
_TO_PYTORCH = "Ask its author for the PyTorch weights from which it was converted; those may be importable."
_DIFFUSION = (
    "A diffusion model needs a program for those, such as ComfyUI or Diffusers; here, GANs, translators and upscalers are imported."
)
_LANGUAGE = "It is for a program of language models; here, GANs, translators and upscalers are imported."
_UNPACK = "Unpack it, then import the checkpoint inside."
_AGAIN = "Download it again, from the page's download link and not from the page's own address."
_NO_MODEL = "Choose the checkpoint of a GAN, translator or upscaler."
_FACES = "Restorers of faces work on faces that another program has found and cut out; use it with GFPGAN's own program or chaiNNer."


@dataclass(frozen=True)
class Stranger:
    """A kind of file that is recognised and cannot be imported.

    what: the end of the sentence "The file ...", such as 'is an ONNX model'.  advice: what to do, one sentence.
    head: pattern that the first 1,024 bytes match from the start.  ending: pattern that the end of the lower-case file name matches.
    parts, tensors, modules: patterns, each of which must match a name from its start: of a part of a zip or folder ('/' between
    folders), of a tensor, of a module or class of a network pickle.
    if_unread: of tensors that may be readable all the same; it is asked only after every importer has refused them.
    """

    what: str
    advice: str
    head: bytes = b""
    ending: str = ""
    parts: tuple[str, ...] = ()
    tensors: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    if_unread: bool = False


_PREFIX = r"(?:module\.|model\.|state_dict\.|net\.)?"

STRANGERS: tuple[Stranger, ...] = (
    # -- by their first bytes ----------------------------------------------------------------------------------------
    Stranger("is a TensorFlow Lite model", _TO_PYTORCH, head=rb"(?s).{4}TFL3"),
    Stranger("is a TensorFlow SavedModel", _TO_PYTORCH, head=rb"(?s)\x08\x01\x12.{1,600}serve"),
    Stranger("is an ONNX model", _TO_PYTORCH, head=rb"(?s)\x08[\x03-\x14](?:\x12[\x01-\x30][\x20-\x7e]+[\x1a\x22\x28\x32\x3a]|\x3a)"),
    Stranger(
        "is a Keras model (HDF5)", _TO_PYTORCH, head=rb"(?s)\x89HDF\r\n.*(?:keras|model_weights|layer_names|optimizer_weights|_self_ex)"
    ),
    Stranger("is an HDF5 file, as Keras writes it", _TO_PYTORCH, head=rb"\x89HDF\r\n"),
    Stranger("is a numpy array", "Pictures from it can be made in Python; as a model it says too little.", head=rb"\x93NUMPY"),
    Stranger("is a PNG picture", _NO_MODEL, head=rb"\x89PNG\r\n"),
    Stranger("is a JPEG picture", _NO_MODEL, head=rb"\xff\xd8\xff"),
    Stranger("is a GIF picture", _NO_MODEL, head=rb"GIF8"),
    Stranger("is a picture, sound or film (RIFF)", _NO_MODEL, head=rb"RIFF"),
    Stranger("is a GGUF file of a language or diffusion model", _DIFFUSION, head=rb"GGUF"),
    Stranger("is a file of a language model (GGML)", _LANGUAGE, head=rb"lmgg|tjgg|fmgg|algg"),
    Stranger("is compressed (gzip)", _UNPACK, head=rb"\x1f\x8b"),
    Stranger("is compressed (bzip2)", _UNPACK, head=rb"BZh"),
    Stranger("is compressed (xz)", _UNPACK, head=rb"\xfd7zXZ"),
    Stranger("is compressed (Zstandard)", _UNPACK, head=rb"\x28\xb5\x2f\xfd"),
    Stranger("is a 7-Zip archive", _UNPACK, head=rb"7z\xbc\xaf"),
    Stranger("is a RAR archive", _UNPACK, head=rb"Rar!"),
    Stranger("is a tar archive", _UNPACK, head=rb"(?s).{257}ustar"),
    Stranger("is a PDF document", _NO_MODEL, head=rb"%PDF"),
    Stranger("is a program", _NO_MODEL, head=rb"MZ|\x7fELF|\xcf\xfa\xed\xfe"),
    Stranger(
        "is a notebook of Jupyter", "Run it where its code belongs, and import the checkpoint that it writes.", head=rb'\s*\{\s*"cells"'
    ),
    Stranger(
        "is a placeholder of Git LFS, not the checkpoint itself",
        "Run 'git lfs pull' in the repository, or download the file from its page.",
        head=rb"version https://git-lfs",
    ),
    Stranger("is the graph of an OpenVINO model", _TO_PYTORCH, head=rb"(?s)\s*(?:<\?xml[^>]*>)?\s*<net\s"),
    Stranger(
        "is a web page, not a checkpoint: the download went wrong",
        _AGAIN,
        head=rb"(?si)(?:\xef\xbb\xbf)?\s*(?:<!doctype|<html|<head|<\?xml|<error)",
    ),
    # -- by the parts of a zip or folder -----------------------------------------------------------------------------
    Stranger(
        "is a TorchScript program, which would have to be run",
        "Ask its author for the weights alone (a state_dict); the studio runs no program from a file.",
        parts=(r"(?:[^/]+/)?code/", r"(?:[^/]+/)?constants\.pkl$"),
    ),
    Stranger("is a Keras model", _TO_PYTORCH, parts=(r"metadata\.json$", r"model\.weights\.h5$")),
    Stranger("is a Core ML model", _TO_PYTORCH, parts=(r"(?:[^/]+/)?Manifest\.json$", r"(?:[^/]+/)?Data/com\.apple\.CoreML/")),
    Stranger("is a TensorFlow SavedModel", _TO_PYTORCH, parts=(r"(?:.*/)?saved_model\.pb(?:txt)?$",)),
    Stranger("is a checkpoint of TensorFlow", _TO_PYTORCH, parts=(r"(?:.*/)?[^/]+\.data-\d{5}-of-\d{5}$",)),
    Stranger("is a diffusion model of Diffusers", _DIFFUSION, parts=(r"(?:[^/]+/)?model_index\.json$",)),
    Stranger("is a LoRA, an addition to another model", _DIFFUSION, parts=(r"(?:[^/]+/)?adapter_config\.json$",)),
    Stranger("is a language model", _LANGUAGE, parts=(r"(?:[^/]+/)?tokenizer(?:_config)?\.json$",)),
    Stranger("is a TensorFlow.js model", _TO_PYTORCH, parts=(r"(?:[^/]+/)?model\.json$", r"(?:[^/]+/)?group1-shard\d")),
    Stranger(
        "is a zip of numpy arrays",
        "As a model it says too little; import the checkpoint that they were taken from.",
        parts=(r"[^/]+\.npy$",),
    ),
    Stranger("is an app for Android", _NO_MODEL, parts=(r"AndroidManifest\.xml$",)),
    # -- by the names of tensors -------------------------------------------------------------------------------------
    Stranger(
        "holds a LoRA, an addition to a diffusion model",
        _DIFFUSION,
        tensors=(r"lora_(?:unet|te|transformer)|.*\.lora_(?:A|B|up|down)\b|.*\.(?:hada_w1_a|lokr_w1)|.*_lora\.(?:up|down)\.",),
    ),
    Stranger("holds Stable Diffusion 3", _DIFFUSION, tensors=(r"(?:model\.diffusion_model\.)?joint_blocks\.0\.",)),
    Stranger(
        "holds Flux, a diffusion model",
        _DIFFUSION,
        tensors=(r"(?:model\.diffusion_model\.)?(?:double_blocks\.0\.img_attn|single_transformer_blocks\.0\.|single_blocks\.0\.linear1)",),
    ),
    Stranger(
        "holds Stable Diffusion XL",
        _DIFFUSION,
        tensors=(r"model\.diffusion_model\.input_blocks\.0\.", r"conditioner\.embedders\.|.*label_emb\.0\.0\."),
    ),
    Stranger(
        "holds a ControlNet, an addition to a diffusion model",
        _DIFFUSION,
        tensors=(r"(?:control_model\.)?(?:input_hint_block|zero_convs|controlnet_cond_embedding|controlnet_down_blocks)\.",),
    ),
    Stranger("holds Stable Diffusion", _DIFFUSION, tensors=(r"model\.diffusion_model\.",)),
    Stranger(
        "holds the network of a diffusion model",
        _DIFFUSION,
        tensors=(r"time_embedding\.linear_1|time_embed\.0\.|denoise_fn\.|transformer_blocks\.0\.attn\d?\.",),
    ),
    Stranger(
        "holds the picture coder (VAE) of a diffusion model", _DIFFUSION, tensors=(r"(?:first_stage_model\.|vae\.)?(?:post_)?quant_conv\.",)
    ),
    Stranger("holds a textual inversion of Stable Diffusion", _DIFFUSION, tensors=(r"emb_params$|clip_[lg]$|string_to_param",)),
    Stranger(
        "holds CLIP, which reads texts and pictures",
        _DIFFUSION,
        tensors=(r"(?:text_model\.|text_projection|token_embedding\.weight|visual\.conv1)",),
    ),
    Stranger(
        "holds a language model",
        _LANGUAGE,
        tensors=(r"(?:model\.)?(?:layers\.0\.self_attn\.q_proj|embed_tokens)|transformer\.h\.0\.|(?:bert\.)?embeddings\.word_embeddings",),
    ),
    Stranger("holds GFPGAN, a restorer of faces", _FACES, tensors=(_PREFIX + r"stylegan_decoder\.", _PREFIX + r"conv_body_first\.")),
    Stranger(
        "holds CodeFormer, a restorer of faces",
        _FACES,
        tensors=(_PREFIX + r"quantize\.embedding\.weight", _PREFIX + r"position_emb$|.*ft_layers\.0\."),
    ),
    Stranger(
        "holds RestoreFormer, a restorer of faces",
        _FACES,
        tensors=(_PREFIX + r"quantize\.embedding\.weight", _PREFIX + r"decoder\.mid\.block_1\."),
    ),
    Stranger("holds GPEN or another restorer of faces", _FACES, tensors=(_PREFIX + r"ecd0\.0\.",)),
    Stranger(
        "holds VQGAN, which codes pictures",
        "It has no noise to draw from without a second model; use it with its own program.",
        tensors=(_PREFIX + r"quantize\.embedding\.weight",),
    ),
    Stranger(
        "holds AuraSR, an upscaler of GigaGAN's kind that cannot be read here",
        "Use it with its own package aura-sr, or import an ESRGAN or SwinIR upscaler here.",
        tensors=(r"(?:upsampler\.)?style_network\.", r"(?:upsampler\.)?(?:mid_attn|mid_block1|final_res_block)\."),
        if_unread=True,
    ),
    Stranger(
        "holds GigaGAN",
        "Its published code draws from texts; use it with its own program.",
        tensors=(r"(?:G\.|G_ema\.)?style_network\.",),
        if_unread=True,
    ),
    Stranger(
        "holds an encoder into StyleGAN (pSp, e4e or ReStyle)",
        "Import the StyleGAN2 checkpoint that it was trained for; finding a photo's place in it is not part of this studio.",
        tensors=(r"encoder\.(?:input_layer|body)\.", r"decoder\.|latent_avg"),
    ),
    Stranger("holds a model of voices (RVC, VITS)", _NO_MODEL, tensors=(r"enc_p\.|dec\.cond\.", r"flow\.flows\.")),
    Stranger("holds a model that cuts out (U2-Net, SAM)", _NO_MODEL, tensors=(r"stage1\.rebnconvin\.|image_encoder\.patch_embed\.",)),
    Stranger("holds a YOLO detector", _NO_MODEL, tensors=(r"model\.\d+\.(?:cv\d\.|conv\.weight|m\.0\.cv1)",), if_unread=True),
    Stranger(
        "holds a classifier or a part of a metric (ResNet, VGG, Inception)",
        _NO_MODEL,
        tensors=(r"fc\.weight|classifier\.(?:0|6)\.weight|Mixed_5b\.|head\.weight", r"layer1\.0\.conv1|features\.0\.|Conv2d_1a_3x3|stem\."),
        if_unread=True,
    ),
    Stranger(
        "holds NeRF or Gaussian splats, which are scenes", _NO_MODEL, tensors=(r"_?xyz$|pts_linears\.0\.|.*hash_table",), if_unread=True
    ),
    Stranger(
        "holds the state of an optimizer, not a network",
        "Import the file of the generator beside it (G_ema, netG or params_ema).",
        tensors=(r"param_groups|exp_avg",),
        if_unread=True,
    ),
    # -- by the modules of a network pickle --------------------------------------------------------------------------
    Stranger(
        "holds StyleGAN-XL",
        "Its networks of several stages are not part of this studio; StyleGAN3's are imported.",
        modules=(r"SuperresGenerator$|mapping\.embed_proj$|.*\.embed_proj$",),
    ),
    Stranger(
        "holds StyleGAN-T, which draws from texts",
        "It needs a reader of texts beside it; use it with its own program.",
        modules=(r"StyleSplit$|mapping\.clip$",),
    ),
    Stranger(
        "holds EG3D, which draws scenes in three dimensions",
        "Use it with its own program; StyleGAN2 and 3 are imported here.",
        modules=(r"TriPlaneGenerator$|ImportanceRenderer$|OSGDecoder$",),
    ),
    Stranger("holds a diffusion model (EDM)", _DIFFUSION, modules=(r"(?:EDM|VP|VE|iDDPM)Precond$|SongUNet$|DhariwalUNet$",)),
    # -- by the ending of the name, last ------------------------------------------------------------------------------
    Stranger("is an ONNX model", _TO_PYTORCH, ending=r"\.onnx"),
    Stranger("is a Core ML model", _TO_PYTORCH, ending=r"\.ml(?:model|package|modelc)"),
    Stranger("is a TensorFlow Lite model", _TO_PYTORCH, ending=r"\.tflite"),
    Stranger("is a TensorFlow graph", _TO_PYTORCH, ending=r"\.pb(?:txt)?"),
    Stranger(
        "is a part of a TensorFlow checkpoint", _TO_PYTORCH, ending=r"\.ckpt[\w.-]*\.(?:index|meta)|\.data-\d{5}-of-\d{5}|/checkpoint"
    ),
    Stranger("is a Keras model", _TO_PYTORCH, ending=r"\.(?:keras|h5|hdf5)"),
    Stranger("is a model of JAX or Flax", _TO_PYTORCH, ending=r"\.(?:msgpack|flax|orbax)"),
    Stranger("is a model of PaddlePaddle", _TO_PYTORCH, ending=r"\.(?:pdparams|pdmodel|pdiparams)"),
    Stranger("is a model of Caffe", _TO_PYTORCH, ending=r"\.(?:caffemodel|prototxt)"),
    Stranger("is built for one graphics card (TensorRT)", _TO_PYTORCH, ending=r"\.(?:engine|trt|plan)"),
    Stranger("is a model of MXNet", _TO_PYTORCH, ending=r"\.params"),
    Stranger("is a detector of Darknet", _NO_MODEL, ending=r"\.weights"),
)


def of_head(head: bytes, name: str = "") -> Stranger | None:
    """The kind of a file by its first bytes and, when they say nothing, by the ending of its name."""
    for kind in STRANGERS:
        if kind.head and re.match(kind.head, head):
            return kind
    return next((k for k in STRANGERS if k.ending and re.search(rf"(?:{k.ending})$", f"/{name[-200:].lower()}")), None)


def of_parts(names: Iterable[str]) -> Stranger | None:
    """The kind of a zip or folder by the names of its files, with '/' between folders."""
    return _by_names("parts", names)


def of_tensors(names: Iterable[str], unread: bool = False) -> Stranger | None:
    """The kind of weights by the names of their tensors.  unread: no importer could read them."""
    found = _by_names("tensors", names)
    return found if found is None or unread or not found.if_unread else None


def of_modules(classes: Mapping[str, str]) -> Stranger | None:
    """The kind of a network pickle by its modules.  classes: path of a module -> name of its class."""
    return _by_names("modules", [*classes, *classes.values()])


def of_zip(path: Path) -> Stranger | None:
    """The kind of a zip by the names of its parts; None when it cannot be listed."""
    try:
        if directory_bytes(path) > _MAX_DIRECTORY:
            return None
        with zipfile.ZipFile(path) as archive:
            return of_parts(archive.namelist())
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile):
        return None


def of_folder(path: Path) -> Stranger | None:
    """The kind of a folder by the names of its files, down to two folders deep; None when it cannot be listed."""
    try:
        names = [
            p.relative_to(path).as_posix() for p in itertools.islice(itertools.chain(*map(path.glob, ("*", "*/*", "*/*/*"))), _MAX_NAMES)
        ]
    except (OSError, ValueError):
        return None
    ending = of_head(b"", path.name)
    return of_parts(names) or (ending if ending and ending.ending else None)


def _by_names(what: str, names: Iterable[str]) -> Stranger | None:
    names = [name[:400].replace("\\", "/") for name, _ in zip(names, range(_MAX_NAMES), strict=False) if isinstance(name, str)]
    for kind in STRANGERS:
        patterns = getattr(kind, what)
        if patterns and all(any(re.match(pattern, name) for name in names) for pattern in patterns):
            return kind
    return None


def in_words(head: bytes) -> str:
    """What a file seems to be whose kind is not known, as the end of the sentence "The file ...", from its first bytes."""
    if head.startswith(b"PK\x03\x04"):
        return "is a zip archive"
    try:
        codecs.utf_8_decode(head, "strict", False)  # a character may be cut at the end
    except UnicodeDecodeError:
        return "is of an unknown kind"
    return "is of an unknown kind" if b"\0" in head else "is text, not a checkpoint"
