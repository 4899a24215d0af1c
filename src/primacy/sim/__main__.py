"""`python -m primacy.sim` is `primacy sim`."""

from __future__ import annotations

import sys

from primacy.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["sim", *sys.argv[1:]]))
