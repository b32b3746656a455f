"""Exported networks as files: the graph and its weights, and nothing of where they were made."""

from pathlib import Path

import torch


def save_onnx(program: torch.onnx.ONNXProgram | None, path: Path) -> None:
    """Writes an exported program without the notes that the exporter leaves at every node.

    They are stack traces: paths of the exporting machine, and a tenth of the file.
    """
    assert program is not None
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()
    for value in program.model.graph.initializers.values():
        value.metadata_props.clear()
    program.model.graph.metadata_props.clear()
    program.save(str(path), external_data=False)
