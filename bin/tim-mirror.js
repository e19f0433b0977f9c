#!/usr/bin/env -S node --max-semi-space-size=2
// Plain JavaScript, so that a Node that can’t run TypeScript gets as far as the sentence that says so.
const neededNode = 24;

if (Number(process.versions.node.split('.')[0]) < neededNode) {
  process.stderr.write(
    `tim-mirror: Node ${neededNode} or newer is needed, and this is Node ${process.versions.node}; start it with npx tim-mirror, which takes the Node that npm ci has installed.\n`,
  );
  process.exit(1);
}
await import('./tim-mirror.ts');
