# One image for the code server, the webserver and the daemon; docker-compose.yaml says what each of them runs.
FROM python:3.11-slim-bookworm

ENV PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore

WORKDIR /opt/taxi
# Before the code, so that this layer, a minute of installing, stays while only code changes. Every
# dependency is a wheel: no compiler is needed, and none gets into the image.
COPY pyproject.toml constraints.txt README.md LICENSE ./
RUN pip install --only-binary=:all: -c constraints.txt .
COPY taxi_assets taxi_assets
# Forced, because the version that the layer above installed without code has the same number.
RUN pip install --no-deps --force-reinstall .

# Named volumes take their owner from the folder that they are first mounted over. The number is that of a
# server's first user, who can then let the containers read a key file that nobody else can read.
RUN useradd --uid 1000 --create-home taxi \
    && install -d -o taxi -g taxi /var/lib/taxi /var/lib/dagster

# The instance's configuration belongs to the code that it was tested with, and is not for the services to write.
ENV DAGSTER_HOME=/opt/dagster
COPY dagster.yaml deploy/compose/workspace.yaml deploy/compose/code_server.py /opt/dagster/
# Not the folder of the source: it would be imported instead of what is installed.
WORKDIR /opt/dagster
USER taxi
