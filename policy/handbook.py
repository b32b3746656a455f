"""Writes what the documentation shows of physics: `python -P -m opendactyl.policy.handbook docs`.

It makes `docs/physics.md`, the table of everything that is drawn, from the code.
"""

import sys
from pathlib import Path

from opendactyl.core.atomic_files import write_text
from opendactyl.core.config_fields import markdown
from opendactyl.policy.randomization.config import PRESETS

_HEAD = """# Randomized physics and observations

Every episode draws its physics once, from `(seed, episode)`, and keeps it to its end: a frozen
record that is put into the simulation's own copy of the nominal model, whatever the episode before
had. What happens action by action (noise, losses, pushes) comes from a stream of numbers that
belongs to the episode too, so an episode is the same whatever runs beside it. The policy sees the
measurements that come out of this, the critic the truth.

`--randomization` of `train-policy` and `evaluate` takes a preset or a TOML file whose keys, the
first column, replace those of its `preset`:

```toml
preset = "dactyl"
object_mass = [0.8, 1.2]
joint_limits = 0.05
```

A pair means from the first to the second; a single number is a standard deviation where the
distribution is normal, a half width where it is uniform, and otherwise what it says. "Throughout"
is drawn once an episode, "at each action" anew. D18 is "Learning Dexterous In-Hand Manipulation"
(arXiv 1808.00177), robogym is its released code (`openai/robogym`), DeXtreme is arXiv 2210.13702;
"ours" is our choice where they state none.

"""
_TAIL = """
How some of them act:

- **Friction.** MuJoCo takes the larger of two surfaces' coefficients. One factor for all surfaces
  therefore gives contacts exactly the stated distribution; a factor for each would favour the high
  side.
- **Sizes.** The object's three dimensions share one factor. Its inertia follows size and mass, its
  mass does not follow the size. A block has any size; the prism, whose mesh cannot change within a
  compiled model, has the nearest of 21 meshes from 0.90 to 1.10 in steps of 0.01, compiled before
  the first episode.
- **Joint limits** that would cross are exchanged.
- **Time.** D18 adds an exponential time to each of the ten physics steps of an action. We share
  their sum, drawn as such, evenly among the ten steps: an action lasts exactly as long.
- **Actions.** Noise, delay and backlash act on the smoothed target on its way to the hand, so that
  what the policy knows of its own targets is what a robot's controller would know.
- **Backlash** works on the distance between target and present joint angle, as a share of half the
  range: the action of D18, whichever way targets are chosen. robogym's exponents were calibrated on
  one hand; we draw a rate per actuator and direction from their range.
- **Occlusion.** D18 puts an invisible box on each nail and freezes the reading while it touches
  something. Ours is a ball of 5 mm on the nail that freezes it while within reach of the object's
  faces or of another fingertip; it is no part of the physics.
- **Markers** sit in the fingertips' frames and turn with them; the misplaced hand-base markers move
  every fingertip and the object alike.

This file is made by `python -P -m opendactyl.policy.handbook docs`.
"""


def physics_page() -> str:
    """The page as Markdown: one row for each thing that is drawn, one column for each preset."""
    return _HEAD + markdown(PRESETS) + _TAIL


def main(folder: Path) -> None:
    """Writes the page into a folder."""
    write_text(folder / "physics.md", physics_page())


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs"))
