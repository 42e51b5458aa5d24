"""A client that was closed: every call is refused before anything is written down."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from civitai_skill import AsyncCivitai, Civitai, ConfigError, TransportFailed, run_batch
from civitai_skill.client import Submitted
from civitai_skill.sandbox import Sandbox
from civitai_skill.tools.toolbox import Toolbox

ID = "7-20260101120000000"
CALLS: dict[str, Callable[[Any], Any]] = {
    "estimate": lambda client: client.estimate("a fox"),
    "submit": lambda client: client.submit("a fox"),
    "generate": lambda client: client.generate("a fox"),
    "preview": lambda client: client.preview("a fox"),
    "get": lambda client: client.get(ID),
    "wait": lambda client: client.wait(ID),
    "page": lambda client: client.page(),
    "cancel": lambda client: client.cancel(ID),
    "download": lambda client: client.download(ID),
    "settle": lambda client: client.settle("cs-1"),
    "release": lambda client: client.release(ID),
    "health": lambda client: client.health(),
}


@pytest.mark.parametrize("call", CALLS)
async def test_a_closed_client_refuses_every_call_and_writes_nothing(
    call: str, tmp_path: Path
) -> None:
    client = Civitai(sandbox=True, home=tmp_path / "one")
    client.close()
    assert client.is_closed
    with pytest.raises(ConfigError, match="was closed") as refused:
        CALLS[call](client)
    assert (refused.value.spent, refused.value.exit_code) == ("no", 3)
    later = AsyncCivitai(sandbox=True, home=tmp_path / "two")
    await later.close()
    with pytest.raises(ConfigError, match="was closed"):
        await CALLS[call](later)
    assert not [*tmp_path.rglob("ledger*")]


def test_a_batch_and_tools_of_a_closed_client_are_refused(tmp_path: Path) -> None:
    client = Civitai(sandbox=True, home=tmp_path)
    client.close()
    with pytest.raises(ConfigError, match="was closed"):
        run_batch([{"prompt": "a fox"}], client=client, out=tmp_path / "out")
    result = Toolbox(client).call("civitai_generate_image", {"prompt": "a fox"})
    assert (result.failed, result.data["buzz_spent"]) == (True, "no")
    assert not [*tmp_path.rglob("ledger*")]
    assert not (tmp_path / "out").exists()


def test_a_client_that_is_closed_in_the_middle_says_what_is_paid(tmp_path: Path) -> None:
    client = Civitai(sandbox=Sandbox(seconds_per_job=30), home=tmp_path)

    def close(event: Any) -> None:
        if isinstance(event, Submitted):
            client._http.close()

    with pytest.raises(TransportFailed, match="this client was closed") as ended:
        client.generate("a fox", out=tmp_path, tell=close)
    assert ended.value.spent == "yes"
