"""`opendactyl preview`: draws a contact sheet of a dataset."""

from dataclasses import dataclass
from pathlib import Path

from opendactyl.cli.options import parse


@dataclass(frozen=True, kw_only=True)
class PreviewConfig:
    """Settings of `preview`."""

    data: Path = Path("data/train")
    """The dataset."""
    out: Path = Path("preview.png")
    """The image file to write."""
    samples: int = 12
    """Number of samples, one row each."""
    augment: bool = False
    """Draw each sample with the augmentation of training, at its stored size."""


def main(argv: list[str]) -> None:
    """Writes the image file."""
    config = parse(
        PreviewConfig, "preview", argv, "Draws samples with their labels: three views a row."
    )
    from opendactyl.datasets.export.contact_sheet import write_contact_sheet

    out = write_contact_sheet(config.data, config.out, config.samples, augment=config.augment)
    print(f"contact sheet in {out}")
