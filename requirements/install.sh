#!/usr/bin/env bash
# Make .venv and install the pinned set into it: requirements/install.sh [dev]
# With ENGINE=llamacpp it is .venv-light, without torch, vLLM and transformers; both may be there. Test tools are for
# .venv alone.
# Run again it installs nothing: a stamp holds the checksum of what was asked for.
set -euo pipefail
cd "$(dirname "$0")/.."

case "${ENGINE:-}" in
"" | vllm | llamacpp) ;;
*)
    echo "outworker: ENGINE: expected llamacpp (the light installation) or vllm, found \"$ENGINE\":" \
        "for another engine set engine in [[models]]" >&2
    exit 2
    ;;
esac

venv=.venv
kind=cpu
if [ "${ENGINE:-}" = llamacpp ] && [ "${1:-}" != dev ]; then
    venv=.venv-light
    kind=light
elif command -v nvidia-smi >/dev/null 2>&1 && nvidia-smi -L 2>/dev/null | grep -q GPU; then
    kind=cuda
fi
torch_index="https://download.pytorch.org/whl/cpu"

find_python() {
    for candidate in "${PYTHON:-python3}" python3.11 python3.12 python3.13 python3.14; do
        if "$candidate" -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    echo "outworker: no Python 3.11 or newer with venv found: install one, or set PYTHON to it" >&2
    exit 2
}

pip() { "$venv/bin/python" -m pip --disable-pip-version-check --quiet "$@" 2> >(grep -v '^WARNING: ' >&2); }

install_list() { # LIST [OPTION...]: exactly these files, and nothing that would have to be built
    local compile=()
    # Python compiles what it imports; compiled ahead, the rest would be a fifth of the light way's size.
    if [ "$kind" = light ]; then compile=(--no-compile); fi
    pip install --no-deps --require-hashes --only-binary :all: "${compile[@]}" "${@:2}" -r "requirements/$1.txt"
}

stamped() { # NAME FILE...: has this set been installed already?
    [ -f "$venv/.installed-$1" ] && [ "$(cat "$venv/.installed-$1")" = "$(checksum "${@:2}")" ]
}

checksum() { cat "$@" requirements/install.sh pyproject.toml | cksum; }

if ! stamped "$kind" "requirements/$kind.txt"; then
    [ -x "$venv/bin/python" ] || "$(find_python)" -m venv "$venv"
    size="a few minutes, 3.5 GB on a CPU host"
    if [ "$kind" = light ]; then size="half a minute, 350 MB"; fi
    echo "installing the engine and its packages into $venv ($size) ..."
    if [ "$kind" = cpu ]; then
        # The CPU build of torch: from where pip is told to look, else from PyTorch's own index.
        install_list torch-cpu 2>/dev/null || install_list torch-cpu --index-url "$torch_index"
    fi
    install_list "$kind"
    pip install --no-deps --no-build-isolation --editable .
    checksum "requirements/$kind.txt" >"$venv/.installed-$kind"
fi

if [ "${1:-}" = dev ] && ! stamped dev requirements/dev.txt; then
    echo "installing the test tools into $venv ..."
    install_list dev
    checksum requirements/dev.txt >"$venv/.installed-dev"
fi
