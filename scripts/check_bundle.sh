#!/usr/bin/env bash
# Hold the skill bundle against the tools that load it, in a scratch folder: skills-ref, npx skills,
# Claude Code, deepagents, and the wheel. Needs the network for the package registries, and nothing
# else of it. A tool that can't be had is a failure. PYTHON chooses the interpreter (3.11 or newer).
set -euo pipefail
exec </dev/null
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Tried with these; a new one is tried before it is named here.
NODE=node@22 SKILLS=skills@1.7.4 CLAUDE=@anthropic-ai/claude-code@2.1.330
SKILLS_REF=skills-ref==0.1.1 DEEPAGENTS=deepagents==0.7.32
# Seconds for an installation, and for one call of a tool.
INSTALL=120 CALL=60

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# A home of its own: what these tools write there must not meet the user's settings.
mkdir "$work/home"
export HOME="$work/home" CIVITAI_SKILL_HOME="$work/state" CIVITAI_SANDBOX=1 CI=1
export PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONDONTWRITEBYTECODE=1 npm_config_update_notifier=false
export DISABLE_TELEMETRY=1 DO_NOT_TRACK=1 CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1
unset PYTHONPATH

step() { printf '\n== %s (%ss)\n' "$1" "$SECONDS"; }
die() { printf 'check_bundle: %s\n' "$1" >&2; exit 1; }
# Run quietly; on failure say what failed and show what it said.
quiet() {
    local what=$1
    shift
    "$@" >"$work/said" 2>&1 || { cat "$work/said" >&2; die "$what"; }
}

step "tools from the registries"
command -v npm >/dev/null || die "npm is not installed"
(
    mkdir "$work/node" && cd "$work/node" && npm init -y >/dev/null &&
        timeout "$INSTALL" npm install --no-audit --no-fund --loglevel=error "$NODE" &&
        PATH="$work/node/node_modules/.bin:$PATH" timeout "$INSTALL" \
            npm install --no-audit --no-fund --loglevel=error "$SKILLS" "$CLAUDE"
) >"$work/npm.log" 2>&1 &
npm=$!
"${PYTHON:-python3}" -m venv "$work/venv"
quiet "the wheel does not build" "$work/venv/bin/pip" wheel -q --no-deps -w "$work" .
wheel=$(echo "$work"/civitai_skill-*.whl)
quiet "skills-ref or deepagents can't be installed" timeout "$INSTALL" \
    "$work/venv/bin/pip" install -q "$wheel[langchain]" "$SKILLS_REF" "$DEEPAGENTS"
wait "$npm" || { cat "$work/npm.log" >&2; die "Node 22, skills or Claude Code can't be installed"; }
python=$work/venv/bin/python
PATH="$work/node/node_modules/.bin:$PATH"
for tool in skills claude; do
    command -v "$tool" >/dev/null || die "$tool was installed but is not there"
done

step "a checkout under the bundle's own name"
# The root skill is named like its folder, so a checkout called anything else can't be validated.
clone=$work/civitai-skill
mkdir "$clone"
tar --exclude='./.git' --exclude='./.venv' --exclude='./.*_cache' --exclude='./.hypothesis' \
    --exclude='__pycache__' --exclude='./pictures' -cf - . | tar -xf - -C "$clone"

step "agentskills validate"
for skill in "$clone" "$clone"/skills/*/; do
    "$work/venv/bin/agentskills" validate "${skill%/}"
done

step "npx skills"
count=$(find "$clone/skills" -mindepth 2 -maxdepth 2 -name SKILL.md | wc -l)
mkdir "$work/listed" "$work/whole" "$work/apart"
cd "$work/listed"
quiet "skills add --list of the bundle" timeout "$CALL" skills add "$clone" --list
grep -q "civitai-skill" "$work/said" || die "npx skills does not list the bundle"
quiet "skills add --list of the task skills" timeout "$CALL" skills add "$clone/skills" --list
for skill in "$clone"/skills/*/; do
    grep -q "$(basename "$skill")" "$work/said" || die "npx skills does not list $skill"
done
cd "$work/whole"
quiet "skills add of the bundle" timeout "$CALL" skills add "$clone" --agent codex --copy -y
cmp "$clone/SKILL.md" .agents/skills/civitai-skill/SKILL.md
cd "$work/apart"
quiet "skills add of the task skills" timeout "$CALL" skills add "$clone/skills" --agent codex claude-code --copy -y
for folder in .agents/skills .claude/skills; do
    [ "$(find "$folder" -name SKILL.md | wc -l)" = "$count" ] || die "skills missing in $folder"
done
echo "listed and installed: the bundle, and $count skills apart"

step "claude plugin validate"
cd "$work"
timeout "$CALL" claude plugin validate --strict --profile directory "$clone"

step "deepagents"
timeout "$CALL" "$python" "$clone/scripts/check_deepagents.py" "$clone/skills"

step "installed from the wheel, and a lone skill"
# Outside the scratch environment there is no civitai-skill: only the note leads to it.
"$work/venv/bin/civitai-skill" install-skill --dir "$work/agent/skills" >"$work/said"
lone=$work/agent/skills/civitai-generate-image/scripts/civitai.py
base=$("$python" -c 'import sys; print(sys.base_prefix)')/bin/python3
bare() {
    env -i HOME="$HOME" PATH=/usr/bin:/bin CIVITAI_SANDBOX=1 CIVITAI_SKILL_HOME="$work/state" \
        timeout "$CALL" "$base" "$@"
}
bare "$lone" generate "a red fox" --out "$work/fox" --quiet >"$work/said"
[ -n "$(find "$work/fox" -name '*.jpeg')" ] || die "the installed skill made no picture"
cp -r "$clone/skills/civitai-edit-image" "$work/alone"
code=0
bare "$work/alone/scripts/civitai.py" doctor 2>"$work/said" || code=$?
[ "$code" = 3 ] || die "a lone skill without the package ended with $code, not 3"
grep -q "pip install" "$work/said" || die "a lone skill does not say how to install the package"
"$work/venv/bin/civitai-skill" uninstall-skill --dir "$work/agent/skills" >"$work/said"
[ -z "$(find "$work/agent/skills" -type f)" ] || die "uninstall-skill left files behind"
echo "installed, used, and taken back"

step "done"
