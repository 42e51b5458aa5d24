"""Odd input to the sandbox: each is answered with the 4xx that it deserves, or taken as meant."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest

WORKFLOWS = "/v2/consumer/workflows"
BLOBS = "/v2/consumer/blobs"
FOX: dict[str, Any] = {
    "engine": "flux2", "model": "klein", "operation": "createImage", "prompt": "a fox",
    "steps": 8, "cfgScale": 1, "width": 512, "height": 512,
}  # fmt: skip
Play = Callable[..., Any]


def cursor(text: bytes) -> str:
    return base64.urlsafe_b64encode(text).decode()


# -- parameters ------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "given", ["1_0", " 5 ", "٣", "9" * 20, "9" * 5000, "1e3", "1.0", "", "0x1", "2147483648"]
)
def test_a_number_is_ascii_digits_of_32_bits(play: Play, given: str) -> None:
    client = play()
    for path, name in ((WORKFLOWS, "take"), (f"{WORKFLOWS}/x", "wait"), ("/v2/services", "limit")):
        answer = client.get(path, params={name: given})
        assert answer.status_code == 400
        assert answer.json()["errors"] == {name: [f"The value '{given}' is not valid."]}
    assert client.get(f"{WORKFLOWS}/x", params={"wait": "-2147483648"}).status_code == 404


@pytest.mark.parametrize(
    "mark",
    [
        "é",
        "?",
        *map(cursor, (b"[" * 6000, b"1" * 400, b"1" * 400 + b".0", b"NaN", b"\xff", b"1e9")),
    ],
)
def test_a_cursor_that_is_none_of_ours_is_refused(play: Play, mark: str) -> None:
    answer = play().get(WORKFLOWS, params={"cursor": mark})
    assert answer.json()["errors"] == {"cursor": [f"The value '{mark}' is not valid."]}


def test_dates_far_away_are_only_far_away(play: Play) -> None:
    client = play()
    client.submit(FOX)
    for date in ("0001-01-01", "0001-01-01T00:00:00+14:00"):
        assert len(client.get(WORKFLOWS, params={"fromDate": date}).json()["items"]) == 1
    assert client.get(WORKFLOWS, params={"fromDate": "9999-12-31"}).json()["items"] == []


# -- tokens ----------------------------------------------------------------------------------------
def test_signatures_and_tokens_in_other_letters_are_not_ours(play: Play) -> None:
    client = play()
    assert client.get(f"{BLOBS}/x.jpeg", params={"sig": "é", "exp": "1"}).status_code == 403
    assert client.get(f"{BLOBS}/content/é.é").status_code == 400
    upload = {"content": b"x", "headers": {"Content-Type": "image/png"}}
    assert client.post(BLOBS, params={"upload": "é.é"}, **upload).status_code == 403


def test_a_token_is_good_for_its_purpose_only(play: Play) -> None:
    client = play()
    signed = client.get(f"{BLOBS}/upload").json()["uploadUrl"].partition("upload=")[2]
    assert client.get(f"{BLOBS}/content/{signed}").status_code == 400
    url = client.submit(FOX, wait=5).json()["steps"][0]["output"]["images"][0]["url"]
    content = client.get(url).headers["Location"].rpartition("/")[2]
    upload = {"content": b"x", "headers": {"Content-Type": "image/png"}}
    assert client.post(BLOBS, params={"upload": content}, **upload).status_code == 403


# -- references and bodies -------------------------------------------------------------------------
@pytest.mark.parametrize("place", ["²", "٣", "9" * 5000, "00", "-1"])
def test_a_place_in_a_list_is_ascii_digits(play: Play, place: str) -> None:
    client = play()
    prompt = {"$ref": "$arguments", "path": f"words[{place}]"}
    failed = client.submit({**FOX, "prompt": prompt}, wait=5, arguments={"words": ["a"]}).json()
    assert failed["steps"][0]["output"]["errors"] == ["A reference could not be resolved: prompt."]
    for operation in ({"op": "add", "value": "a"}, {"op": "remove"}):
        patch = [{**operation, "path": f"/tags/{place}"}]
        assert client.patch(f"{WORKFLOWS}/{failed['id']}", json=patch).status_code == 400


def test_a_body_is_read_as_deep_as_dotnet_reads(play: Play) -> None:
    client = play()

    def nested(depth: int) -> Any:
        return {"a": nested(depth - 1)} if depth else 1

    assert client.submit(FOX, metadata=nested(63)).status_code == 202
    for depth in (64, 400):
        answer = client.submit(FOX, metadata=nested(depth))
        assert answer.json()["errors"] == {
            "$": ["The maximum configured depth of 64 has been exceeded."]
        }
    id = client.submit(FOX, metadata=nested(60)).json()["id"]
    deeper = [{"op": "add", "path": "/metadata" + "/a" * 60, "value": nested(20)}]
    assert client.patch(f"{WORKFLOWS}/{id}", json=deeper).status_code == 400


def test_a_date_beyond_the_calendar_is_its_last(play: Play) -> None:
    stuck = {"$type": "imageGen", "input": FOX, "timeout": "99999999.00:00:00"}
    slow = {**stuck, "input": {**FOX, "prompt": f"[sandbox:slow={'9' * 400}]"}}
    queue = play().submit(slow).json()["steps"][0]["queuePosition"]
    assert queue["estimatedCompleteAt"] == "9999-12-31T23:59:59Z"


# -- JSON Patch ------------------------------------------------------------------------------------
def test_a_patch_removes_and_moves_what_it_says(play: Play) -> None:
    client = play()
    id = client.submit(FOX, metadata={"a": 1}, tags=["t", "u"]).json()["id"]

    def patched(*operations: Any) -> Any:
        answer = client.patch(f"{WORKFLOWS}/{id}", json=list(operations))
        value = client.workflow(id)
        return answer.status_code, value["tags"], value["metadata"]

    moved = {"op": "move", "from": "/tags", "path": "/metadata/b"}
    assert patched(moved) == (204, [], {"a": 1, "b": ["t", "u"]})
    back = {"op": "move", "from": "/metadata/b", "path": "/tags"}
    assert patched(back) == (204, ["t", "u"], {"a": 1})
    assert patched({"op": "remove", "path": "/metadata"}) == (204, ["t", "u"], {})
    assert patched({"op": "replace", "path": "/tags", "value": None}) == (204, [], {})
    for path in ("/status", "/allowMatureContent"):
        answer = client.patch(f"{WORKFLOWS}/{id}", json=[{"op": "remove", "path": path}])
        assert answer.json()["errors"] == {path[1:]: ["It can't be removed."]}
    into_itself = {"op": "move", "from": "/metadata", "path": "/metadata/x"}
    assert patched(into_itself) == (400, [], {})
