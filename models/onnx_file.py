"""Exported networks as files, without metadata of the machine that exported them."""

from pathlib import Path

import torch


def save_onnx(program: torch.onnx.ONNXProgram | None, path: Path) -> None:
    """Writes an exported program without the stack traces that the exporter stores at every node.

    They contain paths of the exporting machine, and take a tenth of the file.
    """
    assert program is not None
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()
    for value in program.model.graph.initializers.values():
        value.metadata_props.clear()
    program.model.graph.metadata_props.clear()
    program.save(str(path), external_data=False)
