"""The engine guide and the manners of the tools, as text for a system prompt.

Everything about an engine comes from its family's own file.
"""

from __future__ import annotations

from collections.abc import Sequence

from civitai_skill.config import ASK_USER_ABOVE
from civitai_skill.engines import catalog
from civitai_skill.engines.index import PRICES_READ, records

RULES = f"""\
You can make pictures with the civitai_* tools. They cost Buzz, the user's money.
- Unless the user names an engine, or the default suits, ask civitai_choose_engine first, and \
pass the arguments of its first choice. Word the prompt as it says.
- Try ideas at quality draft, one picture at a time; high only for the final one.
- A budget that the user named is the yes up to it: pass it as max_buzz. Above \
{ASK_USER_ABOVE} Buzz without one, or where the service tells no price either, ask first; \
estimate_only is for those only.
- An answer with "sandbox": true is a placeholder with a simulated price: say so.
- An answer with `next` is not an error: make exactly that call. Never generate again because a \
picture takes long; it would be paid twice.
- An error says what to change. Change that and try once more. A blocked prompt must not be sent \
again unchanged.
- Tell the user the path of each picture, and its seed when they may want it again. Never invent a \
path or a link."""


def guidance(engines: Sequence[str] | None = None) -> str:
    """The guide for a system prompt; `engines` narrows it. Raises RequestInvalid."""
    wanted = None if engines is None else {catalog.find(name).name for name in engines}
    lines = [RULES, "", f"Engines (Buzz for draft, standard, high; documented {PRICES_READ}):"]
    for engine in records():
        if wanted is not None and engine["name"] not in wanted:
            continue
        prices = [engine["buzz"][quality] for quality in ("draft", "standard", "high")]
        said = "/".join("?" if price is None else str(price) for price in prices)
        lines.append(
            f"- {engine['name']} ({said}; {', '.join(engine['operations'])}): {engine['suits']}"
        )
    return "\n".join(lines)
