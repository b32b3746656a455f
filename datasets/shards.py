"""Shards: tar files in WebDataset's layout, the same bytes for the same samples.

Sample 12 of a three-camera rig is `00000012.left.jpg`, `00000012.right.jpg`, `00000012.top.jpg`
and `00000012.json`, in this order. Tar headers carry no time and no user.
"""

import io
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from opendactyl.datasets.label import Label
from opendactyl.files.atomic import write_bytes
from opendactyl.files.errors import InputError

MAX_MEMBER_BYTES = 64 * 2**20
"""No image or label is larger; a member that claims to be is refused before it is read."""


@dataclass(frozen=True, eq=False)
class Sample:
    """The images (V, H, W, 3) of one state, and its label."""

    images: NDArray[np.uint8]
    label: Label


def shard_name(number: int) -> str:
    """The file name of a dataset's shard `number`."""
    return f"shard-{number:06d}.tar"


def write_shard(path: Path, samples: Iterable[Sample], *, jpeg_quality: int = 95) -> None:
    """Writes samples to a tar file, atomically."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for sample in samples:
            stem = f"{sample.label.index:08d}"
            for camera, image in zip(sample.label.cameras, sample.images, strict=True):
                _add(tar, f"{stem}.{camera.name}.jpg", encode_image(image, jpeg_quality))
            _add(tar, f"{stem}.json", sample.label.to_json())
    write_bytes(path, buffer.getvalue())


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    member.mode = 0o644
    tar.addfile(member, io.BytesIO(data))


def encode_image(image: NDArray[np.uint8], quality: int) -> bytes:
    """JPEG bytes of an image (H, W, 3), without chroma subsampling: letters are small."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality, subsampling=0)
    return buffer.getvalue()


def read_shard(path: Path) -> Iterator[Sample]:
    """Reads the samples of a shard in order.

    Raises:
        InputError: the shard is missing, truncated, or holds what no shard of ours would.
    """
    try:
        with tarfile.open(path, mode="r:") as tar:
            pending: dict[str, bytes] = {}
            for member in tar:
                pending[member.name] = _read_member(tar, member, path)
                if member.name.endswith(".json"):
                    yield _sample(pending, member.name, path)
                    pending = {}
            if pending:
                raise InputError(f"{path} ends in the middle of a sample; make it again")
    except (tarfile.TarError, EOFError, OSError) as error:
        raise InputError(f"cannot read the shard {path}: {error}; make it again") from error


def _read_member(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> bytes:
    plain = member.isfile() and "/" not in member.name and "\\" not in member.name
    if not plain or member.name.startswith(".") or member.size > MAX_MEMBER_BYTES:
        raise InputError(f"{path} holds {member.name!r}, which no shard of OpenDactyl does")
    file = tar.extractfile(member)
    data = file.read() if file is not None else b""
    if len(data) != member.size:
        raise InputError(f"{path} is truncated at {member.name}; make it again")
    return data


def _sample(members: dict[str, bytes], name: str, path: Path) -> Sample:
    where = f"{path}:{name}"
    label = Label.from_json(members[name], where)
    stem = name.removesuffix(".json")
    images = []
    for camera in label.cameras:
        data = members.get(f"{stem}.{camera.name}.jpg")
        if data is None:
            raise InputError(f"{where} has no image of camera {camera.name!r}; make it again")
        images.append(_decode(data, camera.width, camera.height, where))
    return Sample(np.stack(images), label)


def _decode(data: bytes, width: int, height: int, where: str) -> NDArray[np.uint8]:
    try:
        with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
            if image.size != (width, height):
                raise InputError(f"{where}: an image is {image.size}, not {(width, height)}")
            return np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{where}: an image cannot be decoded ({error})") from error
