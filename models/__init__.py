"""Networks in plain PyTorch: pose networks, actor and critic, and what is exported of them."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
