"""The document's referee against the sandbox and against what is built, at full size.

    CIVITAI_OPENAPI=DOCUMENT PYTHONPATH=. python benchmarks/forms.py --mutations 200 --requests 400

Spoils a body of each emulated step at random places, and counts whether the sandbox and the referee
say the same of it; draws requests for each form, and counts the bodies that do not fit. Another
--seed draws others. The small form of both is in tests/sandbox and tests/engines.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import httpx
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from civitai_skill.engines.planning.plan import plan
from civitai_skill.sandbox import BASE_URL, KEY, Sandbox, SandboxTransport, Switches
from tests.engines.test_generated_requests import ROADS, requests
from tests.sandbox.test_document_conformance import judge
from tests.support.scripts import load


def compare(referee: Any, mutations: int, random: Random) -> None:
    """Both verdicts on spoilt bodies."""
    sandbox = Sandbox(switches=Switches(long_tags_refused=False))
    headers = {"Authorization": f"Bearer {KEY}"}
    with httpx.Client(
        transport=SandboxTransport(sandbox), base_url=BASE_URL, headers=headers
    ) as client:
        submit = partial(client.post, "/v2/consumer/workflows?whatif=true")
        judged, refused, apart = judge(lambda body: submit(json=body), referee, mutations, random)
    sandbox.close()
    print(f"{judged} spoilt bodies, {refused} refused: the verdicts differ on {len(apart)}")
    for found in apart[:5]:
        print(*found)


def draw(referee: Any, number: int, first: int) -> None:
    """Bodies of random requests."""
    drawn, wrong = 0, []

    def build(request: Any, form: Any) -> None:
        nonlocal drawn
        drawn += 1
        decided = plan(request)
        body = json.loads(json.dumps(decided.form.sent()))
        problems = referee.check(body, "ImageGenInput")
        if problems or type(decided.form) is not form:
            wrong.append((request, problems))

    for form in ROADS:
        way = st.sampled_from(form.operations()).flatmap(lambda done, f=form: requests(f, done))

        @seed(first)
        @settings(
            max_examples=number, deadline=None, database=None,
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(way, st.just(form))
        def judged(request: Any, form: Any) -> None:
            build(request, form)

        judged()
    print(f"{drawn} requests for {len(ROADS)} forms: {len(wrong)} bodies do not fit")
    for request, problems in wrong[:5]:
        print(request, problems)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mutations", type=int, default=200)
    parser.add_argument("--requests", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    words = parser.parse_args()
    document = Path(os.environ["CIVITAI_OPENAPI"])
    referee = load(document.parent.parent / "tools" / "spec_check.py").Referee(document)
    began = time.monotonic()
    compare(referee, words.mutations, Random(words.seed))
    print(f"{time.monotonic() - began:.0f} s")
    began = time.monotonic()
    draw(referee, words.requests, words.seed)
    print(f"{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
