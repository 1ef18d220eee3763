# shellcheck shell=bash disable=SC2034
# Shared by the scripts in this folder (sourced, bash): messages, the cache folder, ports, waiting.

# a make that these scripts start is its own master, also where make started them
unset MAKEFLAGS MFLAGS MAKELEVEL
RAGLINE_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# Everything that is fetched or built once for this machine lives here, outside the tree.
RAGLINE_CACHE=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/ragline
VENV_TEST=$RAGLINE_CACHE/venv-test
VENV_DEMO=$RAGLINE_CACHE/venv-demo
MODELS=$RAGLINE_CACHE/models

if [ -t 2 ] && [ -z "${NO_COLOR:-}" ]; then
    _bold=$'\e[1m' _red=$'\e[31m' _yellow=$'\e[33m' _off=$'\e[0m'
else
    _bold='' _red='' _yellow='' _off=''
fi

say() { printf '%s\n' "${_bold}$*${_off}" >&2; }
note() { printf '%s\n' "$*" >&2; }
warn() { printf '%s\n' "${_yellow}${0##*/}: $*${_off}" >&2; }
die() {
    printf '%s\n' "${_red}${0##*/}: $*${_off}" >&2
    exit 1
}

# one instance at a time per name: lock NAME; released when the script ends
lock() {
    mkdir -p "$RAGLINE_CACHE" || die "cannot write $RAGLINE_CACHE: set XDG_CACHE_HOME to a folder you may write"
    exec 9>"$RAGLINE_CACHE/.lock-$1"
    flock -n 9 || {
        note "another ${0##*/} is at work, waiting for it"
        flock 9
    }
}

hash_of() { cat "$@" | sha256sum | cut -c1-16; } # of what is in the files: another checkout has them elsewhere

# free_ports N: N free TCP ports on loopback, one per line (held together while they are chosen, so all differ)
free_ports() {
    python3 - "$1" <<'PY'
import socket, sys
held = []
for _ in range(int(sys.argv[1])):
    s = socket.socket()
    s.bind(("127.0.0.1", 0))
    held.append(s)
print(*(s.getsockname()[1] for s in held), sep="\n")
PY
}

# SIMD level FAISS is built for on this machine: avx2 or generic
simd_level() {
    if grep -qw avx2 /proc/cpuinfo 2>/dev/null; then echo avx2; else echo generic; fi
}

FAISS_VERSION=1.7.3
faiss_cached() { echo "$RAGLINE_CACHE/faiss-$FAISS_VERSION-$(simd_level)"; }

# has_faiss PREFIX: are the C API's headers and its library there? Sets FAISS_LIBDIR.
has_faiss() {
    local lib
    [ -f "$1/include/faiss/c_api/Index_c.h" ] || return 1
    for lib in "$1/lib" "$1/lib64" "$1/lib/$(gcc -print-multiarch 2>/dev/null || echo none)"; do
        if [ -f "$lib/libfaiss_c.a" ] || [ -f "$lib/libfaiss_c.so" ]; then
            FAISS_LIBDIR=$lib
            return 0
        fi
    done
    return 1
}

# find_faiss: sets FAISS_FOUND and FAISS_LIBDIR to the first of $FAISS_PREFIX, the system's, the cached one
find_faiss() {
    local prefix
    if [ -n "${FAISS_PREFIX:-}" ]; then
        has_faiss "$FAISS_PREFIX" || die "FAISS_PREFIX=$FAISS_PREFIX has no include/faiss/c_api/Index_c.h with" \
            "lib/libfaiss_c.a or .so: build FAISS with -DFAISS_ENABLE_C_API=ON, or unset FAISS_PREFIX"
        FAISS_FOUND=$FAISS_PREFIX
        return 0
    fi
    for prefix in /usr/local /usr "$(faiss_cached)"; do
        if has_faiss "$prefix"; then
            FAISS_FOUND=$prefix
            return 0
        fi
    done
    return 1
}
