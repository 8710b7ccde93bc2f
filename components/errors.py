"""The one exception that means: the user can fix this."""


class UserError(Exception):
    """A mistake in the input, not in the program.

    The message is all that the user sees: it names the file, row, key or image, the offending value
    and what to do about it. Flows print it without a traceback and exit with a non-zero code.
    """
