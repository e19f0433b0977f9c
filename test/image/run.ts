// npm run image:prove: the Dockerfile's steps without Docker.
import { proveImage } from './prove-image.ts';

const say = (sentence: string) => void process.stderr.write(`${sentence}\n`);
try {
  process.stdout.write(`${JSON.stringify(await proveImage(say), undefined, 2)}\n`);
} catch (error) {
  say(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}
