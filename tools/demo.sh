#!/usr/bin/env bash
# `make demo`: an attested transcription on this machine, from nothing to the words, and everything stopped again.
#
# Builds, starts an enclave in place `process` with the demonstration model on a free port, checks its attestation as a
# client would, transcribes a recording from models/samples and shows it beside the words that were spoken. Stops what
# it started however it ends: by itself, by an error, by Ctrl-C, by TERM or HUP.
set -euo pipefail

top=$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")
blindbox=$top/bin/blindbox
sample=$top/models/samples/${1:-meeting}
name=demo-$$
mark="demo.$$.$(date +%s)"
begun_ms=$(date +%s%3N)
# shellcheck source=tools/buildroot/progress.sh
. "$top/tools/buildroot/progress.sh"

scratch=$(mktemp -d "${TMPDIR:-/tmp}/blindbox-demo.XXXXXX")
export XDG_STATE_HOME=$scratch # its own, so that nothing is left in the user's
up=

finish() {
    if [ -n "$up" ]; then
        echo '==> stopping the enclave' >&2
        timeout -k 2 15 "$blindbox" down --name "$name" >"$scratch/down.log" 2>&1 || true
    fi
    stop_marked "$mark"
    rm -rf "$scratch"
}
finally finish

step() {
    printf '\n[%s/5] %s\n' "$1" "$2"
}

# Runs a command as a job, so that a signal reaches this script at once.
job() {
    start_job env "BLINDBOX_RUN_MARK=$mark" "$@"
    wait_job
}

# field NAME: a text value of the status.
field() {
    sed -n "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p" "$scratch/status"
}

step 1 "build root and programs"
job "$top/tools/buildroot/build"

step 2 "start an enclave (place: process) with the demonstration speech model"
up=yes
job "$blindbox" up --detach --name "$name" --listen 127.0.0.1:0 >"$scratch/up"
sed '/^Ready/,$d; /^$/d' "$scratch/up" # without the hints for an enclave that stays
"$blindbox" status --name "$name" --json >"$scratch/status"

step 3 "check the attestation as a client does, before any data leaves it"
job "$blindbox" attest "$(field address)" --root "$(field root)" --measurements "$(field measurements)"

step 4 "transcribe models/samples/${sample##*/}.wav"
job "$blindbox" transcribe --name "$name" "$sample.wav" >"$scratch/words"
printf 'spoken        %s\n' "$(cat "$sample.txt")"
printf 'transcribed   %s\n' "$(cat "$scratch/words")"

step 5 "stop the enclave"
timeout -k 2 15 "$blindbox" down --name "$name"
up=
elapsed_ms=$(($(date +%s%3N) - begun_ms))
printf '\nDone in %d.%d s. Try it yourself: bin/blindbox up, then bin/blindbox transcribe FILE\n' \
    $((elapsed_ms / 1000)) $((elapsed_ms % 1000 / 100))
