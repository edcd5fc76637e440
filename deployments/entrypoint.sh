#!/bin/sh
# The image's entry point: where the platform hands the job's keys over as variables, write them to
# files that only their owner reads, and forget the variables.
set -eu
if [ -n "${AVSS_JOB_KEY_TEXT:-}" ]; then
    : "${AVSS_JOB_KEY:=/run/avss/job_ed25519}"
    export AVSS_JOB_KEY
    umask 077
    printf '%s\n' "$AVSS_JOB_KEY_TEXT" > "$AVSS_JOB_KEY"
    unset AVSS_JOB_KEY_TEXT
fi
if [ -n "${AVSS_MODEL_KEY_TEXT:-}" ]; then
    : "${AVSS_MODEL_KEY:=/run/avss/model_p256.pem}"
    export AVSS_MODEL_KEY
    umask 077
    printf '%s\n' "$AVSS_MODEL_KEY_TEXT" > "$AVSS_MODEL_KEY"
    unset AVSS_MODEL_KEY_TEXT
fi
exec "$@"
