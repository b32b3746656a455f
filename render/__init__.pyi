from .appearance.config import Appearance as Appearance
from .appearance.config import AppearanceConfig as AppearanceConfig
from .appearance.config import load_appearance as load_appearance
from .appearance.sampling import sample_appearance as sample_appearance
from .base import Renderer as Renderer
from .factory import make_renderer as make_renderer
from .opengl.backend import choose_backend as choose_backend
