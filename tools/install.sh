#!/usr/bin/env bash
# Installs a site on Debian 12 or 13 as services of systemd, brings it up to date, and takes it away. As root:
#   tools/install.sh                     install this release, or bring what is installed up to it
#       --federation                     and what training with other sites needs
#       --gpu                            and let worker and trainer compute on an NVIDIA GPU
#       --no-start                       start nothing
#   tools/install.sh rollback            go back to the release before, and the database with it where it has to
#   tools/install.sh uninstall           stop and remove the programs; what the site holds stays
#       --purge                          and everything that the site holds, keys and database included
# Under DESTDIR=folder it lays out files there alone: nothing is set up, made in a database, or started.
set -euo pipefail
umask 022
source_folder="$(cd "$(dirname "$0")/.." && pwd)"
root="${DESTDIR:-}"
program="$root/opt/senogate"
home="$root/var/lib/senogate"
configuration="$root/etc/senogate"
units="$root/usr/local/lib/systemd/system"
command="$root/usr/local/bin/senogate"
cluster=senogate
# By name, so that no key, certificate or backup that lies in the checkout becomes readable for all.
packed=(archive deidentification deploy docs federation gateway inference orthanc_plugin senogate tools
    CHANGELOG.md LICENSE Makefile README.md constraints.txt orthanc.json pyproject.toml sbom.cdx.json)

say() { printf '\033[1m==> %s\033[0m\n' "$*"; }
fail() { echo "senogate: $*" >&2; exit 1; }
runs_systemd() { [ -z "$root" ] && [ -d /run/systemd/system ]; }
systemctl_if_running() { if runs_systemd; then systemctl "$@"; fi; }

check_host() {
    [ "$(id -u)" = 0 ] || fail "this needs root: run it as root or with sudo"
    [ -n "$root" ] && return
    # shellcheck disable=SC1091
    case "$(. /etc/os-release && echo "${VERSION_CODENAME:-}")" in
    bookworm | trixie) ;;
    *) fail "a site is installed on Debian 12 (bookworm) or 13 (trixie)" ;;
    esac
    command -v systemd-sysusers >/dev/null || fail "systemd is not installed; \`make run\` runs a site without it"
}

pack() { # the program's own files, the same bytes for the same files
    local name there=()
    for name in "${packed[@]}"; do [ ! -e "$source_folder/$name" ] || there+=("$name"); done
    tar -C "$source_folder" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX \
        --exclude=__pycache__ --exclude='.*' -cf - "${there[@]}"
}

name_release() {
    local version
    version="$(sed -n 's/^version = "\(.*\)"$/\1/p' "$source_folder/pyproject.toml")"
    echo "$version-$(pack | sha256sum | cut -c1-12)"
}

lay_out() { # the release, beside those that are there
    local folder="$program/releases/$1" kept
    [ -e "$folder/.installed" ] && return
    say "Unpacking $1 into $folder"
    mkdir -p "$folder"
    pack | tar -C "$folder" -xf -
    # What the checkout has fetched already is not fetched again.
    for kept in .ohif .orthanc; do
        if [ -d "$source_folder/$kept" ] && [ ! -e "$folder/$kept" ]; then cp -a "$source_folder/$kept" "$folder/$kept"; fi
    done
}

set_up() { # its virtual environment, Orthanc and Debian packages
    local folder="$program/releases/$1" purpose=run
    [ "$federation" = yes ] && purpose=federation
    if [ -z "$root" ]; then
        (cd "$folder" && tools/setup.sh "$purpose")
        if [ "$gpu" = yes ]; then # in the place of the other, whose files have the same names
            "$folder/.venv/bin/pip" uninstall --quiet --yes onnxruntime
            "$folder/.venv/bin/pip" install --quiet --disable-pip-version-check --constraint \
                "$folder/constraints.txt" --force-reinstall --no-deps onnxruntime-gpu
        fi
    fi
    touch "$folder/.installed"
}

make_users() {
    systemd-sysusers ${root:+--root="$root"} - <"$source_folder/deploy/systemd/sysusers.conf"
    systemd-tmpfiles ${root:+--root="$root"} --create - <"$source_folder/deploy/systemd/tmpfiles.conf"
}

