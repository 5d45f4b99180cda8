#!/usr/bin/env bash
# Runs all tests, in two parts: those that may share the machine, as many at once as it has cores; then those that need it
# alone, one after the other. With arguments it runs what they say, in one process.
set -uo pipefail
cd "$(dirname "$0")/.."

tests() { .venv/bin/python -m pytest "$@"; }

if [ $# -gt 0 ]; then
    tests "$@"
    exit
fi
tests -n logical --maxprocesses 4 --dist worksteal -m "not engine and not alone"
together=$?
tests -m "engine or alone"
alone=$?
exit $((together ? together : alone))
