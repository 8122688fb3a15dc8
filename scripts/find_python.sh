#!/bin/sh
# Prints the path of a Python >= 3.12 that can make a virtual environment, or says what to
# install and fails. PYTHON=/path/to/python overrules the search.
#
# 3.12 first, since that is what the tests run on; newer ones after it.
set -u

usable() {
    [ -n "$1" ] || return 1
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 12))' >/dev/null 2>&1 || return 1
    # Debian splits venv off; uv brings its own.
    command -v uv >/dev/null 2>&1 || "$1" -c 'import ensurepip, venv' >/dev/null 2>&1
}

if [ -n "${PYTHON:-}" ]; then
    if usable "$PYTHON"; then command -v "$PYTHON"; exit 0; fi
    echo "PYTHON=$PYTHON is not a Python >= 3.12 with the venv module." >&2
    exit 1
fi

for name in python3.12 python3.13 python3.14 python3 python; do
    for folder in $(echo "$PATH" | tr ':' ' '); do
        if [ -x "$folder/$name" ] && usable "$folder/$name"; then echo "$folder/$name"; exit 0; fi
    done
done

# pyenv's interpreters, also where its shims are not on the PATH or select another version.
for version in 3.12 3.13 3.14; do
    for candidate in "${PYENV_ROOT:-${HOME:-/root}/.pyenv}/versions/$version"*/bin/python3; do
        if [ -x "$candidate" ] && usable "$candidate"; then echo "$candidate"; exit 0; fi
    done
done

if command -v uv >/dev/null 2>&1; then
    if found=$(uv python find --no-project '>=3.12' 2>/dev/null) && [ -n "$found" ]; then
        echo "$found"; exit 0
    fi
    if uv python install 3.12 >&2 && found=$(uv python find --no-project 3.12 2>/dev/null); then
        echo "$found"; exit 0
    fi
fi

cat >&2 <<'MESSAGE'
Copycatch needs Python 3.12 or newer, with its venv module, and found none. One of these gives it:
  Debian 13, Ubuntu 24.04   apt-get install python3 python3-venv
  Fedora                    dnf install python3.12
  macOS                     brew install python@3.12
  pyenv                     pyenv install 3.12
  uv (any system)           uv python install 3.12
A Python elsewhere is used with: make ... PYTHON=/path/to/python3.12
MESSAGE
exit 1
