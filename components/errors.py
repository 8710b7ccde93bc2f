"""The one exception that means: the user can fix this."""


class UserError(Exception):
    """A mistake in the input, not in the program.

    The message is all that the user sees: it names the file, row, key or image, the offending value
    and what to do about it. `components.program.main` prints it without a traceback and exits with 1.
    """
