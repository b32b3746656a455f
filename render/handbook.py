"""Writes what the documentation shows of this room: `python -m opendactyl.render.handbook docs`.

It makes `randomization.md`, the table of everything that is drawn, from the code, and a contact
sheet for each preset and renderer.
"""

import io
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from opendactyl.files.atomic import write_bytes, write_text
from opendactyl.files.errors import InputError
from opendactyl.geometry.rig import load_rig
from opendactyl.render.appearance import PRESETS, randomization_table
from opendactyl.render.backend import choose

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
state none. What belongs to the camera's electronics (contrast, brightness, hue, white balance,
noise, blur, JPEG) is added when a dataset is read, and poses are jittered where they come from, see
`datasets.md`. Of ORRB's configuration, glowing markers have no counterpart, since this hand carries
none, nor have bloom and ambient occlusion, which MuJoCo's OpenGL does not draw.

This file is made by `python -m opendactyl.render.handbook docs`.

"""


def randomization_page() -> str:
    """The page as Markdown: one row for each thing that is drawn, one column for each preset."""
    presets = {name: randomization_table(config) for name, config in PRESETS.items()}
    lines = [
        "| key | what | distribution | " + " | ".join(presets) + " | source |",
        "|---" * (4 + len(presets)) + "|",
    ]
    keys = list(PRESETS["dactyl"].__dataclass_fields__)
    for number, key in enumerate(keys):
        what, how, _, source = presets["dactyl"][number]
        ranges = " | ".join(_short(rows[number][2]) for rows in presets.values())
        lines.append(f"| `{key}` | {what} | {how} | {ranges} | {source} |")
    return _HEAD + "\n".join(lines) + "\n"


def _short(text: str) -> str:
    words = text.strip("()").split(", ")
    try:
        return " … ".join(dict.fromkeys(f"{float(word):.4g}" for word in words))
    except ValueError:
        return {"True": "yes", "False": "no"}[text]


def contact_sheet(kind: str, preset: str, object_name: str = "block") -> bytes:
    """Rows of three views each as PNG: settled states in appearances of a preset."""
    from opendactyl.render.draw import sample_appearance
    from opendactyl.render.renderer import make_renderer
    from opendactyl.sim.objects import object_spec
    from opendactyl.sim.scene import load_scene
    from opendactyl.sim.settle import settled_state

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
