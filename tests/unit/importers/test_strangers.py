"""Files of other programs: each is named, with a sentence on what to do."""

import io
import struct
import zipfile

import pytest
import torch
from safetensors.torch import save_file

from studio.errors import StudioError
from studio.models.acquire.add import add
from studio.models.importers import import_file, strangers
from studio.models.importers.strangers import STRANGERS
from studio.models.library import Library
from tests.unit.importers.nvidia_pickler import dumps, networks, persist


def zipped(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, "content")
    return buffer.getvalue()


def onnx(producer: bytes = b"pytorch") -> bytes:
    """ir_version, producer_name, producer_version, graph."""
    return b"\x08\x08\x12" + bytes([len(producer)]) + producer + b"\x1a\x052.4.0:\xb0\x01" + bytes(300)


def tensors(*names: str) -> bytes:
    buffer = io.BytesIO()
    torch.save({name: torch.zeros(2, 2) for name in names}, buffer)
    return buffer.getvalue()


def renamed(path: str, name: str) -> bytes:
    """A network pickle, one of whose modules has another class."""
    root = persist(networks(resolution=8, channel_base=32)[0])
    (root.child(path) if path else root).class_name = name
    return dumps({"G_ema": root})


# (name of the file, content) -> what it is, as the table says it
FILES = {
    ("model.tflite", b"\x1c\0\0\0TFL3" + bytes(100)): "is a TensorFlow Lite model",
    ("saved_model.pb", b"\x08\x01\x12\xf0\x01" + bytes(20) + b"serve" + bytes(50)): "is a TensorFlow SavedModel",
    ("dream.onnx", onnx()): "is an ONNX model",
    ("renamed.pth", onnx(b"tf2onnx")): "is an ONNX model",
    ("bare.bin", b"\x08\x07:\xb0\x01" + bytes(300)): "is an ONNX model",
    ("weights.h5", b"\x89HDF\r\n\x1a\n" + bytes(300) + b"keras_version" + bytes(50)): "is a Keras model (HDF5)",
    ("any.h5", b"\x89HDF\r\n\x1a\n" + bytes(900)): "is an HDF5 file",
    ("z.npy", b"\x93NUMPY\x01\0"): "is a numpy array",
    ("a.pth", b"\x89PNG\r\n\x1a\n"): "is a PNG picture",
    ("b.pth", b"\xff\xd8\xff\xe0"): "is a JPEG picture",
    ("c.pth", b"GIF89a"): "is a GIF picture",
    ("d.pth", b"RIFF\0\0\0\0WEBP"): "is a picture, sound or film",
    ("llama.gguf", b"GGUF\3\0\0\0"): "is a GGUF file",
    ("old.bin", b"lmgg" + bytes(60)): "is a file of a language model (GGML)",
    ("net.pkl.gz", b"\x1f\x8b\x08"): "is compressed (gzip)",
    ("net.bz2", b"BZh91AY"): "is compressed (bzip2)",
    ("net.xz", b"\xfd7zXZ\0"): "is compressed (xz)",
    ("net.zst", b"\x28\xb5\x2f\xfd\0"): "is compressed (Zstandard)",
    ("net.7z", b"7z\xbc\xaf\x27\x1c"): "is a 7-Zip archive",
    ("net.rar", b"Rar!\x1a\x07"): "is a RAR archive",
    ("net.tar", b"net.pkl" + bytes(250) + b"ustar\0" + bytes(60)): "is a tar archive",
    ("paper.pdf", b"%PDF-1.7"): "is a PDF document",
    ("setup.exe", b"MZ\x90\0"): "is a program",
    ("train.ipynb", b'{\n "cells": [\n'): "is a notebook of Jupyter",
    ("lfs.pkl", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"): "is a placeholder of Git LFS",
    ("net.xml", b'<?xml version="1.0"?>\n<net name="esrgan" version="11">'): "is the graph of an OpenVINO model",
    ("404.pkl", b"\n<!doctype html><html>"): "is a web page",
    ("jit.pt", zipped("jit/data.pkl", "jit/code/__torch__.py", "jit/constants.pkl")): "is a TorchScript program",
    ("new.keras", zipped("metadata.json", "config.json", "model.weights.h5")): "is a Keras model",
    ("up.zip", zipped("up.mlpackage/Manifest.json", "up.mlpackage/Data/com.apple.CoreML/model.mlmodel")): "is a Core ML model",
    ("module.zip", zipped("gan/saved_model.pb", "gan/variables/variables.index")): "is a TensorFlow SavedModel",
    ("ckpt.zip", zipped("checkpoint", "model-1000.data-00000-of-00001")): "is a checkpoint of TensorFlow",
    ("sd.zip", zipped("sd/model_index.json", "sd/unet/config.json")): "is a diffusion model of Diffusers",
    ("lora.zip", zipped("adapter_config.json", "adapter_model.bin")): "is a LoRA",
    ("gpt.zip", zipped("gpt/tokenizer.json", "gpt/vocab.json")): "is a language model",
    ("tfjs.zip", zipped("model.json", "group1-shard1of2.bin")): "is a TensorFlow.js model",
    ("arrays.npz", zipped("w.npy", "b.npy")): "is a zip of numpy arrays",
    ("app.apk", zipped("AndroidManifest.xml", "classes.dex")): "is an app for Android",
    ("style.pt", tensors("lora_unet_down_blocks_0.lora_up.weight", "lora_unet_down_blocks_0.alpha")): "holds a LoRA",
    ("peft.bin", tensors("base_model.model.unet.to_q.lora_A.weight")): "holds a LoRA",
    ("sd3.pth", tensors("model.diffusion_model.joint_blocks.0.x_block.attn.qkv.weight")): "holds Stable Diffusion 3",
    ("flux1-dev.pth", tensors("double_blocks.0.img_attn.qkv.weight", "img_in.weight")): "holds Flux",
    ("sdxl.ckpt", tensors("model.diffusion_model.input_blocks.0.0.weight", "conditioner.embedders.0.x")): "holds Stable Diffusion XL",
    ("control.pth", tensors("control_model.input_hint_block.0.weight", "control_model.time_embed.0.weight")): "holds a ControlNet",
    ("sd.ckpt", tensors("model.diffusion_model.input_blocks.0.0.weight", "first_stage_model.quant_conv.weight")): "holds Stable Diffusion",
    ("unet.bin", tensors("conv_in.weight", "time_embedding.linear_1.weight")): "holds the network of a diffusion model",
    ("vae.pt", tensors("encoder.conv_in.weight", "post_quant_conv.weight")): "holds the picture coder (VAE)",
    ("word.pt", tensors("emb_params")): "holds a textual inversion",
    ("clip.pt", tensors("text_projection", "visual.conv1.weight")): "holds CLIP",
    ("llm.bin", tensors("model.embed_tokens.weight", "model.layers.0.self_attn.q_proj.weight")): "holds a language model",
    ("GFPGANv1.4.pth", tensors("stylegan_decoder.style_mlp.1.weight", "conv_body_first.weight")): "holds GFPGAN",
    ("codeformer.pth", tensors("quantize.embedding.weight", "position_emb", "ft_layers.0.linear1.weight")): "holds CodeFormer",
    ("rf.pth", tensors("quantize.embedding.weight", "decoder.mid.block_1.conv1.weight")): "holds RestoreFormer",
    ("gpen.pth", tensors("ecd0.0.weight", "final_linear.0.weight")): "holds GPEN",
    ("vqgan.ckpt", tensors("quantize.embedding.weight", "encoder.conv_in.weight")): "holds VQGAN",
    ("aura.bin", tensors("style_network.net.1.weight", "mid_attn.layers.0.0.to_out.weight")): "holds AuraSR",
    ("giga.pt", tensors("style_network.net.1.weight", "init_block")): "holds GigaGAN",
    ("e4e.pt", tensors("encoder.input_layer.0.weight", "decoder.style.1.weight")): "holds an encoder into StyleGAN",
    ("voice.pth", tensors("enc_p.emb_phone.weight", "flow.flows.0.pre.weight")): "holds a model of voices",
    ("u2net.pth", tensors("stage1.rebnconvin.conv_s1.weight")): "holds a model that cuts out",
    ("yolo.pt", tensors("model.0.conv.weight", "model.2.cv1.conv.weight")): "holds a YOLO detector",
    ("resnet.pth", tensors("layer1.0.conv1.weight", "fc.weight")): "holds a classifier",
    ("splat.pt", tensors("_xyz", "_features_dc")): "holds NeRF or Gaussian splats",
    ("optimizer.pt", tensors("exp_avg.0", "exp_avg.1")): "holds the state of an optimizer",
    ("xl.pkl", renamed("", "SuperresGenerator")): "holds StyleGAN-XL",
    ("t.pkl", renamed("synthesis.b4.conv1.affine", "StyleSplit")): "holds StyleGAN-T",
    ("eg3d.pkl", renamed("", "TriPlaneGenerator")): "holds EG3D",
    ("edm.pkl", renamed("", "EDMPrecond")): "holds a diffusion model (EDM)",
    ("other.onnx", bytes(64)): "is an ONNX model",
    ("up.mlmodel", b"\x08\x05\x12\x10\x0a\x02" + bytes(64)): "is a Core ML model",
    ("odd.tflite", bytes(64)): "is a TensorFlow Lite model",
    ("frozen.pb", b"\n\x10\n\x05input" + bytes(64)): "is a TensorFlow graph",
    ("model.ckpt-100.index", bytes(64)): "is a part of a TensorFlow checkpoint",
    ("odd.keras", bytes(64)): "is a Keras model",
    ("flax_model.msgpack", b"\xde\0\x10" + bytes(64)): "is a model of JAX or Flax",
    ("net.pdparams", b"\0\0" + bytes(64)): "is a model of PaddlePaddle",
    ("net.caffemodel", bytes(64)): "is a model of Caffe",
    ("up.engine", b"ftrt" + bytes(64)): "is built for one graphics card",
    ("net.params", b"\x12\x01" + bytes(64)): "is a model of MXNet",
    ("yolo.weights", bytes(64)): "is a detector of Darknet",
}


@pytest.mark.parametrize(("name", "content", "what"), [(*file, what) for file, what in FILES.items()], ids=[name for name, _ in FILES])
def test_it_is_named_and_what_to_do_is_said(tmp_path, name, content, what):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(StudioError) as e:
        import_file(tmp_path / name)
    assert what in e.value.message or what.removeprefix("holds ") in e.value.message
    kind = next(kind for kind in STRANGERS if kind.what.startswith(what) and kind.advice == e.value.hint)
    assert kind.advice.endswith(".")


def test_every_kind_of_the_table_has_its_file_here():
    for kind in STRANGERS:
        assert any(kind.what.startswith(what) for what in FILES.values()), kind.what


def test_of_safetensors_only_the_table_is_read(tmp_path):
    """A checkpoint of Stable Diffusion can be larger than the memory."""
    save_file({"model.diffusion_model.input_blocks.0.0.weight": torch.zeros(4, 4)}, tmp_path / "sd.safetensors")
    with open(tmp_path / "sd.safetensors", "r+b") as f:
        (length,) = struct.unpack("<Q", f.read(8))
        table = f.read(length).replace(b"[4,4]", b"[1073741824,1,1,2]").replace(b"[0,64]", b"[0,8589934592]").rstrip()
        f.seek(0)
        f.write(struct.pack("<Q", len(table)) + table)
        f.truncate(8 + len(table) + (8 << 30))  # a hole: it takes no room on the disk
    with pytest.raises(StudioError, match="holds Stable Diffusion"):
        import_file(tmp_path / "sd.safetensors")


@pytest.mark.parametrize(
    ("names", "what"),
    [
        (("saved_model.pb", "variables/variables.index"), "is a TensorFlow SavedModel"),
        (("model_index.json", "unet/config.json"), "is a diffusion model of Diffusers"),
        (("Manifest.json", "Data/com.apple.CoreML/model.mlmodel"), "is a Core ML model"),
    ],
)
def test_folders_and_zips_are_named_where_they_are_added(tmp_path, studio_home, names, what):
    for name in names:
        (tmp_path / "theirs" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "theirs" / name).write_text("content")
    (tmp_path / "theirs.zip").write_bytes(zipped(*(f"theirs/{name}" for name in names)))
    library = Library([tmp_path / "models"])
    for source in (tmp_path / "theirs", tmp_path / "theirs.zip"):
        with pytest.raises(StudioError, match=what):
            add(source, library)


def test_odd_names_are_no_kind():
    assert strangers.of_tensors(["a" * 4000 + ".lora_", "\0\n" * 200, "\udc80", ""]) is None
    assert strangers.of_parts(["../saved", "a\\b"]) is None


def test_a_real_program_of_torchscript(tmp_path):
    torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)), tmp_path / "traced.pt")
    with pytest.raises(StudioError, match="is a TorchScript program") as e:
        import_file(tmp_path / "traced.pt")
    assert "weights alone" in e.value.hint
