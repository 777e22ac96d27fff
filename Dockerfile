# ls3d for computers without a GPU:
#
#     docker build -t ls3d .
#     docker run --rm -v "$PWD:/videos" ls3d interpolate in.mp4 out.mp4
#
# The first stage compiles the kernel; the second one has no compiler.
FROM python:3.13-slim AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends g++ \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /source
RUN python -m venv /opt/ls3d
# torch without CUDA, in a layer of its own, which changes of ls3d don't invalidate
COPY constraints.txt ./
RUN /opt/ls3d/bin/pip install --no-cache-dir -c constraints.txt torch --index-url https://download.pytorch.org/whl/cpu
COPY pyproject.toml setup.py README.md LICENSE NOTICE ./
COPY src ./src
RUN /opt/ls3d/bin/pip install --no-cache-dir -c constraints.txt .

FROM python:3.13-slim
COPY --from=build /opt/ls3d /opt/ls3d
ENV PATH=/opt/ls3d/bin:$PATH
# Weights that are downloaded and the Hub's cache are under HOME.
RUN useradd --create-home --uid 1000 ls3d && mkdir /videos && chown ls3d /videos
USER ls3d
WORKDIR /videos
ENTRYPOINT ["ls3d"]
CMD ["--help"]
