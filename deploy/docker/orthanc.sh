#!/bin/sh
# Starts the image's Orthanc with the way in that the site's other parts use: a secret that `init` made.
set -eu
password="$(cat "$SENOGATE_SECRETS/orthanc.password")"
export ORTHANC__REGISTERED_USERS="{\"senogate\": \"$password\"}"
exec /docker-entrypoint.sh "$@"