make_database() { # a cluster of the site's own, which its parts' users get into and nobody else, by its socket alone
    [ -z "$root" ] || { database_port=5432; return; }
    local version folder
    version="$(pg_lsclusters -h | awk -v name="$cluster" '$2 == name {print $1}' | sort -n | tail -n 1)"
    if [ -z "$version" ]; then
        version="$(find /usr/lib/postgresql -maxdepth 1 -mindepth 1 -printf '%f\n' | sort -n | tail -n 1)"
        say "Making the database, PostgreSQL $version"
        pg_createcluster "$version" "$cluster" --locale=C.UTF-8 --encoding=UTF8 -- --data-checksums >/dev/null
    fi
    folder="/etc/postgresql/$version/$cluster"
    install -o postgres -g postgres -m 0640 "$source_folder/deploy/postgresql/pg_hba.conf" "$folder/pg_hba.conf"
    install -o postgres -g postgres -m 0640 "$source_folder/deploy/postgresql/pg_ident.conf" "$folder/pg_ident.conf"
    install -o postgres -g postgres -m 0644 "$source_folder/deploy/postgresql/senogate.conf" "$folder/conf.d/senogate.conf"
    database_port="$(pg_lsclusters -h | awk -v name="$cluster" -v version="$version" '$1 == version && $2 == name {print $3}')"
    if runs_systemd; then
        systemctl enable --quiet "postgresql@$version-$cluster" && systemctl start "postgresql@$version-$cluster"
    else
        pg_ctlcluster "$version" "$cluster" status >/dev/null || pg_ctlcluster "$version" "$cluster" start
    fi
    as_postgres() { runuser -u postgres -- psql --quiet --no-psqlrc --port="$database_port" --tuples-only --no-align "$@"; }
    [ -n "$(as_postgres -c "select 1 from pg_roles where rolname = 'senogate'")" ] || as_postgres -c 'create role senogate login'
    [ -n "$(as_postgres -c "select 1 from pg_database where datname = 'senogate'")" ] ||
        as_postgres -c 'create database senogate owner senogate'
}

configure() { # once; what is there is the site's
    local file="$configuration/senogate.toml"
    [ -e "$file" ] && return
    sed "s/@PORT@/$database_port/" "$source_folder/deploy/senogate.toml" >"$file.part"
    chmod 0640 "$file.part"
    if [ -z "$root" ]; then chgrp senogate "$file.part"; fi
    mv "$file.part" "$file"
}

