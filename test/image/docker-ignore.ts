/** Whether `.dockerignore` lets a file into the image: the last of its patterns that matches the file or a folder above it decides. */
export function createDockerIgnore(text: string): (path: string) => boolean {
  const rules = text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => {
      const lets = line.startsWith('!');
      const pattern = (lets ? line.slice(1) : line).replace(/^\/|\/$/g, '');
      return { lets, matches: toRegExp(pattern) };
    });
  return (path) => {
    const parts = path.split('/');
    const ways = parts.map((_, index) => parts.slice(0, index + 1).join('/'));
    return rules.findLast(({ matches }) => ways.some((way) => matches.test(way)))?.lets ?? true;
  };
}

/** `*` is anything within a name, `**` anything. */
function toRegExp(pattern: string): RegExp {
  const source = pattern
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replace(/\*\*\/|\*\*|\*/g, (stars) => (stars === '*' ? '[^/]*' : '(?:.*/)?'))
    .replaceAll('?', '[^/]');
  return new RegExp(`^${source}$`);
}
