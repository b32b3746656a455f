"""The card of a dataset: README.md, a contact sheet and histograms, in its folder."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opendactyl.core.atomic_files import write_bytes, write_text
from opendactyl.datasets.export.contact_sheet import write_contact_sheet
from opendactyl.datasets.format.label import unseeing_cameras
from opendactyl.datasets.format.manifest import (
    CARD_NAMES,
    Manifest,
    load_manifest,
)
from opendactyl.datasets.format.shards import read_labels
from opendactyl.geometry.rotation import quat_to_rotvec

README, SHEET, STATISTICS = CARD_NAMES
SHEET_ROWS = 6
VISIBLE = "visible"
HIDDEN_PERCENT = 10
"""The card counts samples whose object is less visible than this in every view."""
RARELY = 0.5
"""The card warns of a camera to which the object is less visible in more than this fraction."""

_STORED = {
    "masks": "Masks: the class of each pixel, 0 background, 1 hand or scenery, 2 object.\n",
    "depth": "Depth images: 16 bits, along the optical axis; a step is the label's `depth_scale`\n"
    "in metres, and 0 is unknown.\n",
}


def write_card(folder: Path) -> Path:
    """Writes the card of a finished dataset and returns its path."""
    manifest = load_manifest(folder)
    columns = _columns(folder, manifest)
    write_contact_sheet(folder, folder / SHEET, min(SHEET_ROWS, manifest.num_samples))
    write_bytes(folder / STATISTICS, _histograms(columns))
    path = folder / README
    write_text(path, _text(manifest, columns))
    return path


def _columns(folder: Path, manifest: Manifest) -> dict[str, NDArray[np.float64]]:
    """The values of each histogram, by title."""
    rows = [
        np.concatenate(
            [
                1000 * label.position,
                [np.rad2deg(np.linalg.norm(quat_to_rotvec(label.quaternion)))],
                np.rad2deg(label.hinges),
                100 * label.visible_fraction,
                _lighting(label.appearance),
            ]
        )
        for shard in manifest.shards
        for label in read_labels(folder / shard.name)
    ]
    cameras = [camera["name"] for camera in manifest.rig["cameras"]]
    titles = [
        *(f"position {axis} (mm)" for axis in "xyz"),
        "rotation from upright (deg)",
        *(f"hinge {hinge.name} (deg)" for hinge in manifest.articulation.hinges),
        *(f"{VISIBLE}, {name} (%)" for name in cameras),
        "lights",
        "total light",
        "ambient light",
    ]
    return dict(zip(titles, np.array(rows).T, strict=True))


def _lighting(appearance: dict[str, Any]) -> list[float]:
    lights = [float(light["intensity"]) for light in appearance["lights"]]
    return [len(lights), sum(lights), float(appearance["ambient"])]


def _histograms(columns: dict[str, NDArray[np.float64]]) -> bytes:
    # Imported here because it is slow, and only needed for a finished dataset.
    from matplotlib.figure import Figure

    across = 5
    down = -(-len(columns) // across)
    figure = Figure(figsize=(2.6 * across, 2.1 * down), layout="constrained")
    for number, (title, values) in enumerate(columns.items()):
        axes = figure.add_subplot(down, across, number + 1)
        axes.hist(values, bins=30)
        axes.set_title(title, fontsize=9)
        axes.tick_params(labelsize=7)
        axes.set_yticks([])
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100, metadata={"Software": None})
    return buffer.getvalue()


def _warnings(manifest: Manifest, visible: NDArray[np.float64]) -> str:
    """A line for each camera that rarely sees the object, from visible percentages (V, N)."""
    names = [camera["name"] for camera in manifest.rig["cameras"]]
    warning = "\n**Warning:** {}.\n"
    lines = [warning.format(line) for line in unseeing_cameras(names, visible.max(axis=1))]
    for name, percent in zip(names, visible, strict=True):
        rarely = float(np.mean(percent < HIDDEN_PERCENT))
        if rarely > RARELY and percent.any():
            lines.append(
                warning.format(
                    f"less than {HIDDEN_PERCENT} % of the object is visible to the camera "
                    f"{name} in {rarely:.0%} of the samples"
                )
            )
    return "".join(lines)


def _text(manifest: Manifest, columns: dict[str, NDArray[np.float64]]) -> str:
    config = manifest.config
    size = manifest.rig["cameras"][0]["width"]
    made_with = ", ".join(f"{name} {version}" for name, version in manifest.made_with.items())
    spread = "\n".join(
        f"| {title} | {np.mean(v):.4g} | {np.percentile(v, 5):.4g} | {np.percentile(v, 95):.4g} |"
        for title, v in columns.items()
    )
    visible = np.array([v for title, v in columns.items() if title.startswith(VISIBLE)])
    hidden = int(np.sum(visible.max(axis=0) < HIDDEN_PERCENT))
    warnings = _warnings(manifest, visible)
    frame = "the rig's world frame" if manifest.scene else "the hand frame"
    stored = "".join(_STORED[kind] for kind in _STORED if config.get(kind))
    return f"""# {manifest.num_samples:,} labelled views of the {manifest.object}

{len(manifest.rig["cameras"])} cameras ({", ".join(c["name"] for c in manifest.rig["cameras"])}),
{size} x {size} pixels, {len(manifest.shards)} shards in WebDataset's layout, label schema
{manifest.schema}. States: {config["states"]}. Seed {manifest.seed}. Made with {made_with}.

Poses are in {frame}, in metres; quaternions are wxyz. Each label contains the nominal
cameras of the rig and the true, jittered ones that rendered the images. `manifest.json` has the
settings and the checksum of each shard; `opendactyl dataset --verify` checks them.
{stored}
In {hidden} of {manifest.num_samples} samples less than {HIDDEN_PERCENT} % of the object is visible
in every view.
{warnings}
![samples with their labels]({SHEET})

![histograms]({STATISTICS})

| | mean | 5 % | 95 % |
|---|---|---|---|
{spread}
"""
