"""Writes our upscalers as ncnn's two files, in the ways in which converters write them."""

import struct
from collections import Counter

import numpy as np
import torch


def weight_bytes(tensor: torch.Tensor, half: bool) -> bytes:
    """With the tag that tells the precision, in steps of four bytes."""
    data = tensor.detach().numpy().astype("<f2" if half else "<f4").tobytes()
    return struct.pack("<I", 0x01306B47 if half else 0) + data + b"\0" * (-len(data) % 4)


class Writer:
    """layer(kind, inputs, numbers) -> the blob it makes; text and data hold the files."""

    def __init__(self, half: bool = False):
        self.half, self.lines, self.data = half, ["Input in 0 1 data"], b""

    def layer(self, kind: str, inputs: list[str], numbers: str = "") -> str:
        blob = f"b{len(self.lines)}"
        self.lines.append(f"{kind} l{len(self.lines)} {len(inputs)} 1 {' '.join(inputs)} {blob} {numbers}")
        return blob

    def conv(self, conv: torch.nn.Conv2d, x: str, slope: float | None = None, own: bool = False) -> str:
        """slope: of an activation, within the line or, when `own`, in one of its own."""
        w = conv.weight
        within = "" if slope is None or own else (f" 9=2 -23310=1,{slope:e}" if slope else " 9=1")
        y = self.layer("Convolution", [x], f"0={w.shape[0]} 1=3 4=1 5=1 6={w.numel()}{within}")
        self.data += weight_bytes(w, self.half) + conv.bias.detach().numpy().astype("<f4").tobytes()
        return y if slope is None or not own else self.layer("ReLU", [y], f"0={slope:e}")

    def scaled_sum(self, a: str, b: str, share: float, eltwise: bool) -> str:
        """share * a + b"""
        if eltwise:
            return self.layer("Eltwise", [a, b], f"0=1 -23301=2,{share:e},1.000000e+00")
        return self.layer("BinaryOp", [b, self.layer("BinaryOp", [a], f"0=2 1=1 2={share:e}")], "0=0")

    def text(self, splits: bool = True) -> str:
        """splits: what is read more than once has a line of its own that copies it, as ncnn wants it."""
        lines, names = [line.split() for line in self.lines], {}
        readers = Counter(blob for words in lines for blob in words[4 : 4 + int(words[2])])
        out, blobs = [], len(lines)
        for words in lines:
            for i in range(4, 4 + int(words[2])):
                if splits and readers[words[i]] > 1:
                    words[i] = names[words[i]].pop(0)
            out.append(" ".join(words) + " ")
            made = words[4 + int(words[2])]
            if splits and readers[made] > 1:
                names[made] = [f"{made}_{i}" for i in range(readers[made])]
                out.append(f"Split s{len(out)} 1 {len(names[made])} {made} {' '.join(names[made])}")
                blobs += len(names[made])
        return "\n".join(["7767517", f"{len(out)} {blobs}", *out]) + "\n"

    def save(self, path, splits: bool = True) -> None:
        path.with_suffix(".param").write_text(self.text(splits))
        path.with_suffix(".bin").write_bytes(self.data)


def write_rrdb(network, half: bool = False, other_way: bool = False) -> Writer:
    """other_way: activations and products in lines of their own."""
    out = Writer(half)

    def conv(layer, x, slope=None):
        return out.conv(layer, x, slope, other_way)

    first = x = conv(network.conv_first, "data")
    for block in network.body:
        before = x
        for dense in (block.rdb1, block.rdb2, block.rdb3):
            seen = [x]
            for layer in (dense.conv1, dense.conv2, dense.conv3, dense.conv4):
                seen.append(conv(layer, out.layer("Concat", seen, "0=0") if len(seen) > 1 else x, 0.2))
            x = out.scaled_sum(conv(dense.conv5, out.layer("Concat", seen)), x, 0.2, not other_way)
        x = out.scaled_sum(x, before, 0.2, not other_way)
    x = out.layer("BinaryOp", [conv(network.conv_body, x), first] if other_way else [first, conv(network.conv_body, x)], "0=0")
    for i in range(network.config.doublings):
        x = conv(getattr(network, f"conv_up{i + 1}"), out.layer("Interp", [x], "0=1 1=2.0 2=2.0"), 0.2)
    conv(network.conv_last, conv(network.conv_hr, x, 0.2))
    return out


def write_srvgg(network, half: bool = False, other_way: bool = False) -> Writer:
    """other_way: the picture is enlarged first, and the activations have lines of their own."""
    out, config = Writer(half), network.config
    drawn = network.drawn

    def enlarged() -> str:
        return out.layer("Interp", ["data"], f"0=1 1={drawn}.0 2={drawn}.0")

    base, x = enlarged() if other_way else None, "data"
    convs, slope = list(network.body), {"relu": 0.0, "leakyrelu": 0.1}.get(config.act)
    for i, layer in enumerate(convs):
        if isinstance(layer, torch.nn.Conv2d):
            x = out.conv(layer, x, slope if i + 1 < len(convs) else None, other_way)
        elif config.act == "prelu":
            x = out.layer("PReLU", [x], f"0={config.width}")
            out.data += layer.weight.detach().numpy().astype("<f4").tobytes()
    x = out.layer("BinaryOp", [out.layer("PixelShuffle", [x], f"0={drawn}"), base or enlarged()])
    if drawn != config.scale:
        share = config.scale / drawn
        out.layer("Interp", [x], f"0=3 1={share:e} 2={share:e}")
    return out


def run(path, x: np.ndarray) -> np.ndarray:
    """What ncnn itself makes of (C, H, W) in [0, 1]."""
    import ncnn

    net = ncnn.Net()
    net.opt.use_vulkan_compute, net.opt.num_threads = False, 1
    for option in ("use_fp16_arithmetic", "use_fp16_storage", "use_fp16_packed", "use_bf16_storage"):
        setattr(net.opt, option, False)
    assert net.load_param(str(path.with_suffix(".param"))) == 0
    assert net.load_model(str(path.with_suffix(".bin"))) == 0
    picture = ncnn.Mat(np.ascontiguousarray(x, dtype=np.float32)).clone()
    extractor = net.create_extractor()
    extractor.input("data", picture)
    last = path.with_suffix(".param").read_text().splitlines()[-1].split()
    status, out = extractor.extract(last[4 + int(last[2])])
    assert status == 0
    return np.array(out).copy()
