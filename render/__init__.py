"""Images of a state from every camera of a rig, by two renderers, with randomized appearance."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
