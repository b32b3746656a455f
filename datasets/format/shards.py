"""Shards: tar files in WebDataset's layout; equal samples give equal bytes.

Sample 12 of a three-camera rig is `00000012.left.jpg`, `00000012.right.jpg`, `00000012.top.jpg`
(or `.png`), `00000012.left.mask.png` and so on when masks are stored, `00000012.left.depth.png` and
so on when depth is, and `00000012.json`, in this order. Tar headers contain no time and no user.
"""

import hashlib
import io
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from opendactyl.core.atomic_files import open_atomic
from opendactyl.core.errors import InputError, file_error
from opendactyl.datasets.format.label import Label
from opendactyl.sim.assets.pictures import UNDECODABLE

MAX_MEMBER_BYTES = 64 * 2**20
MAX_SAMPLE_BYTES = 256 * 2**20
"""Limits of one file and of all files of a sample; larger members are rejected unread."""
MAX_SAMPLES = 1000
"""Largest number of samples in a shard."""
MAX_FILES = 128
"""Largest number of files of a sample."""
DEPTH_MODE = "I;16"
"""Pillow's name of images of 16 bits."""
_REPAIR = "`opendactyl dataset --repair` generates it again"


@dataclass(frozen=True, eq=False)
class Sample:
    """The images (V, H, W, 3) of one state, and its label."""

    images: NDArray[np.uint8]
    label: Label
    masks: NDArray[np.uint8] | None = None
    """The class of each pixel (V, H, W), if stored: 0 background, 1 hand, 2 object."""
    depth: NDArray[np.uint16] | None = None
    """Depth along the optical axes (V, H, W) in steps of `label.depth_scale` metres, if stored; 0
    where it is unknown."""


def shard_name(number: int) -> str:
    """The file name of a dataset's shard `number`."""
    return f"shard-{number:06d}.tar"


