from .errors import EnvironmentFailure as EnvironmentFailure
from .errors import InputError as InputError
from .errors import OpenDactylError as OpenDactylError
