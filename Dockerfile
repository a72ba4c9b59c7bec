# The image of STORM: the gateway with its web client built in. How to use it: docs/guides/docker.md.
#
#   make image                              builds storm:VERSION and storm:local
#   docker run --rm -p 8080:8080 --read-only --stop-timeout 45 storm:local
#
# Exact versions with checked hashes come from the lock files. The base images are named by their
# minor version, so that a new build has the newest mends of Python and Debian.
ARG NODE=24
ARG PYTHON=3.13

# --- the web client: the same files for every processor ---
FROM --platform=$BUILDPLATFORM node:${NODE}-trixie-slim AS client
WORKDIR /src/frontend
COPY frontend/package.json frontend/package-lock.json ./
RUN --mount=type=cache,target=/root/.npm npm ci --no-audit --no-fund --loglevel=error
COPY frontend/ ./
RUN npx --no-install vite build --logLevel warn

# --- the package and what it needs, in an environment of its own ---
FROM python:${PYTHON}-slim-trixie AS build
WORKDIR /src/services/gateway
COPY services/gateway/requirements-build.lock services/gateway/requirements.lock ./
# pip checks the hashes of uv and of the build back end; uv does the rest, much faster. Wheels only:
# there is no compiler here, and none is needed.
RUN --mount=type=cache,target=/root/.cache/uv \
    python -m pip install --quiet --disable-pip-version-check --no-cache-dir --require-hashes \
        --no-deps --only-binary :all: --target /tools --requirement requirements-build.lock \
    && python -m venv --without-pip /opt/storm \
    && /tools/bin/uv pip sync --quiet --require-hashes --only-binary :all: --link-mode copy \
        --compile-bytecode --python /opt/storm/bin/python requirements.lock
COPY services/gateway/pyproject.toml services/gateway/hatch_build.py services/gateway/README.md \
    services/gateway/LICENSE ./
COPY services/gateway/src ./src
COPY --from=client /src/services/gateway/src/storm_gateway/web ./src/storm_gateway/web
# git is not here to say which version this is.
ARG VERSION=
RUN PYTHONPATH=/tools SETUPTOOLS_SCM_PRETEND_VERSION="$VERSION" \
        python -m hatchling build --target wheel --directory /dist \
    && /tools/bin/uv pip install --quiet --no-deps --no-index --link-mode copy --compile-bytecode \
        --python /opt/storm/bin/python /dist/*.whl

# --- what runs ---
FROM python:${PYTHON}-slim-trixie AS storm
# A number, so that Kubernetes can tell that it is not root (runAsNonRoot).
RUN groupadd --gid 10001 storm \
    && useradd --uid 10001 --gid storm --no-create-home --home-dir /nonexistent \
        --shell /usr/sbin/nologin storm \
    && install --directory --mode 0700 --owner storm --group storm /var/lib/storm
COPY --from=build /opt/storm /opt/storm
COPY --chmod=0555 deploy/docker/healthcheck.py /usr/local/bin/storm-healthcheck

# SQLite sorts much at once in a file: in the data folder, the only place that may be written.
ENV PATH="/opt/storm/bin:$PATH" \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    SQLITE_TMPDIR=/var/lib/storm \
    STORM_ADDR=:8080 \
    STORM_DATA_DIR=/var/lib/storm

USER 10001:10001
WORKDIR /var/lib/storm
VOLUME /var/lib/storm
EXPOSE 8080

# SIGTERM begins the drain. It takes up to STORM_DRAIN_SECONDS (30) and STORM_CLOSE_SECONDS (5), so
# whoever stops the container has to wait longer than Docker's 10 s: --stop-timeout 45, or
# stop_grace_period in compose.yaml.
STOPSIGNAL SIGTERM

# Alive, not ready: a node whose bus is away must not be killed for it. Ready is what
# "storm-healthcheck /readyz" asks.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["storm-healthcheck", "/healthz"]

ENTRYPOINT ["storm"]
CMD ["serve"]

# Last: they change with each build.
ARG VERSION=
ARG REVISION=
ARG CREATED=
LABEL org.opencontainers.image.title="STORM" \
      org.opencontainers.image.description="Self-hosted real-time messaging: WebSocket gateway, REST API and web client" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.vendor="The STORM authors" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.created="$CREATED"
