#!/bin/sh
# Prints the rules as resources of the Prometheus operator, one for each file:
#
#   sh deploy/monitoring/prometheus/for-operator.sh | kubectl apply --namespace storm --filename -
set -eu

for file in "$(dirname "$0")"/rules/*.yml; do
    cat <<END
---
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: storm-$(basename "$file" .yml)
  labels:
    app.kubernetes.io/name: storm
spec:
END
    sed 's/^\(.\)/  \1/' "$file"
done
