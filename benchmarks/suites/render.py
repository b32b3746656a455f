"""Suite `render`: images a second against a plain `mujoco.Renderer`, at equal or better quality."""

import multiprocessing
import os
import resource
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from opendactyl.benchmarks.measure import Budget, Row, side_by_side, speed
from opendactyl.benchmarks.peers.mujoco_renderer import PlainRenderer
from opendactyl.benchmarks.suites.dataset_speed import dataset_speed
from opendactyl.benchmarks.support.rendering import Sample, draw_samples, psnr, ssim
from opendactyl.core.cpu import cores
from opendactyl.geometry.rig import Rig, load_rig
from opendactyl.render.factory import make_renderer

IMAGE_SIZE = 200
"""Input size of Dactyl's network (D18 Table 12)."""
SAMPLES = 64
"""States and appearances, the same for both sides, rendered in a cycle."""
COMPARED = 24
"""The number of them that are compared with the reference."""
REFERENCE_SUPERSAMPLING = 8
PORTION = SAMPLES
"""Samples a process renders between two time measurements: enough that waiting for the slowest
process is negligible."""
STEADY_SAMPLES = 30_000
"""With `full`: consecutive samples over which drift of speed and memory is measured."""
PEER = "one mujoco.Renderer, default quality, a loop over the cameras"


def run(budget: Budget) -> list[Row]:
    """Measures; images a second unless a row says otherwise."""
    rig = load_rig("dactyl-200").resized(IMAGE_SIZE)
    samples = draw_samples(rig, SAMPLES)
    rows = [
        _against_peer(Setting(rig=rig, workers=workers), samples, budget.seconds, f"render/{name}")
        for name, workers in (("images_per_second", 0), ("images_per_second_one_process", 1))
    ]
    rows[0].extra.update(_quality(rig, samples[:COMPARED]))
    rows.append(dataset_speed(budget.seconds))
    if budget.full:
        rows += _curves(samples, budget.seconds / 3)
        rows.append(_steadiness(rig, samples))
    return rows


@dataclass(frozen=True, kw_only=True)
class Setting:
    """The rig and the number of processes."""

    rig: Rig
    workers: int = 0
    """0 stands for one per core."""

    @property
    def processes(self) -> int:
        """The number of worker processes."""
        return self.workers or cores()


def _against_peer(setting: Setting, samples: list[Sample], seconds: float, name: str) -> Row:
    rig = setting.rig
    with RenderPool(setting, samples) as pool, PlainRenderer(rig) as plain:
        position = 0

        def loop() -> float:
            nonlocal position
            state, appearance = samples[position % len(samples)]
            position += 1
            return len(plain.render(state, appearance))

        ours, peer = side_by_side(pool.portion, loop, seconds)
        extra = {"workers": setting.processes, "worker_peak_mib": pool.peak_mib()}
    return Row(name=name, ours=ours, peer=peer, peer_name=PEER, unit="images/s", extra=extra)


class RenderPool:
    """The classic renderer in several processes, each with its own graphics context."""

    def __init__(self, setting: Setting, samples: list[Sample]) -> None:
        """Starts the processes; each has all samples."""
        self._count = setting.processes
        self._peak = 0.0
        self._pool = ProcessPoolExecutor(
            self._count,
            multiprocessing.get_context("spawn"),
            initializer=_open,
            initargs=(setting.rig, samples, self._count),
        )

    def portion(self) -> float:
        """Renders `PORTION` samples in every process; returns the number of images."""
        done = list(self._pool.map(_render, [PORTION] * self._count))
        self._peak = max(self._peak, *(peak for _, peak in done))
        return sum(images for images, _ in done)

    def peak_mib(self) -> float:
        """The peak memory of any process so far, in MiB."""
        return self._peak

    def __enter__(self) -> "RenderPool":
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()


_worker: dict[str, Any] = {}


