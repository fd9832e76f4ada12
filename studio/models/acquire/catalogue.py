"""Catalogue of well-known public checkpoints that the studio can import."""

from dataclasses import dataclass

_NVIDIA_ADA = "NVIDIA Source Code License for StyleGAN2-ADA"
_NVIDIA_3 = "NVIDIA Source Code License for StyleGAN3"
_ADA = "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/"
_ADA_PAGE = "https://github.com/NVlabs/stylegan2-ada-pytorch"
_ESRGAN = "https://github.com/xinntao/Real-ESRGAN/releases/download/"
_ESRGAN_PAGE = "https://github.com/xinntao/Real-ESRGAN"
_CYCLEGAN = "https://efrosgans.eecs.berkeley.edu/cyclegan/pretrained_models/"
_CYCLEGAN_PAGE = "https://github.com/junyanz/pytorch-CycleGAN-and-pix2pix"


@dataclass(frozen=True)
class CatalogueModel:
    """A published checkpoint.

    source: URL or Hub repository, as `add` takes it.  name: in the library.  licence: as its authors state it, '' = not stated.
    nbytes, sha256: None where not known for certain; later downloads must then match the checksum of the first.
    page: its home page.  sentence: what it generates or does.
    """

    title: str
    family: str
    source: str
    name: str
    licence: str
    nbytes: int | None
    sha256: str | None
    page: str
    sentence: str


CATALOGUE: tuple[CatalogueModel, ...] = (
    CatalogueModel(
        "Faces (FFHQ)",
        "stylegan2",
        _ADA + "ffhq.pkl",
        "ffhq",
        _NVIDIA_ADA,
        381_624_121,
        "a205a346e86a9ddaae702e118097d014b7b8bd719491396a162cca438f2f524c",
        _ADA_PAGE,
        "Photographs of faces of people who do not exist, 1024 pixels wide.",
    ),
    CatalogueModel(
        "Faces in art (MetFaces)",
        "stylegan2",
        _ADA + "metfaces.pkl",
        "metfaces",
        _NVIDIA_ADA,
        None,
        None,
        _ADA_PAGE,
        "Portraits like those of paintings and sculptures in museums, 1024 pixels wide.",
    ),
    CatalogueModel(
        "Wild animals (AFHQ)",
        "stylegan2",
        _ADA + "afhqwild.pkl",
        "afhqwild",
        _NVIDIA_ADA,
        None,
        None,
        _ADA_PAGE,
        "Faces of lions, tigers, foxes, wolves and the like, 512 pixels wide.",
    ),
    CatalogueModel(
        "Faces that move smoothly (FFHQ)",
        "stylegan3",
        "https://api.ngc.nvidia.com/v2/models/nvidia/research/stylegan3/versions/1/files/stylegan3-t-ffhq-1024x1024.pkl",
        "stylegan3-t-ffhq",
        _NVIDIA_3,
        294_775_112,
        "efd9fa1f967a11b5390399a8ed512dc32e341c245fa2d4dafa6d94e96222085b",
        "https://github.com/NVlabs/stylegan3",
        "Faces for films: their skin and hair move with them, 1024 pixels wide.",
    ),
    CatalogueModel(
        "A thousand kinds of things (ImageNet)",
        "biggan",
        "osanseviero/BigGAN-deep-128",
        "biggan-deep-128",
        "",
        None,
        None,
        "https://huggingface.co/osanseviero/BigGAN-deep-128",
        "BigGAN-deep: animals, plants, dishes, vehicles and more, each by its name, 128 pixels wide.",
    ),
    CatalogueModel(
        "Horse to zebra",
        "cyclegan",
        _CYCLEGAN + "horse2zebra.pth",
        "horse2zebra",
        "BSD-2-Clause",
        None,
        None,
        _CYCLEGAN_PAGE,
        "Paints stripes on the horses of a photograph.",
    ),
    CatalogueModel(
        "Upscaler for photographs (Real-ESRGAN x4)",
        "rrdb",
        _ESRGAN + "v0.1.0/RealESRGAN_x4plus.pth",
        "realesrgan-x4plus-pth",
        "BSD-3-Clause",
        67_040_989,
        "4fa0d38905f75ac06eb49a7951b426670021be3018265fd191d2125df9d682f1",
        _ESRGAN_PAGE,
        "Upscales photographs four times and repairs compression damage.",
    ),
    CatalogueModel(
        "Upscaler for drawings (Real-ESRGAN x4)",
        "rrdb",
        _ESRGAN + "v0.2.2.4/RealESRGAN_x4plus_anime_6B.pth",
        "realesrgan-x4plus-anime-pth",
        "BSD-3-Clause",
        17_938_799,
        "f872d837d3c90ed2e05227bed711af5671a6fd1c9f7d7e91c911a61f155e99da",
        _ESRGAN_PAGE,
        "Upscales drawings four times, with clean lines.",
    ),
    CatalogueModel(
        "Quick upscaler for everything (Real-ESRGAN x4)",
        "srvgg",
        _ESRGAN + "v0.2.5.0/realesr-general-x4v3.pth",
        "realesr-general-x4v3",
        "BSD-3-Clause",
        4_885_111,
        "8dc7edb9ac80ccdc30c3a5dca6616509367f05fbc184ad95b731f05bece96292",
        _ESRGAN_PAGE,
        "A small network that upscales pictures of any kind four times, in a fraction of the time.",
    ),
)
