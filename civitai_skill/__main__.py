"""`python -m civitai_skill` is the command line."""

from __future__ import annotations

import sys

from civitai_skill.adapters.cli import main

if __name__ == "__main__":
    sys.exit(main())
