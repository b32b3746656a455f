"""Exported networks as files, without metadata of the machine that exported them."""

from pathlib import Path

import numpy as np
import onnx_ir
import torch
from onnxscript.optimizer import fold_constants, remove_unused_nodes

from opendactyl.core.errors import file_errors

LARGE = 4096
"""Smallest size in bytes of weights that are stored in half of it."""


def save_onnx(
    program: torch.onnx.ONNXProgram | None, path: Path, metadata: dict[str, str] | None = None
) -> None:
    """Writes an exported program, simplified and without the exporter's stack traces.

    Stack traces contain paths of the exporting machine, and take a tenth of the file. Weights that
    are numbers of 16 bits (`round_weights`) are stored as such; onnxruntime converts them on
    loading.

    Args:
        program: the program, exported with `optimize=False`: the exporter would also search for
            patterns, which takes longer than the export and makes these networks no faster.
        path: the file to write.
        metadata: entries of the file's own metadata, which onnxruntime returns.
    """
    assert program is not None
    fold_constants(program.model)
    remove_unused_nodes(program.model)
    store_in_half(program.model.graph)
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()
    for value in program.model.graph.initializers.values():
        value.metadata_props.clear()
    program.model.graph.metadata_props.clear()
    program.model.metadata_props.update(metadata or {})
    with file_errors(f"cannot write {path}", "name a folder that is writable"):
        program.save(str(path), external_data=False)


@torch.no_grad()
def round_weights(network: torch.nn.Module) -> None:
    """Rounds the large weights of a network to 16 bits, in which `save_onnx` stores them."""
    for weight in network.parameters():
        if weight.nbytes >= LARGE:
            weight.copy_(weight.half())


def store_in_half(graph: onnx_ir.Graph) -> None:
    """Stores the large weights that are numbers of 16 bits as such."""
    for name, value in list(graph.initializers.items()):
        array = None if value.const_value is None else value.const_value.numpy()
        if array is None or array.dtype != np.float32 or array.nbytes < LARGE:
            continue
        half = array.astype(np.float16)
        if not np.array_equal(half, array):
            continue
        tensor = onnx_ir.tensor(half, name=f"{name}.half")
        stored = onnx_ir.Value(name=tensor.name, const_value=tensor)
        stored.dtype, stored.shape = onnx_ir.DataType.FLOAT16, value.shape
        to = onnx_ir.AttrInt64("to", onnx_ir.DataType.FLOAT.value)
        cast = onnx_ir.Node("", "Cast", [stored], [to], num_outputs=1)
        cast.outputs[0].name = f"{name}.full"
        cast.outputs[0].dtype, cast.outputs[0].shape = onnx_ir.DataType.FLOAT, value.shape
        onnx_ir.convenience.replace_all_uses_with(value, cast.outputs[0])
        graph.insert_before(graph[0], cast)
        del graph.initializers[name]
        graph.register_initializer(stored)
