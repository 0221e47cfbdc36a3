#!/bin/sh
# Makes a namespace ready for rollouts: itself, its retention and its search attributes. May be run again.
#
#   TEMPORAL_ADDRESS=... ./namespace.sh NAMESPACE [RETENTION]     retention: 720h unless told
#
# Where Temporal is, TLS and API key are taken from the environment or a profile, as by every temporal command. For
# Temporal Cloud, whose keys may not do this, use its console or tcld.
set -eu

namespace=${1:?"usage: $0 NAMESPACE [RETENTION]"}
retention=${2:-720h}
temporal=${TEMPORAL_CLI:-temporal}

if ! "$temporal" operator namespace describe --namespace "$namespace" >/dev/null 2>&1; then
    "$temporal" operator namespace create --namespace "$namespace" --retention "$retention"
fi

# A namespace that was just made is not known everywhere at once.
tries=0
until known=$("$temporal" operator search-attribute list --namespace "$namespace" 2>/dev/null); do
    tries=$((tries + 1))
    [ "$tries" -lt 60 ] || { echo "namespace $namespace does not answer after a minute" >&2; exit 1; }
    sleep 1
done

for pair in \
    CoalmineService=Keyword \
    CoalmineEnvironment=Keyword \
    CoalmineVersion=Keyword \
    CoalminePhase=Keyword \
    CoalmineOutcome=Keyword \
    CoalminePipeline=Keyword \
    CoalmineWeight=Int; do
    name=${pair%=*}
    case $known in
    *"$name"*) ;;
    *) "$temporal" operator search-attribute create --namespace "$namespace" --name "$name" --type "${pair#*=}" ;;
    esac
done
echo "namespace $namespace is ready; coalmine doctor checks it"
