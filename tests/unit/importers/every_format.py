"""A small file of each foreign format, to import them all and look at the studio afterwards."""

import json
from collections.abc import Callable
from pathlib import Path

import torch

from tests.conftest import GOLDEN
from tests.unit.importers import lucidrains_layout, rosinality_layout
from tests.unit.importers.dcgan_layout import example
from tests.unit.importers.ncnn_files import write_srvgg
from tests.unit.importers.official_translators import official
from tests.unit.importers.test_animegan2 import weights as animegan2_weights
from tests.unit.importers.test_biggan_variants import weights as biggan_weights
from tests.unit.importers.test_pix2pixhd import plain as plain_pix2pixhd
from tests.unit.networks.test_super_resolution import make


def golden(name: str, file: str) -> Callable[[Path], Path]:
    return lambda folder: GOLDEN / name / file


def saved(content: Callable[[], object], name: str) -> Callable[[Path], Path]:
    def save(folder: Path) -> Path:
        torch.save(content(), folder / name)
        return folder / name

    return save


def of_lucidrains(folder: Path) -> Path:
    (folder / ".config.json").write_text(json.dumps({"lr_mlp": 0.1}))
    return saved(lucidrains_layout.checkpoint, "model_3.pt")(folder)


def of_ncnn(folder: Path) -> Path:
    write_srvgg(make("srvgg", scale=2)).save(folder / "drawings")
    return folder / "drawings.param"


def of_spandrel() -> dict[str, torch.Tensor]:
    from spandrel.architectures.DnCNN import DnCNN

    torch.manual_seed(0)
    return DnCNN(in_nc=1, out_nc=1, nc=8, nb=4, mode="R").state_dict()


# importer -> {what: writes a file into a folder and returns its path}
FORMATS: dict[str, dict[str, Callable[[Path], Path]]] = {
    "nvidia": {
        "StyleGAN2": golden("stylegan2-ada-uncond-64", "network-full.pkl"),
        "StyleGAN2 with classes": golden("stylegan2-ada-cond5-32", "network-full.pkl"),
        "StyleGAN3": golden("stylegan3-t-64", "network-full.pkl"),
    },
    "rosinality": {"StyleGAN2": saved(rosinality_layout.checkpoint, "rosinality.pt")},
    "lucidrains": {
        "StyleGAN2": of_lucidrains,
        "transparent": saved(lambda: lucidrains_layout.checkpoint(transparent=True, no_const=True), "model_4.pt"),
    },
    "dcgan": {"DCGAN": saved(lambda: example(doublings=3).state_dict(), "netG_epoch_24.pth")},
    "biggan": {
        "BigGAN": golden("biggan-64-hier", "G_ema.pth"),
        "BigGAN-deep": saved(lambda: biggan_weights(deep=True), "G_ema_best.pth"),
    },
    "fastgan": {"FastGAN": golden("fastgan-lite-128", "G_ema.pth")},
    "r3gan": {"R3GAN": golden("r3gan-32", "network-full.pkl")},
    "pix2pixhd": {"pix2pixHD": saved(lambda: plain_pix2pixhd(3, 1).state_dict(), "hd_net_G.pth")},
    "animegan2": {"AnimeGANv2": saved(animegan2_weights, "hayao.pt")},
    "cyclegan": {
        "ResNet": saved(lambda: official("resnet_6blocks", "instance").state_dict(), "horses_net_G.pth"),
        "CUT": golden("cut-resnet9-antialias", "latest_net_G.pth"),
        "U-Net": saved(lambda: official("unet_128", "batch").state_dict(), "facades_net_G.pth"),
    },
    "upscalers": {
        "ESRGAN": saved(lambda: make("rrdb", scale=2, doublings=1, blocks=1).state_dict(), "esrgan.pth"),
        "compact": saved(lambda: make("srvgg", scale=2).state_dict(), "compact.pth"),
        "a restorer of spandrel": saved(of_spandrel, "dncnn.pth"),
    },
    "ncnn": {"compact": of_ncnn},
}
