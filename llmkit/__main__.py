"""`python -m llmkit`: the command line."""

from __future__ import annotations

from llmkit.cli import main

if __name__ == "__main__":
    main()
