"""Generates the tables and images of the documentation: `make docs`.

    python -P scripts/make_docs.py [--pictures]

Tables are delimited by `<!-- table: NAME -->` and `<!-- end of table -->`. `--pictures` also
renders the contact sheets of `docs/images`, one for each preset and renderer.
"""

import argparse
import io
import re
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from opendactyl.core.atomic_files import write_bytes, write_text
from opendactyl.core.config_fields import markdown
from opendactyl.core.errors import EnvironmentFailure
from opendactyl.datasets.loading.augmentation_config import AugmentConfig
from opendactyl.geometry.rig import load_rig
from opendactyl.policy.randomization.config import PRESETS as PHYSICS
from opendactyl.render.appearance.config import PRESETS as APPEARANCES
from opendactyl.render.opengl.backend import choose_backend

DOCS = Path(__file__).resolve().parent.parent / "docs"
TABLES = {
    "appearance": lambda: markdown(APPEARANCES),
    "augmentation": lambda: markdown({"range": AugmentConfig()}),
    "physics": lambda: markdown(PHYSICS),
}
SAMPLES = 8
"""Number of states in a contact sheet."""
IMAGE_SIZE = 128
_TABLE = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end of table -->)", re.DOTALL)


def with_tables(text: str) -> str:
    """A document with all tables regenerated.

    Raises:
        KeyError: a table of the document is not in `TABLES`.
    """
    return _TABLE.sub(lambda m: m[1] + TABLES[m[2]]() + m[3], text)


def contact_sheet(kind: str, preset: str, object_name: str = "block") -> bytes:
    """PNG with the views of settled states, rendered with sampled appearances of a preset."""
    from opendactyl.render.appearance.sampling import sample_appearance
    from opendactyl.render.factory import make_renderer
    from opendactyl.sim.initial_states import settled_state
    from opendactyl.sim.objects.shipped import object_spec
    from opendactyl.sim.scene import load_scene

    rig, scene, obj = load_rig("dactyl-200"), load_scene(object_name), object_spec(object_name)
    rows = []
    with make_renderer(kind, rig=rig, object_name=object_name, image_size=IMAGE_SIZE) as renderer:
        for number in range(SAMPLES):
            rng = np.random.default_rng([1, number])
            state = settled_state(scene, rng)
            appearance = sample_appearance(
                rng, APPEARANCES[preset], views=len(rig.cameras), obj=obj
            )
            rows.append(np.concatenate([*renderer.render(state, appearance)], axis=1))
    half = len(rows) // 2
    sheet = np.concatenate([np.concatenate(rows[:half]), np.concatenate(rows[half:])], axis=1)
    buffer = io.BytesIO()
    Image.fromarray(sheet).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def write_pictures() -> None:
    """Writes a sheet for each preset and renderer, except renderers that cannot be opened."""
    choose_backend()
    for kind in ("classic", "filament"):
        sheets = (*((preset, "block") for preset in APPEARANCES), ("dactyl", "prism"))
        for preset, object_name in sheets:
            name = f"{kind}-{preset}" + ("" if object_name == "block" else f"-{object_name}")
            try:
                sheet = contact_sheet(kind, preset, object_name)
            except EnvironmentFailure as error:
                print(f"{name}: {error}", file=sys.stderr)
                continue
            write_bytes(DOCS / "images" / f"{name}.png", sheet)


def main() -> None:
    """Writes the tables, and the images with `--pictures`."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--pictures", action="store_true", help="render the contact sheets as well")
    pictures = parser.parse_args().pictures
    for document in sorted(DOCS.glob("*.md")):
        text = document.read_text(encoding="utf-8")
        if (updated := with_tables(text)) != text:
            write_text(document, updated)
    if pictures:
        write_pictures()


if __name__ == "__main__":
    main()
