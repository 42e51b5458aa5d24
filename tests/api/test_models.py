"""What comes back is read leniently: shapes seen in real answers, and shapes nobody promised."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from civitai_skill.adapters.cli.values import to_local_time
from civitai_skill.api.models import NO_REASON, Workflow
from civitai_skill.batch.watcher import _just_before
from tests.support.thorough import cases

# The shape of a failed workflow as one was seen (civitai-api facts, 1.1), with values of our own.
FAILED: dict[str, Any] = {
    "id": "77-20260810223715659",
    "createdAt": "2026-08-10T22:37:15.659Z",
    "transactions": {
        "list": [
            {"type": "debit", "amount": 60, "id": "d", "accountType": "blue"},
            {"type": "credit", "amount": 60, "id": "c", "accountType": "blue"},
        ]
    },
    "metadata": {},
    "status": "failed",
    "tags": ["img"],
    "steps": [
        {
            "$type": "imageGen",
            "name": "$0",
            "status": "failed",
            "input": {"engine": "gemini", "prompt": "a fox", "quantity": 1, "seed": 5},
            "output": {
                "images": [
                    {"id": "a-0.jpg", "available": False, "url": "https://blobs.test/a?sig=1",
                     "width": 1024, "height": 1024}
                ],
                "errors": ["Could not make it."],
            },
            "jobs": [{"id": "j", "status": "failed", "cost": 60, "estimatedProgressRate": 0.0007}],
            "metadata": {},
        }
    ],
    "cost": {"base": 0, "factors": {"base": 60, "quantity": 1}, "total": 0},
    "externalId": "77-key",
}  # fmt: skip


def changed(**changes: Any) -> Workflow:
    return Workflow.read({**FAILED, **changes})


def output(images: Any, errors: Any = ()) -> Workflow:
    step = {**FAILED["steps"][0], "output": {"images": images, "errors": list(errors)}}
    return changed(steps=[{**step, "status": "succeeded"}], status="succeeded")


def test_a_failed_workflow_tells_its_reason_and_its_refund() -> None:
    workflow = Workflow.read(FAILED)

    assert workflow.done
    assert workflow.reasons() == ("Could not make it.",)
    assert workflow.cost.as_dict() == {"total": 0, "by_currency": {}, "refunded": 60}
    assert (workflow.wanted, workflow.external_id) == (1, "77-key")


def test_a_url_on_an_unavailable_picture_is_no_picture() -> None:
    image = Workflow.read(FAILED).images[0]

    assert (image.deliverable, image.reason, image.seed) == (False, "Could not make it.", 5)


def test_a_failure_without_a_word_says_so() -> None:
    image = output([{"id": "a", "available": False}]).images[0]

    assert image.reason == NO_REASON


def test_a_blocked_picture_in_a_succeeded_workflow_is_moderation() -> None:
    workflow = output([{"id": "a", "available": True, "url": "u", "blockedReason": "NsfwLevel"}])

    assert workflow.images[0].reason == "blocked: NsfwLevel"
    assert workflow.moderated


def test_the_word_none_is_not_a_reason_to_block() -> None:
    workflow = output([{"id": "a", "available": True, "url": "u", "blockedReason": "none"}])

    assert workflow.images[0].deliverable
    assert not workflow.moderated


@pytest.mark.parametrize("text", ["a photo of stones", "photos", "unblockedness"])
def test_words_that_merely_look_like_moderation_are_not(text: str) -> None:
    assert not output([{"id": "a"}], [text]).moderated


def test_the_pictures_of_a_batch_have_growing_seeds() -> None:
    blobs = [{"id": str(i), "available": True, "url": "u"} for i in range(3)]

    assert [i.seed for i in output(blobs).images] == [5, 6, 7]


def test_progress_keeps_numbers_that_come_with_support_unavailable() -> None:
    job = {"status": "preparing", "estimatedProgressRate": 1,
           "queuePosition": {"support": "unavailable", "precedingJobs": 4}}  # fmt: skip
    step = {"status": "preparing", "jobs": [job], "estimatedProgressRate": None}
    progress = changed(status="preparing", steps=[step]).progress

    assert str(progress) == "preparing, 4 ahead, 100% of the model"


@pytest.mark.parametrize("several", [True, False], ids=["list", "object"])
def test_a_step_without_jobs_tells_its_queue_and_what_it_prepares(several: bool) -> None:
    model = {"resource": "urn:air:sdxl:checkpoint:civitai:1@2", "queuePosition": 0,
             "progress": 0.25, "etaSeconds": 40, "sizeBytes": 7, "lane": "low"}  # fmt: skip
    step = {
        "status": "preparing",
        "preparation": [model, {"resource": "other"}] if several else model,
        "queuePosition": {"support": "available", "precedingJobs": 2,
                          "estimatedStartAt": "2026-11-28T23:00:00Z",
                          "estimatedCompleteAt": "2026-11-29T01:00:30.1234567+01:00"},
    }  # fmt: skip
    progress = changed(status="preparing", steps=[step]).progress

    assert str(progress) == (
        "preparing, 2 ahead, 25% of the model, the model in about 40 s, done about 00:00:30 UTC"
    )
    assert progress.preparing == model["resource"]
    job = {"queuePosition": {"precedingJobs": 0, "completeAt": "2026-11-28T23:10:00Z"}}
    old = changed(status="scheduled", steps=[{"status": "scheduled", "jobs": [job]}]).progress
    assert str(old) == "scheduled, 0 ahead, done about 23:10:00 UTC"


@pytest.mark.parametrize("told", ["0001-01-01T00:00:00Z", "0001-01-01T00:00:00+02:00",
                                  "9999-12-31T23:59:59-02:00"])  # fmt: skip
def test_a_moment_that_means_none_breaks_nothing(told: str) -> None:
    step = {"status": "processing", "queuePosition": {"completeAt": told}}
    assert str(Workflow.read({"steps": [step]}).progress).startswith("processing")
    assert to_local_time(told)
    assert _just_before(told) is None


def test_the_service_s_warnings_are_read_once_each_whatever_they_lack() -> None:
    gone = {
        "code": "modelDeprecated", "message": "It goes.", "replacement": "gpt-image-2",
        "deprecatedAt": "2026-06-01T00:00:00Z", "retiresAt": "2026-12-01T00:00:00Z",
    }  # fmt: skip
    steps = [{"warnings": [gone, gone]}, {"warnings": [{"code": "odd"}, {}, 5, None]}, {}]
    first, second = changed(steps=steps).warnings

    assert (first.code, first.retires_at) == ("modelDeprecated", "2026-12-01T00:00:00Z")
    assert str(first) == "It goes. It retires on 2026-12-01. Its replacement is gpt-image-2."
    assert str(second) == "odd."


def test_a_step_s_error_and_a_provider_s_message_are_found() -> None:
    step = {"status": "failed", "metadata": {"error": "it broke"},
            "output": {"externalTOSViolation": True, "message": "against the terms"}}  # fmt: skip

    assert changed(steps=[step]).reasons() == ("against the terms", "it broke")


def test_nothing_is_required() -> None:
    workflow = Workflow.read({})

    assert (workflow.id, workflow.status, workflow.done, workflow.images) == (
        None,
        "unknown",
        False,
        (),
    )


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["id", "status", "steps", "output", "images", "errors", "jobs", "cost", "total",
             "transactions", "list", "type", "amount", "queuePosition", "precedingJobs", "input",
             "quantity", "seed", "available", "url", "blockedReason", "metadata", "error", "tags",
             "estimatedProgressRate", "preparation", "resource", "$type", "width", "name"]
        ),
        inner,
        max_size=6,
    ),
    max_leaves=30,
)  # fmt: skip


@settings(max_examples=cases(500), deadline=None)
@given(st.dictionaries(st.sampled_from(list(FAILED)), ANYTHING))
def test_no_answer_that_is_an_object_breaks_the_reading(answer: dict[str, Any]) -> None:
    workflow = Workflow.read(answer)

    str(workflow.progress)
    workflow.reasons()
    workflow.cost.as_dict()
    assert workflow.wanted >= 0 or answer
    assert all(image.reason for image in workflow.images if not image.deliverable)


@pytest.mark.parametrize(
    ("entries", "kept", "refunded"),
    [
        ([("debit", 4, "blue"), ("credit", 400, "blue")], 0, 4),
        ([("debit", 4, "blue"), ("credit", 4, "blue"), ("credit", 4, "blue")], 0, 4),
        ([("debit", 4, "blue"), ("credit", 3, "yellow")], 4, 0),
        ([("debit", 4, "blue"), ("debit", 6, "yellow"), ("credit", 9, "blue")], 6, 4),
        ([("credit", 9, "blue")], 4, 0),
    ],
)
def test_no_more_comes_back_than_was_paid(
    entries: list[tuple[str, int, str]], kept: int, refunded: int
) -> None:
    listed = [{"type": t, "amount": n, "accountType": name} for t, n, name in entries]
    workflow = Workflow.read({"cost": {"total": 4}, "transactions": {"list": listed}})
    assert workflow.cost.kept == kept
    assert sum(workflow.cost.refunded.values()) == refunded
