"""The pose estimator: training, metrics, report, export, and the run-time estimator."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
