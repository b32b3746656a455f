"""Reading of calibration files: JSON, YAML with OpenCV's tags, and text."""

import json
import re
from pathlib import Path
from typing import Any

import yaml

from opendactyl.core.errors import InputError, file_errors
from opendactyl.geometry.rig_import.calibration import Document


class _Loader(yaml.SafeLoader):
    """YAML as OpenCV's FileStorage writes it."""


def _opencv_matrix(loader: yaml.SafeLoader, node: yaml.Node) -> Any:
    if not isinstance(node, yaml.MappingNode):
        raise yaml.constructor.ConstructorError(problem="!!opencv-matrix is not a table")
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor("tag:yaml.org,2002:opencv-matrix", _opencv_matrix)


def read_document(path: Path) -> Document:
    """Reads a calibration file.

    Raises:
        InputError: there is no such file, or its syntax is wrong.
        EnvironmentFailure: the disk failed.
    """
    with file_errors(f"cannot read the calibration {path}"):
        content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
        if path.suffix == ".txt":
            return Document(path, text)
        if path.suffix == ".json" or text.lstrip().startswith(("{", "[")):
            return Document(path, json.loads(text))
        if text.lstrip().startswith("<"):
            raise InputError(f"{path} is XML; let OpenCV write it as YAML or JSON")
        return Document(path, _parse_yaml(text))
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path} is neither JSON nor YAML: {reason}") from error


def _parse_yaml(text: str) -> Any:
    """The content; a list if the file has several documents."""
    # OpenCV writes "%YAML:1.0" or "%YAML 1.2", which are not valid for this parser.
    text = re.sub(r"\A%YAML[^\n]*\n", "", text)
    found = [part for part in yaml.load_all(text, Loader=_Loader) if part is not None]
    return found[0] if len(found) == 1 else found
