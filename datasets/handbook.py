"""Writes what the documentation shows of images: `python -P -m opendactyl.datasets.handbook docs`.

It makes `randomization.md`, the tables of everything that is drawn, from the code, and a contact
sheet for each preset and renderer.
"""

import io
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from opendactyl.core.atomic_files import write_bytes, write_text
from opendactyl.core.config_fields import markdown
from opendactyl.core.errors import InputError
from opendactyl.datasets.loading.augmentation import AugmentConfig
from opendactyl.geometry.rig import load_rig
from opendactyl.render.appearance.config import PRESETS
from opendactyl.render.opengl.backend import choose

SAMPLES = 8
"""Rows of a contact sheet."""
IMAGE_SIZE = 128
_HEAD = """# What is randomized

Every image has an appearance: a frozen record, drawn from `(seed, index)`, saved in its label and
applied to the nominal scene. `--appearance` takes a preset or a TOML file whose keys, the first
column, replace those of its `preset`:

```toml
preset = "wide"
light_total = [0.3, 3.0]
```

A width of `x` means from −x to x around the nominal value, a pair means from the first to the
second. D18 is "Learning Dexterous In-Hand Manipulation" (arXiv 1808.00177), ORRB is its renderer
(`openai/orrb`), DR17 is "Domain Randomization" (arXiv 1703.06907); "ours" is our choice where they
state none. Poses are jittered where they come from, see `datasets.md`. Of ORRB's configuration,
glowing markers have no counterpart, since this hand carries none, nor have bloom and ambient
occlusion, which MuJoCo's OpenGL does not draw.

This file is made by `python -P -m opendactyl.datasets.handbook docs`.

"""
_CAMERA = """
## What the camera adds

What belongs to a camera's electronics, and what stands in front of it, is added when a dataset is
read, so that one rendered set serves many augmentations. Every view of every sample has draws of
its own in every epoch; nothing moves a pixel, for that would break the geometry. D19 is "Solving
Rubik's Cube with a Robot Hand" (arXiv 1910.07113), DeXtreme is arXiv 2210.13702. `preview
--augment` shows the result.

"""


def randomization_page() -> str:
    """The page as Markdown: a table of what is rendered, and one of what is added on load."""
    return _HEAD + markdown(PRESETS) + _CAMERA + markdown({"range": AugmentConfig()})


def contact_sheet(kind: str, preset: str, object_name: str = "block") -> bytes:
    """Rows of three views each as PNG: settled states in appearances of a preset."""
    from opendactyl.render.appearance.sampling import sample_appearance
    from opendactyl.render.base import make_renderer
    from opendactyl.sim.initial_states import settled_state
    from opendactyl.sim.objects.shipped import object_spec
    from opendactyl.sim.scene import load_scene

    rig, scene, thing = load_rig("dactyl"), load_scene(object_name), object_spec(object_name)
    rows = []
    with make_renderer(kind, rig=rig, object_name=object_name, image_size=IMAGE_SIZE) as renderer:
        for number in range(SAMPLES):
            rng = np.random.default_rng([1, number])
            state = settled_state(scene, rng)
            views = len(rig.cameras)
            look = sample_appearance(rng, PRESETS[preset], views=views, thing=thing)
            rows.append(np.concatenate([*renderer.render(state, look)], axis=1))
    half = len(rows) // 2
    sheet = np.concatenate([np.concatenate(rows[:half]), np.concatenate(rows[half:])], axis=1)
    buffer = io.BytesIO()
    Image.fromarray(sheet).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def main(folder: Path) -> None:
    """Writes the page and the sheets; a renderer that does not work here is passed over."""
    write_text(folder / "randomization.md", randomization_page())
    choose()
    (folder / "images").mkdir(exist_ok=True)
    for kind in ("classic", "filament"):
        for preset, object_name in (*((name, "block") for name in PRESETS), ("dactyl", "prism")):
            name = f"{kind}-{preset}" + ("" if object_name == "block" else f"-{object_name}")
            try:
                write_bytes(
                    folder / "images" / f"{name}.png", contact_sheet(kind, preset, object_name)
                )
            except InputError as error:
                print(f"{name}: {error}", file=sys.stderr)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs"))
