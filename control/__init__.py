"""Bundles, pose sources, the closed loop on a robot and in simulation, videos and the viewer."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
