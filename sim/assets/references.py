"""Which files an MJCF or URDF refers to. Needs no MuJoCo."""

from pathlib import Path
from xml.etree import ElementTree

from opendactyl.core.errors import InputError, file_error

MESH_DIR, TEXTURE_DIR = ("meshdir", "assetdir"), ("texturedir", "assetdir")
_WITH_FILES = {"mesh": MESH_DIR, "texture": TEXTURE_DIR, "hfield": MESH_DIR, "skin": MESH_DIR}
"""Elements of an MJCF that name files, and the attributes that set their folder."""


def parse_xml(path: Path) -> ElementTree.Element:
    """The root element of an XML file.

    Raises:
        InputError: the file is missing or is not XML.
        EnvironmentFailure: the disk failed.
    """
    try:
        return ElementTree.fromstring(path.read_bytes())
    except OSError as error:
        raise file_error(f"cannot read the model {path}", error) from error
    except ElementTree.ParseError as error:
        raise InputError(f"model {path} is not valid XML ({error})") from error


def is_urdf(path: Path, root: ElementTree.Element) -> bool:
    """Whether the document of a model is a URDF; otherwise it is taken for an MJCF.

    Raises:
        InputError: it is neither.
    """
    if root.tag not in ("robot", "mujoco"):
        raise InputError(f"model {path} begins with <{root.tag}>, it is neither an MJCF nor a URDF")
    return root.tag == "robot"


def referenced_files(path: Path) -> list[Path]:
    """The model itself and the files that it refers to: included models, meshes and textures.

    Raises:
        InputError: a file is missing, or the model is neither an MJCF nor a URDF.
        EnvironmentFailure: the disk failed.
    """
    root = parse_xml(path)
    if is_urdf(path, root):
        names = [mesh.get("filename", "") for mesh in root.iter("mesh")]
        found = [path, *(urdf_mesh(path, name) for name in names)]
    else:
        found = _mjcf_files(path, root)
    for file in found:
        if not file.is_file():
            raise InputError(f"model {path} refers to {file}, which does not exist; put it there")
    return list(dict.fromkeys(found))


def urdf_mesh(path: Path, name: str) -> Path:
    """The path of a mesh of a URDF.

    The package of `package://NAME/...` is a folder NAME beside the URDF or above it, or any folder
    above it that has the file.
    """
    if not name.startswith("package://"):
        return path.parent / name.removeprefix("file://")
    package, _, rest = name.removeprefix("package://").partition("/")
    for folder in path.absolute().parents:
        for root in (folder / package, folder):
            if (root / rest).is_file():
                return root / rest
    return path.parent / rest


def _mjcf_files(path: Path, root: ElementTree.Element) -> list[Path]:
    """Files of an MJCF; folders of meshes may be set in an included file."""
    documents, unread = [(path, root)], [(path, root)]
    read = {path.resolve()}
    while unread:
        _, document = unread.pop()
        for include in document.iter("include"):
            file = path.parent / include.get("file", "")
            if not file.is_file():
                raise InputError(f"model {path} includes {file}, which does not exist")
            if file.resolve() in read:
                raise InputError(f"model {path} includes {file} twice, or in a circle")
            read.add(file.resolve())
            unread.append((file, parse_xml(file)))
            documents.append(unread[-1])
    compilers = [element for _, document in documents for element in document.iter("compiler")]
    found = [file for file, _ in documents]
    for _, document in documents:
        for tag, keys in _WITH_FILES.items():
            folder = path.parent / _setting(compilers, keys)
            for element in document.iter(tag):  # A cube's texture may have a file for each side.
                names = [value for key, value in element.items() if key.startswith("file")]
                found += [folder / name for name in names if name]
    return found


def _setting(compilers: list[ElementTree.Element], keys: tuple[str, ...]) -> str:
    """The value of the first attribute that is set."""
    values = [compiler.get(key) for key in keys for compiler in compilers]
    return next((value for value in values if value is not None), "")
