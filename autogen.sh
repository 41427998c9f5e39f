#!/bin/bash
# Prepares a clone: installs what is missing (with --deps), runs autoreconf, then configure.
#
#   ./autogen.sh [--deps] [argument of configure]...
#
# Called from another folder it configures that folder (an out-of-tree build).
# NOCONFIGURE=1 stops before configure; V=1 shows all that the tools print.
set -euo pipefail

source_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

build_packages=(gcc clang make autoconf automake pkg-config libevent-dev libssl-dev libxxhash-dev
                libyaml-dev libjansson-dev libc-ares-dev libjemalloc-dev
                libgoogle-perftools-dev libdw-dev)
test_packages=(libcmocka-dev python3 python3-pytest python3-yaml libclang-rt-14-dev curl prometheus
               golang-go)
bench_packages=(wrk nginx-light haproxy varnish valgrind)
idle_services=(nginx haproxy varnish varnishncsa prometheus prometheus-node-exporter)

say() { printf 'autogen: %s\n' "$*"; }
die() { printf 'autogen: %s\n' "$*" >&2; exit 1; }

# Runs a command whose output matters only when it fails.
quietly() {
    if [ -n "${V:-}" ]; then
        "$@"
        return
    fi
    local log status=0
    log=$(mktemp)
    "$@" >"$log" 2>&1 </dev/null || status=$?
    [ "$status" -eq 0 ] || cat "$log" >&2
    rm -f "$log"
    return "$status"
}

is_installed() {
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

list_missing() {
    local package
    for package in "${build_packages[@]}" "${test_packages[@]}" "${bench_packages[@]}"; do
        is_installed "$package" || printf '%s\n' "$package"
    done
    # A node of any origin will do: never put Debian's in the place of another.
    command -v node >/dev/null || printf '%s\n' nodejs
}

install_dependencies() {
    command -v apt-get >/dev/null && command -v dpkg-query >/dev/null ||
        die "--deps knows only Debian's packages, and there is no apt-get here; see README.md"
    local -a missing as_root=(env)
    mapfile -t missing < <(list_missing)
    if [ "${#missing[@]}" -eq 0 ]; then
        say "all packages are there"
        return
    fi
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null ||
            die "to install ${missing[*]}: be root, or install sudo"
        as_root=(sudo env)
    fi
    say "installing ${missing[*]}"

    # The benchmark's peers and Prometheus are wanted as programs. RUNLEVEL keeps init scripts from
    # starting them, the mask does it where systemd runs; services that were there before are left
    # alone.
    local -a fresh=()
    local service
    if [ -d /run/systemd/system ]; then
        for service in "${idle_services[@]}"; do
            systemctl cat "$service.service" >/dev/null 2>&1 || fresh+=("$service.service")
        done
    fi
    local -a apt=("${as_root[@]}" DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
                  apt-get -qq -o DPkg::Lock::Timeout=300)
    quietly "${apt[@]}" update || say "apt-get update failed; trying with the lists that are there"
    [ "${#fresh[@]}" -eq 0 ] ||
        quietly "${as_root[@]}" systemctl --runtime mask "${fresh[@]}"
    local status=0
    quietly "${apt[@]}" install -y --no-install-recommends "${missing[@]}" || status=$?
    if [ "${#fresh[@]}" -ne 0 ]; then
        quietly "${as_root[@]}" systemctl --runtime unmask "${fresh[@]}" || true
        # One by one: not all of them have come.
        for service in "${fresh[@]}"; do
            quietly "${as_root[@]}" systemctl disable "$service" 2>/dev/null || true
        done
    fi
    [ "$status" -eq 0 ] || die "apt-get could not install ${missing[*]}"
}

configure_arguments=()
for argument in "$@"; do
    case $argument in
        --deps) with_deps=yes ;;
        *) configure_arguments+=("$argument") ;;
    esac
done

[ -z "${with_deps:-}" ] || install_dependencies

for tool in autoreconf automake pkg-config make; do
    command -v "$tool" >/dev/null || die "$tool is missing; ./autogen.sh --deps installs it"
done

say "autoreconf"
quietly autoreconf -fi "$source_dir"
[ -z "${NOCONFIGURE:-}" ] || exit 0

[ -n "${V:-}" ] || configure_arguments=(--silent "${configure_arguments[@]}")
say "configure ${configure_arguments[*]}"
exec "$source_dir/configure" "${configure_arguments[@]}"
