"""How long the long proofs are: a fifth, or all where CIVITAI_SKILL_THOROUGH is set."""

import os

THOROUGH = bool(os.environ.get("CIVITAI_SKILL_THOROUGH"))


def cases(full: int) -> int:
    """How many of a proof's cases to try."""
    return full if THOROUGH else full // 5
