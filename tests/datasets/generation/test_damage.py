"""Damaged and malicious datasets are rejected with an error that names the file."""

import io
import json
import tarfile

import pytest
from PIL import Image

from opendactyl.core.atomic_files import read_json
from opendactyl.core.errors import InputError
from opendactyl.datasets.format.label import Label
from opendactyl.datasets.format.manifest import load_manifest
from opendactyl.datasets.format.shards import read_shard
from opendactyl.datasets.loading.cache import open_dataset


def test_missing_truncated_and_flipped_shards_are_named(copy):
    path = copy / "shard-000001.tar"
    data = path.read_bytes()
    path.write_bytes(data[:-3000])
    with pytest.raises(InputError, match=r"shard-000001\.tar is damaged"):
        open_dataset(copy, 32)
    flipped = bytearray(data)
    flipped[4000] ^= 1
    path.write_bytes(bytes(flipped))
    with pytest.raises(InputError, match="checksum"):
        open_dataset(copy, 32)
    path.unlink()
    with pytest.raises(InputError, match="is missing"):
        open_dataset(copy, 32)


def test_another_schema_version_is_refused(copy):
    manifest = read_json(copy / "manifest.json")
    (copy / "manifest.json").write_text(json.dumps(manifest | {"schema": 99}))
    with pytest.raises(InputError, match="schema 99"):
        open_dataset(copy, 32)


@pytest.mark.parametrize(
    "member",
    [
        {"name": "/etc/passwd"},
        {"name": "../outside.json"},
        {"name": "00000000.json", "type": tarfile.SYMTYPE, "linkname": "/etc/passwd"},
        {"name": "00000000.json", "type": tarfile.LNKTYPE, "linkname": "00000000.left.jpg"},
        {"name": "00000000.left.jpg", "type": tarfile.CHRTYPE},
        {"name": "00000000.left.jpg", "type": tarfile.FIFOTYPE},
        {"name": "00000000.left.jpg", "type": tarfile.DIRTYPE},
        {"name": "00000000.left.jpg", "type": tarfile.GNUTYPE_SPARSE, "size": 512},
        {"name": "..\\outside.json"},
        {"name": ".hidden.json"},
        {"name": "00000000.left.jpg", "size": 10**12},
        {"name": "00000000.left.jpg", "size": 60 * 2**20},
    ],
)
def test_hostile_members_are_refused(tmp_path, member):
    info = tarfile.TarInfo(member["name"])
    for key, value in member.items():
        setattr(info, key, value)
    path = tmp_path / "hostile.tar"
    path.write_bytes(info.tobuf() + bytes(2048))
    with pytest.raises(InputError):
        list(read_shard(path))


def test_headers_that_crash_tarfile_are_refused(tmp_path):
    long_name = tarfile.TarInfo("././@LongLink")
    long_name.type, long_name.size = tarfile.GNUTYPE_LONGNAME, 0
    sparse = b"30 GNU.sparse.map=a,b\n"
    pax = tarfile.TarInfo("pax")
    pax.type, pax.size = tarfile.XHDTYPE, len(sparse)
    member = tarfile.TarInfo("00000000.left.jpg").tobuf()
    for content in (
        long_name.tobuf() * 3000 + member,
        pax.tobuf() + sparse.ljust(512, b"\0") + member,
    ):
        (tmp_path / "hostile.tar").write_bytes(content + bytes(1024))
        with pytest.raises(InputError):
            list(read_shard(tmp_path / "hostile.tar"))


def test_a_damaged_header_is_not_taken_for_the_end(dataset, tmp_path):
    """Python's tar reader stops there without an error."""
    data = bytearray((dataset / "shard-000000.tar").read_bytes())
    with tarfile.open(dataset / "shard-000000.tar") as tar:
        fifth = tar.getmembers()[4]
    data[fifth.offset + 10] ^= 1
    (tmp_path / "broken.tar").write_bytes(data)
    with pytest.raises(InputError, match=f"damaged at byte {fifth.offset}"):
        list(read_shard(tmp_path / "broken.tar"))
    (tmp_path / "short.tar").write_bytes(data[: fifth.offset])
    with pytest.raises(InputError, match="damaged"):
        list(read_shard(tmp_path / "short.tar"))


def test_hostile_samples_are_refused(dataset, tmp_path):
    """Valid tar files with wrong members: doubled, missing, not an image, another size."""
    with tarfile.open(dataset / "shard-000000.tar") as tar:
        files = {m.name: tar.extractfile(m).read() for m in tar.getmembers()[:4]}
    large = io.BytesIO()
    Image.new("RGB", (65, 64)).save(large, "PNG")
    bomb = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(bomb, "PNG")
    label = json.loads(files["00000000.json"])
    many = label | {"cameras": [c | {"width": 10**6} for c in label["cameras"]]}
    wrong = {
        "doubled": [*list(files.items())[:1], *files.items()],
        "missing": list(files.items())[1:],
        "extra": [("00000000.right.depth.png", b""), *files.items()],
        "no image": list((files | {"00000000.top.jpg": b"no image"}).items()),
        "large": list((files | {"00000000.top.jpg": large.getvalue()}).items()),
        "bomb": list((files | {"00000000.top.jpg": bomb.getvalue()}).items()),
        "cameras": list((files | {"00000000.json": json.dumps(many).encode()}).items()),
    }
    for name, members in wrong.items():
        path = tmp_path / f"{name}.tar"
        with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
            for member, data in members:
                info = tarfile.TarInfo(member)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
        with pytest.raises(InputError, match=name):
            list(read_shard(path))


@pytest.mark.parametrize(
    "change",
    [
        {"shards": []},
        {"shards": [{"name": "../x.tar", "start": 0, "stop": 12, "sha256": ""}]},
        {"shards": [{"name": "x.tar", "start": 0.0, "stop": 12.0, "sha256": ""}]},
        {"num_samples": 10**9},
        {"num_corners": 99},
        {"seed": "0"},
        {"rig": {"name": "x", "cameras": []}},
        {"keypoints": [[10**400, 0, 0]]},
        {"config": []},
        {"unknown": 1},
    ],
)
def test_hostile_manifests_are_refused(copy, change):
    manifest = read_json(copy / "manifest.json")
    (copy / "manifest.json").write_text(json.dumps(manifest | change))
    with pytest.raises(InputError, match="manifest"):
        load_manifest(copy)


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "{}", "null", "1", '{"schema": 1}', "[" * 100_000, '{"schema": NaN}', "\xff",
        '{"schema": 1, "cameras": {}, "index": 1e999}', '{"schema": 1, "cameras": 7}',
        '{"schema": 1, "cameras": [], "index": 0, "position": [1' + "0" * 400 + ", 0, 0]}",
        '{"schema": 1, "cameras": [], "index": ' + "9" * 5000 + "}",
    ],
)  # fmt: skip
def test_hostile_labels_are_refused(text):
    with pytest.raises(InputError, match="here"):
        Label.from_json(text.encode(), "here")
