"""PNG files written row by row, so that a picture may be larger than memory."""

import struct
import zlib
from collections.abc import Iterable
from typing import BinaryIO

import numpy as np

_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}  # channels -> grey, grey and alpha, RGB, RGBA (PNG specification, Table 11.1)
_CHUNK = 1 << 20  # bytes of compressed pixels a chunk


class PngWriter:
    """Writer of a PNG of 8 or 16 bits a channel. Close it when all rows are written.

    file: opened for bytes.  channels: 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA.  dtype: uint8 or uint16.  profile: ICC.
    texts: (key, text) of its metadata.  dpi: dots per inch in print; 0 = not stated.  exif: a block of EXIF; b'' = none.
    """

    def __init__(
        self,
        file: BinaryIO,
        width: int,
        height: int,
        channels: int,
        dtype: np.dtype,
        profile: bytes | None = None,
        texts: Iterable[tuple[str, str]] = (),
        dpi: float = 0,
        exif: bytes = b"",
    ):
        self._file, self._shape, self._left = file, (width, channels), height
        self._bytes = np.dtype(dtype).itemsize
        self._pixel = self._bytes * channels
        self._above = np.zeros(width * self._pixel, np.uint8)
        # Filtered rows differ little from 0; level 6 takes a third of the time of 9 for files a few percent larger.
        self._pack, self._packed = zlib.compressobj(6, strategy=zlib.Z_FILTERED), bytearray()
        file.write(b"\x89PNG\r\n\x1a\n")
        self._chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8 * self._bytes, _COLOUR_TYPES[channels], 0, 0, 0))
        if profile:
            self._chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(profile))
        if dpi:
            per_metre = round(dpi / 0.0254)
            self._chunk(b"pHYs", struct.pack(">IIB", per_metre, per_metre, 1))
        if exif:
            self._chunk(b"eXIf", exif.removeprefix(b"Exif\0\0"))
        for key, text in texts:
            self._chunk(b"iTXt", key.encode("latin-1") + b"\0\0\0\0\0" + text.encode())

    def write(self, rows: np.ndarray) -> None:
        """Write the next rows, (n, width, channels) of the dtype."""
        assert rows.shape[1:] == self._shape
        assert len(rows) <= self._left
        assert rows.dtype.itemsize == self._bytes
        self._left -= len(rows)
        lines = np.ascontiguousarray(rows.astype(">u2") if self._bytes == 2 else rows).view(np.uint8).reshape(len(rows), -1)
        self._packed += self._pack.compress(self._filtered(lines).tobytes())
        while len(self._packed) >= _CHUNK:
            self._chunk(b"IDAT", bytes(self._packed[:_CHUNK]))
            del self._packed[:_CHUNK]

    def close(self) -> None:
        """Write the end of the PNG. The file stays open."""
        assert self._left == 0, f"{self._left} rows are missing"
        self._packed += self._pack.flush()
        self._chunk(b"IDAT", bytes(self._packed))
        self._chunk(b"IEND", b"")

    def _chunk(self, name: bytes, data: bytes) -> None:
        self._file.write(struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(name))))

    def _filtered(self, lines: np.ndarray) -> np.ndarray:
        """Filtered rows: (n, bytes) -> (n, 1 + bytes), each row minus its left neighbour, the row above or the Paeth predictor, whichever
        leaves the smallest numbers (PNG specification, Sec. 9.2 and 12.7)."""
        above = np.concatenate([self._above[None], lines[:-1]])
        self._above = lines[-1].copy()
        left, corner = (np.pad(a, ((0, 0), (self._pixel, 0)))[:, : a.shape[1]] for a in (lines, above))
        out = np.empty((len(lines), 1 + lines.shape[1]), np.uint8)
        least = np.full(len(lines), np.iinfo(np.int64).max)
        for filter_type, guess in ((1, left), (2, above), (4, _paeth(left, above, corner))):
            rest = lines - guess  # modulo 256, as the specification has it
            size = np.abs(rest.view(np.int8).astype(np.int16)).sum(axis=1, dtype=np.int64)
            better = size < least
            out[better, 0], out[better, 1:], least[better] = filter_type, rest[better], size[better]
        return out


def _paeth(left: np.ndarray, above: np.ndarray, corner: np.ndarray) -> np.ndarray:
    """Paeth predictor: the one of three that is nearest to left + above - corner; the first of equals."""
    a, b, c = (x.astype(np.int16) for x in (left, above, corner))
    to_left, to_above, to_corner = np.abs(b - c), np.abs(a - c), np.abs(a + b - 2 * c)
    return np.where((to_left <= to_above) & (to_left <= to_corner), left, np.where(to_above <= to_corner, above, corner))
