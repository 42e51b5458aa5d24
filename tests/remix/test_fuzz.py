"""Texts that nobody wrote in their senses: no error that is not ours, and no text that takes long.

`benchmarks/remix.py` does the same for 10,000.
"""

from __future__ import annotations

import time

from tests.support.remix import fuzzed, read_and_fit


def test_fuzzed_texts_raise_nothing_of_their_own_and_are_quick() -> None:
    for text in fuzzed(100, seed=6):  # the engines' files load once
        read_and_fit(text)
    took = []
    for text in fuzzed(400, seed=7):
        began = time.thread_time()
        read_and_fit(text)
        took.append(time.thread_time() - began)
    # Python's own collections of garbage hit one or two of them.
    assert sorted(took)[-4] < 0.05


def test_texts_made_to_be_slow_are_not() -> None:
    long = 200_000
    for text in (
        "Steps: 1, " * (long // 10),
        "(" * long + "\nSteps: 1, Sampler: a, Seed: 1",
        "[" * long + "\nNegative prompt: x",
        "<lora:" * (long // 6) + "\nNegative prompt: x",
        'a\nSteps: 20, Sampler: x, Seed: 1, Hashes: {"a": ' + "[" * long,
        'a\nSteps: 20, Sampler: x, Seed: 1, Note: "' + "\\" * long,
        "{" * long,
        '{"a":' * (long // 5),
        "a, Negative prompt: " * (long // 20),
        "\n".join(["Steps: 20, x"] * (long // 13)),
    ):
        began = time.thread_time()
        read_and_fit(text)
        assert time.thread_time() - began < 1, text[:40]
