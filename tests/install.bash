# Installs what tests need. Sourced by tests/run and tests/compat, in the project's root directory.

# Tools that are no Debian packages, in a directory that git ignores.
tools=$PWD/tests/.cache/tools
PATH=$tools/pinned:$PATH:$HOME/.cargo/bin:$tools/bin:$tools/python/bin
# A second S3 server beside s3s. In an environment of its own: its dependencies are many.
moto='moto[server]==5.2.5'

have() {
    case $1 in
        /*) [[ -e $1 ]] ;;
        *) PATH=$PATH:/usr/sbin:/sbin type -P "$1" >/dev/null ;;
    esac
}

# The packages of `packages` that are missing: each entry is a name, and a program of it, or a file that it brings.
missing_packages() {
    local entry
    for entry in "${packages[@]}"; do
        have "${entry#* }" || echo "${entry%% *}"
    done
}

# Installs what is missing, and fails where something stays missing. Where nothing may be installed it does nothing: the
# tests that need a package then say so.
install_packages() {
    local missing
    mapfile -t missing < <(missing_packages)
    ((${#missing[@]})) || return 0
    echo "missing: ${missing[*]}"
    local root=()
    if ((EUID)); then
        if ! sudo -n true 2>/dev/null; then
            echo "not root, and sudo asks for a password: nothing is installed"
            [[ -z ${CI:-} ]]
            return
        fi
        root=(sudo -n)
    fi
    export DEBIAN_FRONTEND=noninteractive
    # Another apt that is at work is waited for.
    local apt=("${root[@]}" apt-get -q -o DPkg::Lock::Timeout=600)
    "${apt[@]}" update || return
    # The programs are needed, not their services: no DHCP server and no Prometheus may start by itself.
    local policy=/usr/sbin/policy-rc.d own_policy=
    if [[ ! -e $policy ]]; then
        own_policy=1
        printf '#!/bin/sh\nexit 101\n' | "${root[@]}" tee $policy >/dev/null && "${root[@]}" chmod 755 $policy
    fi
    local package
    # One by one: a package that this release does not have keeps no other from being installed.
    for package in "${missing[@]}"; do
        "${apt[@]}" install -y --no-install-recommends "$package"
    done
    [[ -z $own_policy ]] || "${root[@]}" rm -f $policy
    mapfile -t missing < <(missing_packages)
    ((${#missing[@]})) || return 0
    echo "cannot be installed: ${missing[*]}"
    return 1
}

# Another release on this machine would behave in other ways, so that this one comes first in PATH.
install_moto() {
    [[ ! -x $tools/pinned/moto_server ]] || return 0
    python3 -m venv "$tools/moto" && "$tools/moto/bin/pip" install --quiet "$moto" && mkdir -p "$tools/pinned" &&
        ln -sf "$tools/moto/bin/moto_server" "$tools/pinned/moto_server"
}
