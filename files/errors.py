"""The one error for bad input."""


class InputError(ValueError):
    """What the user gave cannot be used.

    The message says what was given, what is allowed and how to mend it. The command line prints
    it as one line and exits with status 2.
    """
