#!/usr/bin/env bash
# Says which system packages are missing, as one line that can be pasted, and ends with 2 then.
# Arguments: any of `python`, `mosquitto`, `chromium`, `poppler`.
set -euo pipefail
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
python=${PYTHON:-python3}

missing=()
for need in "$@"; do
    case $need in
    python)
        # An environment that is there and whole was made already.
        [ -e .venv/.made ] && continue
        if ! command -v "$python" >/dev/null; then
            missing+=(python3 python3-venv)
        elif ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
            printf 'Python 3.11 or later is needed, %s is %s: make PYTHON=python3.11 …, or\n' \
                "$python" "$("$python" -V)" >&2
            missing+=(python3.11 python3.11-venv)
        elif ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
            missing+=(python3-venv)
        fi
        ;;
    mosquitto) command -v mosquitto >/dev/null || missing+=(mosquitto) ;;
    chromium)
        command -v chromium >/dev/null || command -v chromium-browser >/dev/null ||
            missing+=(chromium)
        ;;
    # The tests look into the reports' PDF files with it.
    poppler) command -v pdftotext >/dev/null || missing+=(poppler-utils) ;;
    *)
        echo "$0: unknown need '$need'" >&2
        exit 2
        ;;
    esac
done

if [ ${#missing[@]} -gt 0 ]; then
    prefix=""
    [ "$(id -u)" -eq 0 ] || prefix="sudo "
    echo "${prefix}apt-get install -y ${missing[*]}" >&2
    exit 2
fi
