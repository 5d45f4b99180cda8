#!/usr/bin/env bash
# Make .venv and install the pinned set into it: requirements/install.sh [serve | dev]
# With ENGINE=llamacpp it is .venv-light, without torch, vLLM and transformers; both may be there. Test tools are for
# .venv alone. This finds a Python; requirements/install.py does the rest.
set -euo pipefail
cd "$(dirname "$0")/.."

# Where torch's CPU build lies for whoever has told pip of no other place.
torch_index="https://download.pytorch.org/whl/cpu"

usable='import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))'
complete='import ensurepip, venv'
version='import sys; print("%d.%d" % sys.version_info[:2])'

refuse() {
    echo "outworker: $*" >&2
    exit 2
}

find_python() {
    local bare=
    if [ -n "${PYTHON:-}" ]; then
        "$PYTHON" -c "$usable" 2>/dev/null ||
            refuse "PYTHON=$PYTHON: is not Python 3.11, 3.12 or 3.13; set it to one, or leave it unset"
    fi
    for candidate in ${PYTHON:+"$PYTHON"} python3 python3.13 python3.12 python3.11; do
        "$candidate" -c "$usable" 2>/dev/null || continue
        if "$candidate" -c "$complete" 2>/dev/null; then
            echo "$candidate"
            return
        fi
        bare=${bare:-$candidate}
    done
    if [ -n "$bare" ]; then
        found=$("$bare" -c "$version")
        refuse "Python $found ($(command -v "$bare")) can't make environments: install python$found-venv" \
            "(Debian, Ubuntu: sudo apt install python$found-venv), or set PYTHON to another Python"
    fi
    found=$(python3 -c "$version" 2>/dev/null) || found=
    refuse "no Python 3.11, 3.12 or 3.13 was found${found:+ (python3 is $found)}: install one with venv" \
        "(Debian 12 and 13, Ubuntu 24.04: sudo apt install python3 python3-venv), or set PYTHON to its path"
}

python=$(find_python) || exit 2
exec "$python" -m requirements.install "$torch_index" "$@"
