# By digest, so that every build begins with the same bytes. A newer one: docker buildx imagetools inspect node:24-slim
FROM node:24.21.0-slim@sha256:0e0ff40c39bc087845bfb27465a0df4ea419520094bc35842ff83dd8cbe6f9b6

# Inside a container the loopback interface reaches nobody.
ENV NODE_ENV=production \
    HTTP_HOST=0.0.0.0 \
    HTTP_PORT=8080

WORKDIR /app
COPY package.json package-lock.json ./
# No package of ours needs its install script at run time, nor what is optional: that would bring the TypeScript compiler, a
# peer that one of Bull Board’s packages may use.
RUN npm ci --omit=dev --omit=optional --ignore-scripts && npm cache clean --force
COPY . .
RUN ln -s /app/bin/tim-mirror.ts /usr/local/bin/tim-mirror

# Which commit this is: docker build --build-arg COMMIT=$(git rev-parse --short=12 HEAD) .
ARG COMMIT=
ENV TIM_MIRROR_COMMIT=$COMMIT
LABEL org.opencontainers.image.title="tim-mirror" org.opencontainers.image.revision=$COMMIT

USER node
EXPOSE 8080
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.HTTP_PORT}/livez`).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["tim-mirror"]
CMD ["start"]
