#!/usr/bin/env bash
# Judge the MCP server by tools that others wrote: the protocol's inspector (strict) and conformance
# suite, and LangChain's adapters. Everything is installed into a scratch folder; the server is the
# sandbox's. PYTHON is an interpreter that has this package with the extra mcp.
set -euo pipefail
exec </dev/null
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD
python=${PYTHON:-python3}

INSPECTOR=2.12.0
CONFORMANCE=0.2.0-alpha.12
ADAPTERS='langchain-mcp-adapters>=0.1,<1'

work=$(mktemp -d)
server=
finish() {
    [ -z "$server" ] || { kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; }
    rm -rf "$work"
}
trap finish EXIT
say() { printf '== %s (%ss)\n' "$1" "$SECONDS"; }
bounded() { timeout --kill-after=5 "$@"; }

unset CIVITAI_API_KEY CIVITAI_API_TOKEN CIVITAI_BASE_URL CIVITAI_MAX_BUZZ CIVITAI_BUDGET
export CIVITAI_SANDBOX=1 CIVITAI_SKILL_HOME=$work/home
export PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH} PIP_DISABLE_PIP_VERSION_CHECK=1

say "install"
(
    cd "$work"
    bounded 150 npm install --silent --no-audit --no-fund --no-save --prefix "$work" \
        node@22 "@modelcontextprotocol/inspector@$INSPECTOR" \
        "@modelcontextprotocol/conformance@$CONFORMANCE" >npm.log 2>&1
) & npm=$!
# Not under PYTHONPATH: the adapters have an environment of their own.
(
    unset PYTHONPATH
    "$python" -m venv "$work/adapters"
    bounded 150 "$work/adapters/bin/pip" install --quiet "$ADAPTERS" >"$work/pip.log" 2>&1
) & pip=$!
wait "$npm" || { cat "$work/npm.log" >&2; echo "npm could not install the tools" >&2; exit 1; }
wait "$pip" || { cat "$work/pip.log" >&2; echo "pip could not install the adapters" >&2; exit 1; }
export PATH=$work/node_modules/.bin:$PATH

say "server"
"$python" -m civitai_skill mcp --http --port 0 --out "$work/pictures" >"$work/server.log" 2>&1 &
server=$!
url=
for _ in $(seq 100); do
    url=$(sed -n 's/.*ready on \([^ ]*\).*/\1/p' "$work/server.log")
    [ -z "$url" ] || break
    kill -0 "$server" 2>/dev/null || break
    sleep 0.2
done
[ -n "$url" ] || { cat "$work/server.log" >&2; echo "the server did not start" >&2; exit 1; }

say "inspector, strict"
for era in legacy modern; do
    bounded 60 mcp-inspector --cli "$url" --transport http --protocol-era "$era" \
        --method tools/list --strict --format json >"$work/$era.json" 2>"$work/$era.err" ||
        { cat "$work/$era.err" >&2; exit 1; }
    [ ! -s "$work/$era.err" ] || { cat "$work/$era.err" >&2; exit 1; }
done
bounded 60 mcp-inspector --cli "$python" -m civitai_skill mcp --stdio --out "$work/pictures" \
    -e "PYTHONPATH=$PYTHONPATH" -e "CIVITAI_SANDBOX=1" -e "CIVITAI_SKILL_HOME=$CIVITAI_SKILL_HOME" \
    --method tools/call --tool-name civitai-generate-image --tool-arg "prompt=a red fox" \
    --format json >"$work/call.json"
"$python" - "$work/call.json" <<'PY'
import json, sys
result = json.load(open(sys.argv[1]))["result"]
kinds = [block["type"] for block in result["content"]]
assert result["structuredContent"]["status"] == "succeeded", result
assert kinds == ["text", "image"], kinds
PY

say "conformance"
for asked in "--spec-version 2025-11-25" "--requirements 2026-07-28"; do
    # Two words on purpose.
    # shellcheck disable=SC2086
    bounded 100 conformance server --url "$url" $asked --output-dir "$work/results" \
        --expected-failures "$root/scripts/conformance.yml" >"$work/conformance.log" 2>&1 ||
        { sed -n '/SUMMARY/,$p' "$work/conformance.log" >&2; exit 1; }
    passed=$(grep -c '^✓' "$work/conformance.log")
    echo "${asked#--* }: $passed scenarios pass; those that can't are in scripts/conformance.yml"
done

say "langchain-mcp-adapters"
bounded 90 env -u PYTHONPATH "$work/adapters/bin/python" scripts/check_mcp_langchain.py "$url" \
    env "PYTHONPATH=$PYTHONPATH" "CIVITAI_SANDBOX=1" "CIVITAI_SKILL_HOME=$CIVITAI_SKILL_HOME" \
    "$python" -m civitai_skill mcp --stdio --out "$work/pictures"

say "the end of the server"
kill -TERM "$server"
wait "$server" || { cat "$work/server.log" >&2; echo "the server did not end well" >&2; exit 1; }
server=
if grep -q Traceback "$work/server.log"; then cat "$work/server.log" >&2; exit 1; fi
say "done"
