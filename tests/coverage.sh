#!/usr/bin/env bash
# Measures which lines and branches of app/ the tests run, in every process that they start. Whether a test passes is
# `make test`'s to say: measured, a program is slower, and a test that meets its patience's end still counts here.
set -uo pipefail
cd "$(dirname "$0")/.."

bin=.venv/bin
rm -f .coverage .coverage.*
$bin/coverage run -m pytest -n logical --maxprocesses 4 --dist worksteal -m "not engine and not alone" ||
    echo "outworker: some tests failed while they were measured"
$bin/coverage run -m pytest -m "engine and not soak" tests/live/test_engines.py tests/live/test_serving.py ||
    echo "outworker: some tests failed while they were measured"
$bin/coverage combine --quiet
$bin/coverage report --skip-covered --sort=miss
