#!/bin/sh
# Fetches what the permit {{ permit }} lets you download. Run it again to go on where it stopped.
#     SENOGATE_TOKEN=… sh {{ permit }}.sh [FOLDER]
set -eu
: "${SENOGATE_TOKEN:?put a token for the permit {{ permit }} into it}"
folder=${1:-{{ permit }}}
mkdir -p "$folder"

fetch() { # the token stands in no command line, where other users would see it
    printf 'header = "Authorization: Bearer %s"\n' "$SENOGATE_TOKEN" |
        curl --config - --fail --silent --show-error --retry 5 "$@"
}

fetch --output "$folder/manifest.csv" "{{ site }}/api/permits/{{ permit }}/manifest?format=csv"
tail -n +2 "$folder/manifest.csv" | while IFS=, read -r study series instance bytes url; do
    case $study/$instance in */*/* | *[!0-9./]* | *..*) echo "the list is odd" >&2 && exit 1 ;; esac
    case $url in "{{ dicomweb }}/"*) ;; *) echo "the list is odd" >&2 && exit 1 ;; esac
    file=$folder/$study/$instance.dcm
    if [ -f "$file" ] && [ "$(wc -c <"$file")" -eq "$bytes" ]; then continue; fi
    mkdir -p "$folder/$study"
    fetch --header "Accept: application/dicom; transfer-syntax=*" --output "$file.part" "$url"
    mv "$file.part" "$file"
done
echo "all is in $folder"
