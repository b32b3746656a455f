"""`opendactyl export`: makes a bundle of a vision run and, usually, a policy run, or checks one."""

import dataclasses
import logging
import warnings
from pathlib import Path

from opendactyl.core.errors import InputError


def main(argv: list[str]) -> None:
    """Writes the bundle, or with `--check BUNDLE` checks one and prints its contract."""
    if argv and argv[0].split("=")[0] == "--check":
        _check(argv)
        return
    from opendactyl.cli.options import parse

    warnings.filterwarnings("ignore")
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    from opendactyl.control.packaging.config import ExportConfig

    config = parse(
        ExportConfig,
        "export",
        argv,
        "Writes pose.onnx, policy.onnx, manifest.json and a model card.",
    )
    if config.check is not None:
        raise InputError("export: --check BUNDLE takes no other options; leave them out")
    if config.record:
        if dataclasses.replace(config, record=(), out=ExportConfig.out) != ExportConfig():
            raise InputError("export: --record exports nothing; it takes --out and no other option")
        from opendactyl.control.packaging.metrics import record

        record(config.out, config.record)
        print(f"{len(config.record)} evaluations recorded in {config.out}")
        return
    from opendactyl.control.packaging.build import export_bundle

    print(f"bundle in {export_bundle(config)}")


def _check(argv: list[str]) -> None:
    """Works with the base install, without the libraries that the other options import."""
    from opendactyl.control.bundle.load import check_bundle

    words = argv[0].split("=", 1)[1:] + argv[1:]
    if len(words) != 1 or not words[0] or words[0].startswith("-"):
        raise InputError(f"export --check takes one bundle; {' '.join(argv)} was given")
    print(check_bundle(Path(words[0])))
