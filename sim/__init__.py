"""The hand and its object in MuJoCo: names and orders, the scene, states."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
