#!/bin/sh
# Makes the passwords and the secret of the dev overlay, once, in the cluster that kubectl names now.
# Nothing is kept on disk and nothing is shown. Arguments go to kubectl create.
set -eu
namespace=storm-dev
random() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }
password=$(random)
kubectl create secret generic postgres --namespace "$namespace" --from-env-file=/dev/stdin "$@" <<END
password=$password
END
[ $# -eq 0 ] || echo ---
kubectl create secret generic storm --namespace "$namespace" --from-env-file=/dev/stdin "$@" <<END
storm_jwt_secret=$(random)
storm_database_url=postgresql://storm:$password@postgres:5432/storm
storm_nats_url=nats://nats:4222
storm_redis_url=redis://valkey:6379/0
END
