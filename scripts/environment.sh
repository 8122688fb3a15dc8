#!/bin/sh
# Creates or updates a virtual environment from a lock file: environment.sh FOLDER LOCK
#
# Every package comes as a wheel whose hash stands in the lock, so that no compiler and no
# trust in the registry is needed; then the project itself goes in, editable and offline.
# uv does it when it is on the PATH (faster), otherwise pip.
set -eu
folder=$1
lock=$2
cd "$(dirname "$0")/.."

python="$folder/bin/python"
if [ -e "$folder" ] && ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null; then
    # Half made, or its interpreter has gone: start again, but never delete a stranger's folder.
    if [ ! -e "$folder/pyvenv.cfg" ] && [ -n "$(ls -A "$folder")" ]; then
        echo "$folder exists and is not a virtual environment: move it away first." >&2
        exit 1
    fi
    rm -rf "$folder"
fi

if [ ! -e "$folder" ]; then
    found=$(sh scripts/find_python.sh)
fi
count=$(grep -c '==' "$lock")
if command -v uv >/dev/null 2>&1; then
    [ -e "$folder" ] || uv venv --quiet --python "$found" "$folder"
    echo "Installing up to $count pinned packages into $folder with uv, wheels only ..."
    uv pip install --quiet --python "$python" --require-hashes --no-deps --only-binary :all: -r "$lock"
    uv pip install --quiet --python "$python" --no-deps --no-build-isolation --editable .
    uv pip check --quiet --python "$python"
else
    # An environment that uv made has no pip of its own.
    [ -e "$folder" ] || "$found" -m venv "$folder"
    "$python" -m pip --version >/dev/null 2>&1 || "$python" -m ensurepip >/dev/null
    echo "Installing up to $count pinned packages into $folder with pip, wheels only ..."
    pip="$python -m pip --disable-pip-version-check --no-input"
    $pip install --quiet --require-hashes --no-deps --only-binary :all: -r "$lock"
    $pip install --quiet --no-deps --no-build-isolation --editable .
    $pip check >/dev/null || { $pip check >&2; exit 1; }
fi
