"""A plan as files for a cluster: Kubernetes with KEDA, a Ray cluster, Prometheus rules and a Grafana dashboard."""
