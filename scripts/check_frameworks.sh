#!/usr/bin/env bash
# Run every example with the framework that it is for, and every MCP client against the server, over
# the sandbox, each in a virtual environment of its own; then print what passed, in which version.
#
#     scripts/check_frameworks.sh [NAME...]    all of them when none is named
#
# An example has to save a picture and to have paid once. A client has to make a picture, ask for the
# same again, and see it, and to have paid once. PYTHON is an interpreter that has this package with
# its extra mcp; ENVS names a folder that keeps the environments. Registries are the only network.
set -euo pipefail
exec </dev/null
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD
python=$(command -v "${PYTHON:-python3}")

# name | example or client, its file | packages, the first of which is the framework
FRAMEWORKS='
langchain | example langchain_agent | langchain>=1.0,<2
openai-agents | example with_openai_agents | openai-agents
pydantic-ai | example with_pydantic_ai | pydantic-ai-slim
anthropic | example with_anthropic | anthropic
google-genai | example with_google_genai | google-genai
google-adk | example with_google_adk | google-adk
autogen | example with_autogen | autogen-agentchat autogen-ext
smolagents | example with_smolagents | smolagents
llama-index | example with_llama_index | llama-index-core
crewai | example with_crewai | crewai
mcp-1 | client sdk | mcp>=1.28,<2
mcp-2 | client sdk | mcp>=2,<3
anthropic-mcp | client anthropic_runner | anthropic[mcp] mcp>=2,<3
autogen-mcp | client autogen_workbench | autogen-ext[mcp] autogen-agentchat mcp<2
semantic-kernel | client kernel_plugin | semantic-kernel
langchain-mcp | client langchain_adapters | langchain-mcp-adapters
inspector | npm inspector | @modelcontextprotocol/inspector@2.12.0 node@22
'

work=$(mktemp -d)
server=
finish() {
    [ -z "$server" ] || { kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; }
    rm -rf "$work"
}
trap finish EXIT
envs=${ENVS:-$work/envs}
mkdir -p "$envs"
unset CIVITAI_API_KEY CIVITAI_API_TOKEN CIVITAI_BASE_URL CIVITAI_MAX_BUZZ CIVITAI_BUDGET PYTHONPATH
export CIVITAI_SANDBOX=1 PIP_DISABLE_PIP_VERSION_CHECK=1
export CREWAI_DISABLE_TELEMETRY=true OTEL_SDK_DISABLED=true DO_NOT_TRACK=1
ours() { PYTHONPATH=$root "$python" -m civitai_skill "$@"; }
SERVE=(env "PYTHONPATH=$root" "$python" -m civitai_skill mcp)
PROMPT="a red fox asleep in fresh snow"

install_python() { # environment, packages...
    local env=$1 wanted=("${@:2}")
    [ -x "$env/bin/python" ] || "$python" -m venv "$env"
    timeout 400 "$env/bin/pip" install --quiet "${wanted[@]}"
}

# Each runs in a folder and a home of its own and must leave one purchase.
run_example() { # environment, file
    timeout 120 "$1/bin/python" "$root/examples/$2.py" "$PROMPT" | tee said || return 1
    local picture
    picture=$(tail -n 1 said | sed 's/.*: //')
    [ -s "$picture" ] || { echo "no picture at '$picture'"; return 1; }
}

run_client() { # environment, file
    timeout 120 "$1/bin/python" "$root/scripts/mcp_clients/$2.py" "${SERVE[@]}" --stdio --out "$PWD"
}

run_inspector() { # folder of node modules
    "${SERVE[@]}" --http --port 0 --out "$PWD" >server.log 2>&1 &
    server=$!
    local url='' id
    for _ in $(seq 150); do
        url=$(sed -n 's/.*ready on \([^ ]*\).*/\1/p' server.log)
        [ -z "$url" ] || break
        sleep 0.2
    done
    call() {
        PATH="$1/node_modules/.bin:$PATH" timeout 60 mcp-inspector --cli "$url" --transport http \
            --method tools/call --tool-name "$2" --format json --tool-arg "${@:3}"
    }
    call "$1" civitai-generate-image "prompt=$PROMPT" include_image=no >made.json || return 1
    call "$1" civitai-generate-image "prompt=$PROMPT" include_image=no >again.json || return 1
    id=$("$python" -c 'import json; print(json.load(open("made.json"))["result"]["structuredContent"]["id"])')
    call "$1" civitai-get-image "id=$id" include_image=thumbnail >shown.json || return 1
    kill "$server" && wait "$server" || true
    server=
    "$python" - <<'PY'
import json
import sys
made, again, shown = (json.load(open(f"{n}.json"))["result"] for n in ("made", "again", "shown"))
sys.argv[1:] = ["-"]
sys.path.insert(0, __import__("os").environ["PROOF"])
from proof import check
check(*(r["content"][0]["text"] for r in (made, again, shown)), shown["content"][1]["data"])
PY
}

paid_once() {
    ours spend --json | "$python" -c '
import json, sys
told = json.load(sys.stdin)
runs = sum(row["runs"] for row in told["rows"])
sys.exit(0 if runs == 1 else f"{runs} purchases, {told}")'
}

check() { # name, kind, file, packages...
    local name=$1 kind=$2 file=$3 env=$envs/$1
    shift 3
    mkdir "$work/$name" && cd "$work/$name"
    export CIVITAI_SKILL_HOME=$work/$name/home PROOF=$root/scripts/mcp_clients
    case $kind in
        example) install_python "$env" "$wheel${extra:-}" "$@" && run_example "$env" "$file" ;;
        client) install_python "$env" "$@" && run_client "$env" "$file" ;;
        npm)
            timeout 200 npm install --silent --no-audit --no-fund --no-save --prefix "$env" "$@" &&
                run_inspector "$env"
            ;;
    esac || return 1
    paid_once
}

version() { # name, kind, package
    local package=${3%%[<>=[]*}
    case $2 in
        npm) echo "${3##*@}" ;;
        *) "$envs/$1/bin/python" -c \
            'import importlib.metadata as m, sys; print(m.version(sys.argv[1]))' "$package" ;;
    esac
}

"$python" -m pip wheel --quiet --no-deps --wheel-dir "$work" .
wheel=$(echo "$work"/civitai_skill-*.whl)
table=$(printf '%-16s %-12s %-6s %7s' name version result seconds)
failed=0
for wanted in "$@"; do
    grep -q "^$wanted |" <<<"$FRAMEWORKS" || { echo "there is no $wanted here" >&2; exit 2; }
done
while IFS='|' read -r name what packages; do
    name=${name// /}
    [ -n "$name" ] || continue
    [ $# = 0 ] || [[ " $* " == *" $name "* ]] || continue
    read -r kind file <<<"$what"
    read -ra words <<<"$packages"
    extra=''
    [ "$name" != langchain ] || extra='[langchain]'
    printf '== %s\n' "$name"
    start=$SECONDS result=ok
    if (check "$name" "$kind" "$file" "${words[@]}") >"$work/$name.log" 2>&1; then
        tail -n 1 "$work/$name.log"
    else
        result=FAILED failed=1
        tail -n 30 "$work/$name.log" >&2
    fi
    table+=$'\n'$(printf '%-16s %-12s %-6s %7s' "$name" \
        "$(version "$name" "$kind" "${words[0]}" 2>/dev/null || echo '?')" "$result" $((SECONDS - start)))
done <<<"$FRAMEWORKS"
printf '\n%s\n' "$table"
exit "$failed"
