#!/bin/sh
# Makes the secrets that docker-compose.yml hands to its containers, once: ./secrets, which nobody else gets into.
set -eu
cd "$(dirname "$0")/../.."
[ ! -e secrets ] || { echo "secrets/ is there already: nothing is made anew" >&2; exit 1; }
password="$(od -An -tx1 -N24 /dev/urandom | tr -d ' \n')"
[ "${#password}" = 48 ] || { echo "/dev/urandom gives no password" >&2; exit 1; }
rm -rf .secrets.part # of a call that was cut short
mkdir -m 0700 .secrets.part
# Containers read them as users of their own: the folder keeps others out.
umask 022
printf '%s' "$password" >.secrets.part/database.password
printf 'postgresql://senogate:%s@postgresql:5432/senogate' "$password" >.secrets.part/database.url
mv .secrets.part secrets
