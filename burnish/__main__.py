"""`python -m burnish`: the command line."""

import sys

from burnish.cli import main

if __name__ == "__main__":
    sys.exit(main())