install_units() {
    local part
    mkdir -p "$units/senogate-.service.d" "$(dirname "$command")"
    rm -f "$units"/senogate-*.service "$units"/senogate*.target
    install -m 0644 "$source_folder"/deploy/systemd/*.service "$source_folder"/deploy/systemd/*.target "$units/"
    install -m 0644 "$source_folder"/deploy/systemd/senogate-.service.d/*.conf "$units/senogate-.service.d/"
    install -m 0755 "$source_folder/deploy/systemd/senogate" "$command"
    if [ "$gpu" = yes ]; then
        for part in senogate-worker@.service senogate-trainer.service; do
            install -D -m 0644 "$source_folder/deploy/systemd/gpu.conf" "$root/etc/systemd/system/$part.d/gpu.conf"
        done
    fi
    systemctl_if_running daemon-reload
}

current() { [ ! -e "$program/current" ] || basename "$(readlink "$program/current")"; }

point() { # `$1` of the program's links to the release `$2`, at once
    ln -sfn "releases/$2" "$program/.$1.new"
    mv -T "$program/.$1.new" "$program/$1"
}

take_back() { # the release `$1` with its units, after another could not take its place
    point current "$1"
    source_folder="$program/releases/$1"
    install_units
    start
}

switch() { # to the release `$1`; back to the one that ran where its database can't be brought up to date
    local before
    before="$(current)"
    systemctl_if_running stop senogate.target senogate-init.service
    point current "$1"
    if [ -z "$root" ] && ! "$command" init; then
        if [ -n "$before" ]; then take_back "$before"; fi
        fail "the database can't be brought up to $1: see above. ${before:+$before runs again.}"
    fi
    [ -z "$before" ] || [ "$before" = "$1" ] || point previous "$before"
}

start() {
    [ "$starts" = yes ] && runs_systemd || return 0
    say "Starting the site"
    systemctl enable --quiet senogate.target senogate-orthanc senogate-gateway@1 senogate-worker@1 senogate-keeper
    systemctl start senogate.target
    for _ in $(seq 60); do
        if "$command" status >/dev/null 2>&1; then say "The site is ready"; return; fi
        sleep 2
    done
    fail "the site is not ready after two minutes: \`senogate status\` and \`journalctl -u 'senogate-*'\` say why"
}

forget_releases() { # but the one that runs and the one before
    local folder
    for folder in "$program"/releases/*; do
        case "$(basename "$folder")" in
        "$(current)" | "$(basename "$(readlink "$program/previous" || echo none)")") ;;
        *) rm -rf "$folder" ;;
        esac
    done
}

remember() { # what the installation before was asked for, so that an update need not be
    if [ -e "$program/current/.venv/.federation" ]; then federation=yes; fi
    if [ -e "$root/etc/systemd/system/senogate-worker@.service.d/gpu.conf" ]; then gpu=yes; fi
}

install_site() {
    local release
    remember
    release="$(name_release)"
    lay_out "$release"
    set_up "$release"
    make_users
    make_database
    configure
    install_units
    switch "$release"
    start
    forget_releases
    say "Senogate $release is installed: settings in /etc/senogate/senogate.toml, docs/install.md says what is next"
}

roll_back() {
    [ -e "$program/previous" ] || fail "there is no release before this one"
    local now before fits=yes
    now="$(current)" before="$(basename "$(readlink "$program/previous")")"
    systemctl_if_running stop senogate.target senogate-init.service
    point current "$before"
    if [ -z "$root" ] && ! "$command" init 2>/dev/null; then fits=no; fi
    point current "$now"
    if [ "$fits" = no ] && ! "$command" rollback; then # of the newer schema: the database goes back, too
        take_back "$now"
        fail "the database can't be put back: see above. $now runs again."
    fi
    source_folder="$program/releases/$before"
    install_units
    switch "$before"
    start
    say "Senogate $before is back"
}

uninstall() {
    local enabled="$root/etc/systemd/system"
    systemctl_if_running stop 'senogate*' # patterns mean units that are loaded; `disable` takes none
    rm -rf "$program" "$units"/senogate-*.service "$units"/senogate*.target "$units/senogate-.service.d" "$command" \
        "$enabled"/senogate-*.service.d "$enabled"/senogate*.wants "$enabled"/multi-user.target.wants/senogate*
    systemctl_if_running daemon-reload
    if [ "$purge" = yes ]; then
        purge_data
    else
        say "What the site holds is still in /var/lib/senogate, /etc/senogate and the database"
    fi
}

purge_data() {
    local version user
    if [ -z "$root" ]; then
        for version in $(pg_lsclusters -h | awk -v name="$cluster" '$2 == name {print $1}'); do
            systemctl_if_running disable --quiet "postgresql@$version-$cluster"
            pg_dropcluster --stop "$version" "$cluster"
        done
        for user in orthanc gateway worker keeper federation; do userdel "senogate-$user" 2>/dev/null || true; done
        for user in secrets private storage spool models; do groupdel "senogate-$user" 2>/dev/null || true; done
        groupdel senogate 2>/dev/null || true
    fi
    rm -rf "$home" "$configuration"
    say "Everything that the site held is gone"
}

action=install federation=no gpu=no starts=yes purge=no database_port=""
for argument in "$@"; do
    case "$argument" in
    install | rollback | uninstall) action="$argument" ;;
    --federation) federation=yes ;;
    --gpu) gpu=yes ;;
    --no-start) starts=no ;;
    --purge) purge=yes ;;
    -h | --help) sed -n '2,10s/^# \?//p' "$0"; exit 0 ;;
    *) echo "senogate: $argument is no argument of tools/install.sh (--help shows them)" >&2; exit 2 ;;
    esac
done
check_host
case "$action" in
install) install_site ;;
rollback) roll_back ;;
uninstall) uninstall ;;
esac
