# Sourced by the commands in bin/: finds a Python that can build the virtual environment and
# hands over to bridge_stack.install, which sets up what is missing and starts the command.

bridge_lib=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd -P)

bridge_python_works() { # version in range, and able to make a virtual environment with pip in it
    "$1" -I -c 'import sys, venv, ensurepip; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' \
        </dev/null >/dev/null 2>&1
}

bridge_find_python() {
    local candidate
    if [ -n "${G2P_PYTHON:-}" ]; then
        bridge_python_works "$G2P_PYTHON" && echo "$G2P_PYTHON" && return
        echo "G2P_PYTHON=$G2P_PYTHON is no Python 3.10 to 3.13 with the modules venv and ensurepip." >&2
        return 1
    fi
    # full paths too: a version manager's stand-in of that name may come first and be unusable
    for candidate in python3.12 python3.11 python3.13 python3.10 python3 \
        /usr/bin/python3.12 /usr/bin/python3.11 /usr/bin/python3.13 /usr/bin/python3.10 \
        /usr/bin/python3 /usr/local/bin/python3; do
        if command -v "$candidate" >/dev/null 2>&1 && bridge_python_works "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    echo "No usable Python: Odoo 19 needs Python 3.10 to 3.13 with the modules venv and ensurepip." >&2
    echo "On Debian or Ubuntu: apt-get install python3-venv. Elsewhere: G2P_PYTHON=/path/to/python." >&2
    return 1
}

bridge_start() { # NEEDS MODULE [ARGUMENTS]: set up NEEDS, then run the module in the virtual environment
    local python
    # not "exec $(...)": a failing substitution there would not end the script
    python=$(bridge_find_python) || exit 3
    # -E, PYTHONPATH here: nothing of another environment may decide what is imported
    unset PYTHONHOME
    PYTHONPATH=$bridge_lib PYTHONDONTWRITEBYTECODE=1 exec "$python" -m bridge_stack.install "$@"
}
