#!/usr/bin/env bash
# Make the virtual environment $1 with $PYTHON, or say what is missing and how to get it. Leaves nothing half made.
set -euo pipefail
folder=$1
python=${PYTHON:-python3}

if ! command -v "$python" >/dev/null; then
    echo "error: $python is not installed (apt-get install python3 python3-venv, or make PYTHON=/path/to/python3.11)" >&2
    exit 1
fi
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "error: $("$python" --version) is too old, Python 3.11 or newer is needed (make PYTHON=python3.12)" >&2
    exit 1
fi
if ! "$python" -m venv "$folder" 2>/dev/null; then
    rm -rf "$folder"
    if ! "$python" -m virtualenv --quiet "$folder" 2>/dev/null; then
        rm -rf "$folder"
        echo "error: $python cannot make virtual environments (Debian, Ubuntu: apt-get install python3-venv)" >&2
        exit 1
    fi
fi
