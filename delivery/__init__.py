"""From an approved model to a running service: registry, release, deployment, the web service and its log."""
