#!/usr/bin/env bash
# Make the sample recordings of models/samples again: 16 kHz, one channel, 16 bits, each with its transcript.
#
#   tools/make_samples.sh [FOLDER]
#
# Needs espeak-ng and sox. The committed files were made with espeak-ng 1.51 and sox 14.4.2; the same versions give
# the same bytes, other versions of espeak-ng speak slightly differently. The text is what was spoken, word for word.
set -euo pipefail

folder=${1:-$(dirname "$0")/../models/samples}

# name | voice | words per minute | text
samples='
consultation|en+f2|150|Mrs. Carter is a 62 year old woman with nausea.
meeting|en-us|165|Let'\''s move the meeting to Friday at half past two.
prescription|en-gb-scotland+m3|150|Take five milligrams of aspirin twice daily.
'

for tool in espeak-ng sox; do
    command -v "$tool" >/dev/null || { echo "make_samples: $tool is not installed" >&2; exit 1; }
done

mkdir -p "$folder"
raw=$(mktemp --suffix=.wav)
trap 'rm -f "$raw"' EXIT

while IFS='|' read -r name voice speed text; do
    [ -n "$name" ] || continue
    espeak-ng -v "$voice" -s "$speed" -w "$raw" "$text"
    sox -D "$raw" -r 16000 -b 16 -c 1 "$folder/$name.wav" # -D: no dither, so that the bytes repeat
    printf '%s\n' "$text" >"$folder/$name.txt"
done <<<"$samples"
