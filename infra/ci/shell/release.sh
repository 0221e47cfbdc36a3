#!/bin/sh
# Check a spec, start its rollout, and tell its outcome by the exit code (docs/ci.md).
#
#   release.sh SPEC [more options of `coalmine start`]
#
# COALMINE            the command (default: coalmine)
# COALMINE_DETACH     1: do not wait for the outcome; the worker tells people how it ended
# COALMINE_TIMEOUT    how long to wait (default: 6h); the rollout goes on after that (exit 8)
# COALMINE_ANNOTATE   github: print what is wrong with the spec as annotations
# COALMINE_SUMMARY    file for the Markdown summary (default: GITHUB_STEP_SUMMARY)
# COALMINE_DEPLOYMENT number of the deployment whose status the worker keeps up to date (a channel in notify)
# COALMINE_IDENTITY   github: prove by GitHub's OIDC token who starts; elsewhere the token is in COALMINE_IDENTITY_TOKEN
# COALMINE_OUTPUTS    file for outcome, exit, rollout_id ... (default: GITHUB_OUTPUT)
#
# Starting again attaches to the rollout that runs, or tells how it ended: a job may be retried.
set -eu

if [ "$#" -lt 1 ]; then
  echo "usage: release.sh SPEC [options of coalmine start]" >&2
  exit 2
fi
spec=$1
shift

coalmine=${COALMINE:-coalmine}
summary=${COALMINE_SUMMARY:-${GITHUB_STEP_SUMMARY:-}}
outputs=${COALMINE_OUTPUTS:-${GITHUB_OUTPUT:-}}

trap 'echo "cancelled: nothing was started" >&2; exit 130' HUP INT TERM
code=0
if [ -n "${COALMINE_ANNOTATE:-}" ]; then
  "$coalmine" validate "$spec" --format "$COALMINE_ANNOTATE" || code=$?
else
  "$coalmine" validate "$spec" >&2 || code=$?
fi
if [ "$code" != 0 ]; then
  # Later steps read the code whatever went wrong; a file that cannot be written does not change it.
  [ -z "$outputs" ] || echo "exit=$code" >>"$outputs" || :
  [ -z "$summary" ] || {
    printf '## Coalmine: nothing was started\n\n```\n'
    "$coalmine" validate "$spec" 2>&1 || :
    printf '```\n'
  } >>"$summary" || :
  exit "$code"
fi

set -- "$spec" --automated "$@"
[ -z "$summary" ] || set -- "$@" --summary "$summary"
[ -z "$outputs" ] || set -- "$@" --outputs "$outputs"
if [ "${COALMINE_DETACH:-}" != 1 ]; then
  set -- "$@" --watch --timeout "${COALMINE_TIMEOUT:-6h}"
fi
# exec: a signal to this script reaches the watcher, which detaches (130); the rollout goes on.
trap - HUP INT TERM
exec "$coalmine" start "$@"