class _Hashed(io.BufferedIOBase):
    """Writes to a file and hashes what it writes, so that a shard need not fit into memory."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.sha256 = hashlib.sha256()

    def write(self, data: bytes, /) -> int:
        self.sha256.update(data)
        return self._file.write(data)


def write_shard(path: Path, samples: Iterable[Sample], *, jpeg_quality: int | None = 95) -> str:
    """Writes samples to a tar file atomically. Images are PNG if `jpeg_quality` is None.

    Returns:
        The file's SHA-256 checksum.
    """
    kind = "png" if jpeg_quality is None else "jpg"
    with open_atomic(path) as file:
        hashed = _Hashed(file)
        with tarfile.open(fileobj=hashed, mode="w|", format=tarfile.USTAR_FORMAT) as tar:
            for sample in samples:
                _add_sample(tar, sample, kind, jpeg_quality)
    return hashed.sha256.hexdigest()


def _add_sample(tar: tarfile.TarFile, sample: Sample, kind: str, jpeg_quality: int | None) -> None:
    stem = f"{sample.label.index:08d}"
    names = [camera.name for camera in sample.label.cameras]
    for name, image in zip(names, sample.images, strict=True):
        _add(tar, f"{stem}.{name}.{kind}", encode_image(image, jpeg_quality))
    for what, more in (("mask", sample.masks), ("depth", sample.depth)):
        for name, image in zip(names, more, strict=True) if more is not None else ():
            _add(tar, f"{stem}.{name}.{what}.png", encode_image(image, None))
    _add(tar, f"{stem}.json", sample.label.to_json())


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    member.mode = 0o644
    tar.addfile(member, io.BytesIO(data))


def encode_image(image: NDArray[np.unsignedinteger], quality: int | None) -> bytes:
    """Encodes an image (H, W, 3) or (H, W) as PNG, or as JPEG if a quality is given.

    JPEG is written without chroma subsampling, which would blur the small letters.
    """
    buffer = io.BytesIO()
    if quality is None:
        Image.fromarray(image).save(buffer, "PNG")
    else:
        Image.fromarray(image).save(buffer, "JPEG", quality=quality, subsampling=0)
    return buffer.getvalue()


def read_shard(path: Path) -> Iterator[Sample]:
    """Reads the samples of a shard in order.

    Raises:
        InputError: the shard is missing, damaged, or has files that no shard contains.
        EnvironmentFailure: the disk failed.
    """
    for members, name in _members(path):
        yield _sample(members, name, path)


def _members(path: Path) -> Iterator[tuple[dict[str, bytes], str]]:
    """Yields the files of each sample, and the name of its label, which comes last."""
    try:
        with path.open("rb") as file, tarfile.open(fileobj=file, mode="r:") as tar:
            pending: dict[str, bytes] = {}
            for member in tar:
                if member.name in pending:
                    raise InputError(f"{path} contains {member.name} twice; {_REPAIR}")
                pending[member.name] = _read_member(tar, member, path)
                if sum(map(len, pending.values())) > MAX_SAMPLE_BYTES:
                    raise InputError(f"{path}: a sample has over {MAX_SAMPLE_BYTES} bytes")
                if member.name.endswith(".json"):
                    yield pending, member.name
                    pending = {}
                elif len(pending) > MAX_FILES:
                    raise InputError(f"{path} has {len(pending)} files without a label; {_REPAIR}")
            if pending:
                raise InputError(f"{path} ends in the middle of a sample; {_REPAIR}")
            _check_end(file, tar.offset, path)
    except OSError as error:
        raise file_error(f"cannot read the shard {path}", error, _REPAIR) from error
    except (tarfile.TarError, EOFError, ValueError, RecursionError) as error:
        raise InputError(f"the shard {path} is damaged ({error}); {_REPAIR}") from error


def _check_end(file: BinaryIO, offset: int, path: Path) -> None:
    """Checks for the kilobyte of zeros that ends a tar: `tarfile` takes a damaged header for it."""
    file.seek(offset)
    longest = tarfile.RECORDSIZE + tarfile.BLOCKSIZE
    rest = file.read(longest + 1)
    if not 2 * tarfile.BLOCKSIZE <= len(rest) <= longest or any(rest):
        raise InputError(f"{path} is damaged at byte {offset}; {_REPAIR}")


def _read_member(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> bytes:
    regular = member.type in (tarfile.REGTYPE, tarfile.AREGTYPE)
    plain = regular and "/" not in member.name and "\\" not in member.name
    if not plain or member.name.startswith(".") or member.size > MAX_MEMBER_BYTES:
        raise InputError(f"{path} contains {member.name!r}, which is not a file of a sample")
    file = tar.extractfile(member)
    data = file.read() if file is not None else b""
    if len(data) != member.size:
        raise InputError(f"{path} is truncated at {member.name}; {_REPAIR}")
    return data


def _sample(members: dict[str, bytes], name: str, path: Path) -> Sample:
    where = f"{path}:{name}"
    label = Label.from_json(members.pop(name), where)
    stem = name.removesuffix(".json")
    if stem != f"{label.index:08d}":
        raise InputError(f"{where} is labelled as sample {label.index}; {_REPAIR}")
    images, masks, depth = [], [], []
    for camera in label.cameras:
        start = f"{stem}.{camera.name}"
        data = members.pop(f"{start}.jpg", None) or members.pop(f"{start}.png", None)
        if data is None:
            raise InputError(f"{where} has no image of camera {camera.name!r}; {_REPAIR}")
        size = camera.width, camera.height
        images.append(_decode(data, size, "RGB", where))
        if (mask := members.pop(f"{start}.mask.png", None)) is not None:
            masks.append(_decode(mask, size, "L", where))
        if (steps := members.pop(f"{start}.depth.png", None)) is not None:
            depth.append(_decode(steps, size, DEPTH_MODE, where))
    if members or any(len(more) not in (0, len(images)) for more in (masks, depth)):
        raise InputError(f"{where} has extra files, or masks or depth of some views; {_REPAIR}")
    if (label.depth_scale is None) == bool(depth):
        raise InputError(f"{where} and its label differ in whether depth is stored; {_REPAIR}")
    if len({image.shape for image in images}) != 1:
        raise InputError(f"{where} has no images, or images of several sizes; {_REPAIR}")
    masks, depth = (np.stack(more) if more else None for more in (masks, depth))
    return Sample(np.stack(images), label, masks, depth)


def _decode(data: bytes, size: tuple[int, int], mode: str, where: str) -> NDArray[Any]:
    try:
        with Image.open(io.BytesIO(data), formats=["JPEG", "PNG"]) as image:
            if image.size != size:
                raise InputError(f"{where}: an image is {image.size}, not {size}")
            if (image.mode == DEPTH_MODE) != (mode == DEPTH_MODE):
                raise InputError(f"{where}: an image has the mode {image.mode}, not {mode}")
            return np.asarray(image.convert(mode))
    except UNDECODABLE as error:
        raise InputError(f"{where}: an image cannot be decoded ({error})") from error


def read_labels(path: Path) -> Iterator[Label]:
    """Reads the labels of a shard in order, without decoding images. Raises as `read_shard`."""
    for members, name in _members(path):
        yield Label.from_json(members[name], f"{path}:{name}")
