"""`opendactyl export`: joins a vision run and a policy run into a bundle."""

import logging
import warnings

from opendactyl.cli.options import parse


def main(argv: list[str]) -> None:
    """Writes the bundle."""
    warnings.filterwarnings("ignore")
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    from opendactyl.control.package import ExportConfig, export_bundle

    config = parse(
        ExportConfig,
        "export",
        argv,
        "Writes pose.onnx, policy.onnx, manifest.json and a model card.",
    )
    print(f"bundle in {export_bundle(config)}")
