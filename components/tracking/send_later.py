"""python -m components.tracking.send_later: give the store what it could not take while it was down."""

import sys

from components.errors import UserError
from components.tracking.faults import friendly
from components.tracking.sender import send_waiting
from components.tracking.store import connect


def main() -> int:
    """Print what was sent; 1 if the store still does not answer."""
    try:
        with friendly("Sending what MLflow has not taken yet"):
            sent = send_waiting(connect())
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    print("\n".join(sent) or "Nothing is waiting: MLflow has everything.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
