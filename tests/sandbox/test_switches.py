"""Switches of the sandbox: how they are set, and those that change what is bought."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, fields
from typing import Any

import httpx
import pytest

from civitai_skill.adapters.cli.parser import parse
from civitai_skill.errors import RequestInvalid
from civitai_skill.sandbox import Switches, switches

WORKFLOWS = "/v2/consumer/workflows"
SWITCHES = "/_sandbox/switches"
FOX: dict[str, Any] = {
    "engine": "flux2", "model": "klein", "operation": "createImage", "prompt": "a fox",
    "steps": 8, "cfgScale": 1,
}  # fmt: skip
PRICE = 3
BUZZ = {"blue": 10, "yellow": 10}
Play = Callable[..., Any]


# -- how they are set ------------------------------------------------------------------------------
def test_help_lists_every_switch_with_values_default_and_words(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        parse(["sandbox", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    for field in fields(Switches):
        assert f"{field.name}={switches.accepted_values(field.name)} (" in text
    assert "cancel_after_end=400|409|204 (400) the status of canceling what is over" in text
    assert "unfinished_at_most=none, or a whole number from 1 to 1000000000 (none)" in text


def test_the_command_line_sets_switches(start: Any) -> None:
    words = ("--switch", "short_of_buzz=402", "--switch", "longest_wait=2.5", "--balance", "blue=1")
    server = start("sandbox", *words)
    steps = {"steps": [{"$type": "imageGen", "input": FOX}]}
    with httpx.Client(base_url=server.address, headers={"Authorization": "Bearer key"}) as client:
        assert client.post(WORKFLOWS, json=steps).status_code == 402
        assert client.get(SWITCHES).json()["switches"]["longest_wait"] == 2.5


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("short_of_buzz", "is not NAME=VALUE"),
        ("short_of_bus=403", "there is no switch 'short_of_bus'; there are answers, "),
        ("short_of_buzz=404", "short_of_buzz must be 400|403|402|problem, not 404"),
        ("until_known=yes", "until_known must be true|false, not yes"),
        ("unfinished_at_most=0", "must be none, or a whole number from 1 to 1000000000, not 0"),
        ("largest_blob=1e6", "largest_blob must be a whole number from 1"),
        ("longest_wait=-1", "longest_wait must be a number from 0"),
        ("longest_wait=٣", "longest_wait must be a number from 0"),
    ],
)
def test_what_is_no_switch_is_refused_with_what_is_accepted(
    play: Play, words: str, reason: str
) -> None:
    with pytest.raises(RequestInvalid) as refused:
        parse(["sandbox", "--switch", words])
    assert reason in str(refused.value)
    name, equals, value = words.partition("=")
    if equals:
        answer = play().post(SWITCHES, json={name: value})
        assert answer.status_code == 400
        assert reason in answer.json()["errors"]["messages"][0]


def test_switches_are_read_and_set_over_http(play: Play) -> None:
    client = play(switches=Switches(blob_redirect=308))
    assert client.get(SWITCHES).json() == {"switches": asdict(Switches(blob_redirect=308))}
    change = {"short_of_buzz": 403, "until_known": False, "longest_wait": 5, "largest_blob": 40}
    answer = client.post(SWITCHES, json=change)
    expected = Switches(blob_redirect=308, short_of_buzz="403", until_known=False,
                        longest_wait=5.0, largest_blob=40)  # fmt: skip
    assert answer.json() == client.get(SWITCHES).json() == {"switches": asdict(expected)}
    for wrong in ({"until_known": True, "expired_url": 500}, {"until_known": None}, [], {"a": 1}):
        assert client.post(SWITCHES, json=wrong).status_code == 400
    assert client.get(SWITCHES).json() == {"switches": asdict(expected)}
    upload = {"content": b"\0" * 41, "headers": {"Content-Type": "image/png"}}
    assert client.post("/v2/consumer/blobs", **upload).status_code == 413
    client.post(SWITCHES, json={"largest_blob": 41})
    assert client.post("/v2/consumer/blobs", **upload).status_code == 422


# -- how many at once ------------------------------------------------------------------------------
def test_a_cap_on_unfinished_workflows_is_answered_with_429(play: Play) -> None:
    client = play(switches=Switches(unfinished_at_most=2))
    first = client.submit(FOX, externalId="one").json()["id"]
    client.submit(FOX)
    full = client.submit(FOX)
    assert (full.status_code, full.json()["status"]) == (429, 429)
    assert full.json()["detail"] == "At most 2 unfinished workflows at a time."
    assert client.balance["blue"] == 10_000 - 2 * PRICE
    assert client.submit(FOX, externalId="one").json()["id"] == first
    assert client.submit(FOX, whatif=True).status_code == 200
    body = {"steps": [{"$type": "imageGen", "input": FOX}]}
    other = {"Authorization": "Bearer other"}
    assert client.post(WORKFLOWS, json=body, headers=other).status_code == 202
    client.put_changes(first, status="canceled")
    assert client.submit(FOX).status_code == 202
    client.clock.sleep(5)
    assert client.submit(FOX).status_code == 202


# -- estimates that stay ---------------------------------------------------------------------------
@pytest.mark.parametrize("claims", [False, True])
@pytest.mark.parametrize("persists", [False, True])
def test_an_estimate_persists_or_claims_its_key_as_switched(
    play: Play, persists: bool, claims: bool
) -> None:
    client = play(switches=Switches(whatif_persists=persists, whatif_claims_key=claims))
    id = client.submit(FOX, whatif=True, externalId="key").json()["id"]
    assert client.get(f"{WORKFLOWS}/{id}").status_code == (200 if persists else 404)
    again = client.submit(FOX, externalId="key")
    assert (again.status_code, again.json()["id"] == id) == (
        (200, True) if claims else (202, False)
    )
    assert client.balance["blue"] == 10_000 - (0 if claims else PRICE)


def test_changing_an_estimate_moves_no_buzz(play: Play) -> None:
    client = play(balance=BUZZ, switches=Switches(whatif_persists=True))
    ids = [client.submit(FOX, whatif=True).json()["id"] for _ in range(3)]
    assert client.put_changes(ids[0], status="canceled").status_code == 200
    assert client.put_changes(ids[0], status="canceled").status_code == 400
    assert client.put_changes(ids[1], allowMatureContent=True).status_code == 200
    assert client.delete(f"{WORKFLOWS}/{ids[2]}").status_code == 204
    canceled, allowed = (client.workflow(id) for id in ids[:2])
    assert [canceled["status"], canceled["steps"][0]["status"]] == ["canceled"] * 2
    assert (allowed["status"], allowed["allowMatureContent"]) == ("unassigned", True)
    assert client.get(f"{WORKFLOWS}/{ids[2]}").status_code == 404
    account = client.sandbox.accounts()[0]
    assert (account["balance"], account["charged"], account["refunded"]) == (BUZZ, 0, 0)


def test_an_estimate_shares_its_id_with_nothing(play: Play) -> None:
    client = play(switches=Switches(whatif_persists=True))
    ids = [client.submit(FOX, whatif=whatif).json()["id"] for whatif in (True, True, False, True)]
    assert len(set(ids)) == 4
