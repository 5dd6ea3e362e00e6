"""The command line's entry: of the script ``cnnspec``, and of ``python -m cnnspec``."""

import os
import sys


def main() -> None:
    """Run the command line; Ctrl-C while its modules are loaded ends it as Ctrl-C does later."""
    try:
        from .cli.main import run
    except KeyboardInterrupt:
        os.write(2, b"\ninterrupted\n")  # what prints otherwise is not loaded
        sys.exit(130)
    sys.exit(run())


if __name__ == "__main__":
    main()
