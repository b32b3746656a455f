"""Description of an object: a solid with coloured, lettered faces, or a mesh."""

from dataclasses import KW_ONLY, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opendactyl.geometry.articulation import Articulation, Hinge
from opendactyl.geometry.rotation import Array
from opendactyl.geometry.symmetry import NO_SYMMETRY, SymmetryGroup
from opendactyl.geometry.transforms import transform_points
from opendactyl.sim.assets.source_files import Kind, SourceFiles
from opendactyl.sim.objects.points import enclosing_planes, hull_triangles

Rgb = tuple[float, float, float]
WHITE: Rgb = (1.0, 1.0, 1.0)
Angles = Array | tuple[()]
"""Angles (H,) of hinges in radians; those of a rigid object are ()."""


@dataclass(frozen=True, eq=False)
class Face:
    """One flat face of an object."""

    letter: str
    """The letter on the face, a key of `letters.STROKES`; empty for none."""
    rgb: Rgb
    """Nominal colour, sRGB in [0, 1]."""
    frame: Array
    """object_from_face (4, 4): origin at the face centre, z outward, y towards the letter's top."""
    half_size: tuple[float, float]
    """Half the width (x) and height (y) of the lettered rectangle, in metres."""
    _: KW_ONLY
    radius: float = 0.0
    """Radius of a round face in metres; 0 for a rectangle of `half_size`."""
    textured: bool = False
    """Whether a surface with a texture covers the face."""


@dataclass(frozen=True, eq=False)
class Surface:
    """Triangles of one material, drawn as they are."""

    vertices: Array
    """(N, 3) in the object frame, in metres."""
    triangles: NDArray[np.int64]
    """Indices (T, 3) of vertices, counter-clockwise from outside."""
    rgb: Rgb
    """Nominal colour, sRGB in [0, 1]; multiplies the texture."""
    texture: NDArray[np.uint8] | None = None
    """Image (H, W, 3), top row first."""
    uv: Array | None = None
    """Texture coordinates (M, 2) from 0 to 1, from the left and from the bottom."""
    uv_triangles: NDArray[np.int64] | None = None
    """Indices (T, 3) of texture coordinates."""

    @property
    def corners(self) -> Array:
        """The triangles' corners (T, 3, 3)."""
        return self.vertices[self.triangles]

    def corner_colours(self) -> Array:
        """Colours (T, 3, 3) at the triangles' corners, sRGB in [0, 1]."""
        if self.texture is None or self.uv is None:
            return np.broadcast_to(np.array(self.rgb), self.corners.shape)
        height, width = self.texture.shape[:2]
        uv = self.uv[self.uv_triangles]
        u, v = np.where((uv < 0) | (uv > 1), uv % 1.0, uv).transpose(2, 0, 1)
        column = np.minimum((u * width).astype(int), width - 1)
        row = np.minimum(((1 - v) * height).astype(int), height - 1)
        return self.texture[row, column] / 255 * np.array(self.rgb)


@dataclass(frozen=True, eq=False)
class Solid:
    """Mass properties and collision shape of a mesh, in the object frame."""

    hulls: tuple[Array, ...]
    """Vertices (N, 3) of the convex parts that collide."""
    centre_of_mass: Array
    """(3,) in metres."""
    inertia: Array
    """Inertia (3, 3) about the centre of mass, in kg m²."""


