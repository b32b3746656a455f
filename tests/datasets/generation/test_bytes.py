"""The bytes of generated shards, compared with checksums stored for this type of machine.

Bytes depend on the OpenGL driver, the CPU and the libraries, so the checksums are keyed by them.
A change of bytes needs another `GENERATION_VERSION`, and checksums stored anew.
"""

import json
import os
import re
from pathlib import Path

import pytest

from opendactyl.core.atomic_files import json_hash, write_json
from opendactyl.datasets.generation.config import (
    GENERATION_VERSION,
    LIBRARIES,
    DatasetConfig,
    ResolvedConfig,
    installed_versions,
)
from opendactyl.datasets.generation.shard_builder import ShardMaker

STORED = Path(__file__).parent / "shard_checksums.json"
ADD = "OPENDACTYL_ADD_CHECKSUMS"
CASES = {
    "settled": {"seed": 5},
    "random": {"seed": 6, "states": "random", "appearance": "wide", "masks": True},
    "prism": {"seed": 7, "object": "prism", "image_format": "png"},
}


def cpu_flags():
    """A checksum of the processor's vector extensions: libraries choose their code by them."""
    try:
        found = re.search(r"^flags\s*:(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    flags = set(found[1].split()) if found else set()
    return json_hash(sorted(f for f in flags if re.match(r"(s?sse|avx|fma|f16c|amx|bmi)", f)))[:16]


def shards(folder):
    """Checksums of one shard of three samples per case, and the key of this machine."""
    sums = {}
    for name, options in CASES.items():
        config = DatasetConfig(
            out=folder / name,
            num_samples=3,
            shard_size=3,
            image_size=64,
            rig="dactyl-200",
            **options,
        )
        maker = ShardMaker(ResolvedConfig.resolve(config), None)
        sums[name] = maker.write(0, lambda: None).sha256
        graphics = maker.graphics
        maker.close()
    libraries = installed_versions(name for name in LIBRARIES if name != "opendactyl")
    return sums, {"generation": GENERATION_VERSION, "cpu": cpu_flags(), **graphics, **libraries}


def test_shards_have_the_stored_checksums(tmp_path):
    sums, key = shards(tmp_path)
    stored = json.loads(STORED.read_text())
    (expected,) = [entry["shards"] for entry in stored if entry["key"] == key] or [None]
    if expected is None and os.environ.get(ADD):
        write_json(STORED, [*stored, {"key": key, "shards": sums}])
    if expected is None:
        pytest.skip(
            f"no checksums are stored for {key}; to add them, run this test with {ADD}=1 on a "
            f"commit whose bytes are known to be right, and commit {STORED.name}"
        )
    assert sums == expected
