# The service: its code and what that imports; no torch, no DVC, and no model, which the reconciler puts beside it.
#
#   docker build --tag mnist .
#   docker run --read-only --cap-drop ALL --publish 127.0.0.1:8000:8000 --env MNIST_ADMIN_TOKEN \
#     --volume "$PWD/deployments:/app/deployments:ro" --volume mnist-logs:/app/logs mnist --stage production
#
# The tag follows the patch releases of one Python; who needs the same image to the bit adds the digest.
FROM python:3.11-slim

WORKDIR /app

# The extras name all that serving and monitoring need. The project itself is not installed: it would bring what trains
# models.
COPY pyproject.toml requirements.lock ./
RUN python -c "import tomllib; project = tomllib.load(open('pyproject.toml', 'rb'))['project']; print(*(name for extra in ('serve', 'monitor') for name in project['optional-dependencies'][extra]), sep='\n')" > serve.txt \
    && python -m pip install --no-cache-dir --constraint requirements.lock --requirement serve.txt

# Compiled now, for later nothing can be written: but in logs, by whichever user the container is run as.
COPY digits digits
COPY delivery delivery
COPY monitoring monitoring
COPY params.yaml ./
RUN python -m compileall -q digits delivery monitoring && install -d -m 1777 logs && install -d deployments

USER 10001:10001
VOLUME ["/app/logs"]
EXPOSE 8000
ENV MNIST_HOST=0.0.0.0 MNIST_PORT=8000 PYTHONUNBUFFERED=1

# Whether the process answers. Whether a model does is what /readyz tells a load balancer: a container that waits for
# its first version must not be restarted again and again.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "import http.client, os, sys; to = http.client.HTTPConnection('127.0.0.1', int(os.environ['MNIST_PORT']), timeout=4); to.request('GET', '/healthz'); sys.exit(to.getresponse().status != 200)"]

ENTRYPOINT ["python", "-m", "monitoring.serve", "--as-placed"]
CMD ["--stage", "production"]