@dataclass(frozen=True, eq=False)
class ObjectSpec:
    """An object: a rigid body, to which hinges may join others."""

    name: str
    """Name of the object."""
    mass: float
    """Mass in kilograms, without that of attached parts."""
    corners: Array
    """Vertices (K, 3) of a box or prism in the object frame, in metres; of other objects, and of
    those with given keypoints, their keypoints. Labels depend on their order."""
    faces: tuple[Face, ...]
    """Coloured faces."""
    is_box: bool
    """Whether the object is an axis-aligned box (a primitive shape in MuJoCo)."""
    _: KW_ONLY
    outline: Array | None = None
    """Points (N, 3) whose convex hull is the surface of a box, prism or cylinder; None: corners."""
    cylinder: tuple[float, float] | None = None
    """Radius and half length of a cylinder about z, in metres."""
    solid: Solid | None = None
    """Mass properties and collision shape of a mesh."""
    surfaces: tuple[Surface, ...] = ()
    """Surfaces of a mesh or cylinder, and faces with a texture."""
    has_own_keypoints: bool = False
    """Whether `corners` are all of the keypoints."""
    friction: tuple[float, ...] | None = None
    """Sliding, torsional and rolling friction; None: MuJoCo's default."""
    symmetry: SymmetryGroup = NO_SYMMETRY
    """Rotations that do not change the object's appearance."""
    attached: "tuple[Part, ...]" = ()
    """Parts that hinges join to the body; none for a rigid object."""
    files: SourceFiles | None = None
    """Where it was read from; None for a shipped object."""
    kind: Kind = field(default="object", init=False)

    @property
    def reference(self) -> str:
        """What `object_spec` and `--object` take: a shipped object's name, or a path."""
        return self.files.reference if self.files else self.name

    @property
    def identity(self) -> dict[str, Any] | None:
        """Checksums and library versions (`SourceFiles.identity`); None for a shipped object."""
        return self.files.identity if self.files else None

    @cached_property
    def half_extent(self) -> Array:
        """Half the side lengths (3,) of the body's bounding box around the origin, in metres."""
        return np.abs(self.hull_points).max(axis=0)

    @cached_property
    def hull_points(self) -> Array:
        """Points (N, 3) with the convex hull of the body, in metres."""
        if self.solid is not None:
            return np.concatenate([surface.vertices for surface in self.surfaces])
        return self.corners if self.outline is None else self.outline

    @cached_property
    def triangles(self) -> Array:
        """The triangles (T, 3, 3) of the body's surface, counter-clockwise from outside."""
        if self.solid is not None:
            return np.concatenate([surface.corners for surface in self.surfaces])
        return hull_triangles(self.hull_points)

    @cached_property
    def planes(self) -> list[tuple[Array, float]]:
        """Planes that enclose the object: outward normals (3,), and distances from the origin."""
        if self.solid is None and self.cylinder is None:
            normals = [face.frame[:3, 2] for face in self.faces]
            centres = [face.frame[:3, 3] for face in self.faces]
            return [(n, float(c @ n)) for n, c in zip(normals, centres, strict=True)]
        return enclosing_planes(self.hull_points)

    @cached_property
    def face_centres(self) -> Array:
        """Centres (F, 3) of the faces in the object frame, in metres."""
        return np.stack([face.frame[:3, 3] for face in self.faces])

    @property
    def keypoints(self) -> Array:
        """Corners, then face centres (K + F, 3) in the object frame, in metres.

        Those of attached parts follow, at angle zero.
        """
        own = self.corners
        if not self.has_own_keypoints:
            own = np.concatenate([own, self.face_centres])
        return np.concatenate([own, *(p.body.keypoints + p.position for p in self.attached)])

    @property
    def num_corners(self) -> int:
        """The number of first keypoints whose projections are in a label: all, if parts move."""
        return len(self.keypoints if self.attached else self.corners)

    @cached_property
    def articulation(self) -> Articulation:
        """The keypoints, and the hinges that move them."""
        return Articulation(self.keypoints, tuple(part.hinge for part in self.attached))

    @property
    def bodies(self) -> "tuple[ObjectSpec, ...]":
        """The body and those of the attached parts."""
        return (self, *(part.body for part in self.attached))

    def poses(self, angles: Angles) -> list[Array]:
        """object_from_body (4, 4) of each of the `bodies`, at angles (H,) of the hinges."""
        return [np.eye(4), *(part.pose(a) for part, a in zip(self.attached, angles, strict=True))]

    def triangles_at(self, angles: Angles) -> Array:
        """The triangles (T, 3, 3) of the whole surface at angles (H,), object frame."""
        pairs = zip(self.poses(angles), self.bodies, strict=True)
        return np.concatenate([transform_points(pose, body.triangles) for pose, body in pairs])

    def points_at(self, angles: Angles) -> Array:
        """Points (N, 3) with the convex hull of the object at angles (H,), object frame."""
        return self.triangles_at(angles).reshape(-1, 3) if self.attached else self.hull_points

    @cached_property
    def reach(self) -> Array:
        """Half the side lengths (3,) of the box that holds the object at rest, in metres."""
        return np.abs(self.points_at(self.articulation.rest)).max(axis=0)

    @property
    def all_faces(self) -> tuple[Face, ...]:
        """The faces of all bodies."""
        return tuple(face for body in self.bodies for face in body.faces)

    @property
    def colours(self) -> tuple[Rgb, ...]:
        """Nominal colours of all faces, then of all surfaces: what an appearance randomizes."""
        surfaces = [surface for body in self.bodies for surface in body.surfaces]
        return tuple(element.rgb for element in (*self.all_faces, *surfaces))


@dataclass(frozen=True, eq=False)
class Part:
    """A body that a hinge joins to the object."""

    body: ObjectSpec
    """The part, in a frame that is parallel to the object's at angle zero."""
    position: Array
    """Origin (3,) of that frame in the object frame, in metres."""
    hinge: Hinge
    damping: float
    """Damping of the hinge in N m s/rad."""
    friction: float
    """Dry friction of the hinge in N m."""

    def pose(self, angle: float) -> Array:
        """object_from_part (4, 4)."""
        pose = self.hinge.pose(angle)
        pose[:3, 3] += pose[:3, :3] @ self.position
        return pose


def face_frame(centre: Array, up: Array) -> Array:
    """object_from_face (4, 4) of a face at `centre`, whose normal points away from the origin."""
    normal = centre / np.linalg.norm(centre)
    frame = np.eye(4)
    frame[:3, :3] = np.stack([np.cross(up, normal), up, normal], axis=-1)
    frame[:3, 3] = centre
    return frame
