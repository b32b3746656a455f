"""Exported networks as files, without metadata of the machine that exported them."""

from pathlib import Path

import torch
from onnxscript.optimizer import fold_constants, remove_unused_nodes

from opendactyl.core.errors import file_errors


def save_onnx(
    program: torch.onnx.ONNXProgram | None, path: Path, metadata: dict[str, str] | None = None
) -> None:
    """Writes an exported program, simplified and without the exporter's stack traces.

    Stack traces contain paths of the exporting machine, and take a tenth of the file.

    Args:
        program: the program, exported with `optimize=False`: the exporter would also search for
            patterns, which takes longer than the export and makes these networks no faster.
        path: the file to write.
        metadata: entries of the file's own metadata, which onnxruntime returns.
    """
    assert program is not None
    fold_constants(program.model)
    remove_unused_nodes(program.model)
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()
    for value in program.model.graph.initializers.values():
        value.metadata_props.clear()
    program.model.graph.metadata_props.clear()
    program.model.metadata_props.update(metadata or {})
    with file_errors(f"cannot write {path}", "name a folder that is writable"):
        program.save(str(path), external_data=False)
