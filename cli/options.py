"""Options of a verb: a dataclass defines them, tyro parses them."""

from typing import TypeVar

import tyro

from opendactyl.core import mujoco_gl
from opendactyl.core.config_fields import former_options
from opendactyl.render.opengl import backend

T = TypeVar("T")


def prepare_backend(argv: list[str], *, renders: bool = True) -> None:
    """Settles MUJOCO_GL; call it before anything imports MuJoCo.

    Args:
        argv: the verb's arguments; with `--help` among them nothing is rendered.
        renders: whether the command renders with OpenGL.

    Raises:
        InputError: MUJOCO_GL has an unknown value, or disables what the command needs.
        EnvironmentFailure: no OpenGL context can be opened.
    """
    if {"-h", "--help"} & set(argv):
        mujoco_gl.disable(check=False)
    elif renders:
        backend.choose_backend()
    else:
        mujoco_gl.disable()


def parse(
    config: type[T], verb: str, argv: list[str], description: str, default: T | None = None
) -> T:
    """Parses a verb's options; exits with status 2 and tyro's message if one is wrong.

    Args:
        config: the dataclass of the options.
        verb: the verb's name, for messages.
        argv: the verb's arguments; former names of options are accepted.
        description: the first paragraph of the help.
        default: the values of the options that are not given.
    """
    return tyro.cli(
        config,
        prog=f"opendactyl {verb}",
        description=description,
        args=_with_present_names(config, argv),
        default=tyro.MISSING_NONPROP if default is None else default,
        config=(tyro.conf.FlagCreatePairsOff,),
    )


def _with_present_names(config: type, argv: list[str]) -> list[str]:
    """The arguments with former names of options replaced by the present ones."""
    former = former_options(config)
    words = []
    for word in argv:
        option, equals, value = word.partition("=")
        words.append(former.get(option.replace("_", "-"), option) + equals + value)
    return words


def is_given(option: str, argv: list[str]) -> bool:
    """Whether an option is among the arguments, as `--name`, `--name=…` or with underscores."""
    return any(word.partition("=")[0].replace("_", "-") == option for word in argv)


def value_of(option: str, argv: list[str]) -> str | None:
    """The value given to an option, or None: for options that are needed before the parsing."""
    for number, word in enumerate(argv):
        if word == option and number + 1 < len(argv):
            return argv[number + 1]
        if word.startswith(option + "="):
            return word.split("=", 1)[1]
    return None
