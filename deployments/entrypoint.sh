#!/bin/sh
# The image's entry point: where the platform hands the job's key over as a variable, write it to a
# file that only its owner reads, and forget the variable.
set -eu
if [ -n "${AVSS_JOB_KEY_TEXT:-}" ]; then
    : "${AVSS_JOB_KEY:=/run/avss/job_ed25519}"
    export AVSS_JOB_KEY
    umask 077
    printf '%s\n' "$AVSS_JOB_KEY_TEXT" > "$AVSS_JOB_KEY"
    unset AVSS_JOB_KEY_TEXT
fi
exec "$@"
