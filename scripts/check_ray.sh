#!/usr/bin/env bash
# Test the Ray adapter on a local Ray, in an environment of its own: Ray does not go together with
# the other extras. PYTHON is the interpreter to make the environment from.
set -euo pipefail
exec </dev/null
cd "$(dirname "${BASH_SOURCE[0]}")/.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONDONTWRITEBYTECODE=1

"${PYTHON:-python3}" -m venv "$work/venv"
timeout 300 "$work/venv/bin/pip" install --quiet '.[ray]' hypothesis jsonschema pytest \
    pytest-asyncio pytest-recording
unset CIVITAI_OPENAPI
timeout --kill-after=10 240 "$work/venv/bin/python" -m pytest -q -p no:cacheprovider tests/adapters/test_ray.py