def _open(rig: Rig, samples: list[Sample], processes: int) -> None:
    # With a process on each core, the software rasterizer's own threads only cost time; a single
    # process has them, as the peer.
    if processes > 1:
        os.environ.setdefault("LP_NUM_THREADS", "0")
    size = rig.cameras[0].width
    _worker["renderer"] = make_renderer("classic", rig=rig, image_size=size)
    _worker["samples"] = samples
    _worker["position"] = 0
    shape = (len(rig.cameras), size, size, 3)
    _worker["out"] = np.empty(shape, dtype=np.uint8)


def _render(count: int) -> tuple[int, float]:
    """Renders samples; returns the number of images, and `_peak`."""
    renderer, samples, out = (_worker[key] for key in ("renderer", "samples", "out"))
    for _ in range(count):
        state, appearance = samples[_worker["position"] % len(samples)]
        renderer.render(state, appearance, out=out)
        _worker["position"] += 1
    return count * len(out), _peak()


def _peak() -> float:
    status = Path("/proc/self/status")
    if status.exists():  # Linux counts the process that started this one in getrusage's maximum.
        (line,) = [line for line in status.read_text().splitlines() if line.startswith("VmHWM")]
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _quality(rig: Rig, samples: list[Sample]) -> dict[str, Any]:
    """PSNR and SSIM of both sides against the supersampled reference."""
    with PlainRenderer(rig, supersampling=REFERENCE_SUPERSAMPLING) as best:
        reference = np.stack([best.render(*sample) for sample in samples])
    with PlainRenderer(rig) as plain:
        peer = np.stack([plain.render(*sample) for sample in samples])
    with make_renderer("classic", rig=rig, image_size=rig.cameras[0].width) as renderer:
        ours = np.stack([renderer.render(*sample) for sample in samples])
    return {
        "psnr_db": round(psnr(ours, reference), 2),
        "psnr_db_peer": round(psnr(peer, reference), 2),
        "ssim": round(ssim(ours, reference), 4),
        "ssim_peer": round(ssim(peer, reference), 4),
        "reference": f"full meshes, {REFERENCE_SUPERSAMPLING}x supersampled",
        "judged_images": len(samples) * len(rig.cameras),
    }


def _curves(samples: list[Sample], seconds: float) -> list[Row]:
    """Speed over workers, pixels and cameras; each point against the same peer."""
    rig = load_rig("dactyl-200")
    settings = {
        f"workers_{count}": Setting(rig=rig.resized(IMAGE_SIZE), workers=count)
        for count in _doublings(cores())
    }
    settings |= {f"pixels_{size}": Setting(rig=rig.resized(size)) for size in (64, 128, 200, 400)}
    settings |= {
        f"cameras_{count}": Setting(rig=Rig(rig.name, rig.resized(IMAGE_SIZE).cameras[:count]))
        for count in (1, 2, 3)
    }
    rows = []
    for name, setting in settings.items():
        views = len(setting.rig.cameras)
        own = samples if views == 3 else draw_samples(setting.rig, SAMPLES)
        rows.append(_against_peer(setting, own, seconds, f"render/{name}"))
    return rows


def _doublings(limit: int) -> list[int]:
    counts = [1]
    while counts[-1] * 2 <= limit:
        counts.append(counts[-1] * 2)
    return counts if counts[-1] == limit else [*counts, limit]


def _steadiness(rig: Rig, samples: list[Sample]) -> Row:
    """Speed of the last tenth of a long run against the first; memory in both."""
    with RenderPool(Setting(rig=rig), samples) as pool:
        per_portion = PORTION * Setting(rig=rig).processes
        portions = -(-STEADY_SAMPLES // (10 * per_portion))
        pool.portion()
        speeds, memory = [], []
        for _ in range(10):
            speeds.append(speed(pool.portion, portions))
            memory.append(pool.peak_mib())
    extra = {
        "first_peak_mib": memory[0],
        "last_peak_mib": memory[-1],
        "samples": 10 * portions * per_portion,
    }
    return Row(
        name="render/steadiness", ours=speeds[-1], peer=speeds[0],
        peer_name="the first tenth of the same run", unit="images/s", extra=extra,
    )  # fmt: skip
